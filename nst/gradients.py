"""What makes a training step cheap: frozen weights, Gram matrices of one product.

TensorFlow computes the gradient of whatever a graph holds. Of a frozen network and of Gram matrices
less will do, and the graph is told so by gradients of its own.
"""

import functools
from contextlib import suppress

import numpy as np

from nst.tf1 import import_tensorflow

tf = import_tensorflow()


def frozen_convolution(x, W, b):
    """Convolve, add the bias and rectify: (1, h, w, n_in) -> (1, h, w, n_out)."""
    register_gradients()
    frozen = {"Conv2D": "FrozenConv2D", "BiasAdd": "FrozenBiasAdd"}
    with tf.get_default_graph().gradient_override_map(frozen):
        y = tf.nn.conv2d(x, _frozen(W), strides=1, padding="SAME")
        return tf.nn.relu(tf.nn.bias_add(y, _frozen(b)))


def round_kernel(W, dtype):
    """Round a kernel (3, 3, n_in, n_out) so that the errors of its nine taps cancel.

    An 8-bit kernel has few values, most of them near zero, whose errors in bfloat16 add up: rounded
    one by one, the weights lower the style cost by 0.8 %. Here each tap takes over the error of
    the one before (error diffusion); smooth activations then hardly notice the rounding.
    """
    if dtype == W.dtype:
        return W
    rounded = np.empty(W.shape, dtype.as_numpy_dtype)
    error = np.float32(0)
    for tap in np.ndindex(W.shape[:2]):
        rounded[tap] = W[tap] + error
        error += W[tap] - rounded[tap].astype(np.float32)
    return rounded


def _frozen(value):
    """Put one array of weights into the graph so that no optimiser or initialiser touches it.

    A constant is copied again for every set of fetches, so with a session open the array goes into
    a variable that belongs to no collection. The course also builds the model with no session,
    to print it: then only a constant keeps its value.
    """
    sess = tf.get_default_session()
    if sess is None:
        return tf.constant(value)
    start = tf.placeholder(value.dtype, value.shape)
    variable = tf.Variable(start, trainable=False, collections=[], use_resource=False)
    sess.run(variable.initializer, {start: value})
    return variable


def large_constant(array):
    """Make a constant of an array without writing the array into the graph's definition.

    TensorFlow copies the definition for the session, and again for every set of fetches: of the
    style activations, 59 MB at 400×300, `tf.constant` makes 0.26 GB more. Here the array stays one.
    What is computed from it alone, a Gram matrix for one, is computed once for a set of fetches
    (constant folding).

    Arguments:
    array -- of any shape and type

    Returns:
    tensor of that shape and type
    """
    tensor = tf.numpy_function(lambda: array, [], array.dtype, stateful=False)
    tensor.set_shape(array.shape)
    return tensor


def _frozen_convolution_gradient(op, gradient):
    x, W = op.inputs
    return tf.nn.conv2d_backprop_input(
        x.shape, W, gradient, strides=op.get_attr("strides"), padding=op.get_attr("padding")
    ), None


def _matmul_gradient(op, gradient):
    """MatMul's gradient, with one product instead of two where a matrix meets its own transpose.

    Of G = A·Aᵀ it is (dG + dGᵀ)·A, which saves a tenth of a bfloat16 step however a student writes
    `gram_matrix`: with `tf.transpose`, `transpose_a` or `transpose_b`.
    """
    a, b = op.inputs
    a_flipped, b_flipped = op.get_attr("transpose_a"), op.get_attr("transpose_b")
    flipped = (a_flipped, b_flipped)
    if _is_transpose(b, a, flipped) or (a.name == b.name and flipped == (False, True)):
        both = gradient + tf.transpose(gradient)
        X = _transposed(a)
        # where A = Xᵀ, as in the lab, (X·both)ᵀ, so that A need not be kept; see below
        return (tf.matmul(both, a) if X is None else tf.transpose(tf.matmul(X, both))), None
    if _is_transpose(a, b, flipped) or (a.name == b.name and flipped == (True, False)):
        return None, tf.matmul(b, gradient + tf.transpose(gradient))
    if a_flipped:
        a_gradient = tf.matmul(b, gradient, transpose_a=b_flipped, transpose_b=True)
    else:
        a_gradient = tf.matmul(gradient, b, transpose_b=not b_flipped)
    if b_flipped:
        b_gradient = tf.matmul(gradient, a, transpose_a=True, transpose_b=a_flipped)
    else:
        b_gradient = tf.matmul(a, gradient, transpose_a=not a_flipped)
    return a_gradient, b_gradient


def _transpose_gradient(op, gradient):
    """Transpose's gradient, without two copies of 59 MB where it is given a transpose itself."""
    X = _transposed(gradient)
    if X is not None and _transposed(op.outputs[0]) is not None:
        return X, None
    return tf.transpose(gradient, tf.math.invert_permutation(op.inputs[1])), None


def _transposed(tensor):
    """Return the matrix that `tensor` is the `tf.transpose` of, or None."""
    if tensor.op.type == "Transpose":
        matrix, axes = tensor.op.inputs
        return matrix if np.array_equal(tf.get_static_value(axes), [1, 0]) else None


def _is_transpose(a, b, flipped):
    """Tell whether tensor `a` is `tf.transpose(b)` (names tell tensors apart), multiplied as is."""
    matrix = _transposed(a)
    return matrix is not None and matrix.name == b.name and not any(flipped)


# Optimizer.minimize makes a convolution compute its kernel's gradient although nothing asks for
# it, a third of a step. The frozen gradients have none.
_GRADIENTS = {
    "FrozenConv2D": _frozen_convolution_gradient,
    "FrozenBiasAdd": lambda op, gradient: (gradient, None),
    "GramMatMul": _matmul_gradient,
    "GramTranspose": _transpose_gradient,
}


@functools.cache
def register_gradients():
    """Tell TensorFlow of the gradients above, when a network is first built and not on import."""
    for name, gradient in _GRADIENTS.items():
        with suppress(KeyError):  # a reloaded module finds them registered
            tf.RegisterGradient(name)(gradient)


def use_gram_gradients(graph):
    """Have the Gram matrices that follow in a graph differentiated by the gradients above."""
    graph.gram_gradient = graph.gradient_override_map(
        {"MatMul": "GramMatMul", "Transpose": "GramTranspose"}
    )
    graph.gram_gradient.__enter__()  # it ends with the last reference to it: with the graph
