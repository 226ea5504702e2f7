"""Frozen convolutions, Gram matrices, activations as arrays: what makes a step cheap.

It works behind the course's lines: the student's `minimize`, `gram_matrix` and `sess.run` stay as
the course wrote them. Nothing of TensorFlow's is touched before a network is built.
"""

from contextlib import contextmanager, suppress

import numpy as np

from nst.core.tensorflow import import_tensorflow

tf = import_tensorflow()

# --- frozen convolutions -------------------------------------------------------------------------

# How to compute the two directions, see nst.core.hardware: is the convolution a transposed one?
WAYS = {"plain": (False, True), "transposed": (True, True), "turned": (False, False)}

LARGE_KERNEL = 1_000_000  # bytes


def frozen_convolution(x, W, b, way):
    """Convolve, add the bias and rectify: (1, h, w, n_in) -> (1, h, w, n_out).

    Optimizer.minimize makes a convolution compute its kernel's gradient although nothing asks for
    it, a third of a step. This one has a gradient of its own, by the input alone: a convolution
    too, with the kernel turned by 180° and its channels swapped. Either is computed as such, or as
    the transposed convolution (`conv2d_backprop_input`) with the other kernel.

    Arguments:
    x -- tensor (1, h, w, n_in)
    W, b -- arrays (3, 3, n_in, n_out) and (n_out,), of x's type
    way -- one of WAYS
    """
    there, back = WAYS[way]  # transposed?
    kernel, back_kernel = _frozen_pair(W, there, not back)

    @tf.custom_gradient
    def layer(x, kernel, back_kernel):
        y = tf.nn.relu(tf.nn.bias_add(_convolve(x, kernel, there), b))

        def gradient(dy):
            dz = tf.raw_ops.ReluGrad(gradients=dy, features=y)
            return _convolve(dz, back_kernel, back), None, None

        return y, gradient

    return layer(x, kernel, back_kernel)


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


def _frozen_pair(W, *turned):
    """Freeze a kernel twice, turned or not; where both are the same, once."""
    frozen = {which: _frozen(turn(W) if which else W) for which in set(turned)}
    return [frozen[which] for which in turned]


def turn(W):
    """Turn a kernel by 180° and swap its channels: (3, 3, n_in, n_out) -> (3, 3, n_out, n_in)."""
    return np.ascontiguousarray(W[::-1, ::-1].swapaxes(2, 3))


def _convolve(x, W, transposed):
    """Convolve (1, h, w, n_in) by W (3, 3, n_in, n_out), or, transposed, (3, 3, n_out, n_in)."""
    if not transposed:
        return tf.nn.conv2d(x, W, strides=1, padding="SAME")
    shape = (*x.shape.as_list()[:3], W.shape.as_list()[2])
    if None in shape:  # images of every size
        shape = tf.concat([tf.shape(x)[:3], shape[3:]], axis=0)
    return tf.nn.conv2d_backprop_input(shape, W, x, strides=[1] * 4, padding="SAME")


def session_of_the_graph():
    """Return the default session, or None where it is of another graph than the default one."""
    sess = tf.get_default_session()
    return sess if sess is not None and sess.graph is tf.get_default_graph() else None


def _frozen(value):
    """Put one array of weights into the graph so that no optimiser or initialiser touches it.

    A constant is copied again for every set of fetches, so with a session open the array goes into
    a variable that belongs to no collection. The course also builds the model with no session,
    to print it: then only a constant keeps its value.
    """
    sess = session_of_the_graph()
    if sess is None:
        return tf.constant(value)
    start = tf.placeholder(value.dtype, value.shape)
    variable = tf.Variable(start, trainable=False, collections=[], use_resource=False)
    waiting = getattr(sess.graph, "waiting_weights", None)
    if waiting is None or value.nbytes > LARGE_KERNEL:
        sess.run(variable.initializer, {start: value})
    else:
        waiting[variable.initializer] = start, value
    return variable.value()


@contextmanager
def frozen_together():
    """Give the small arrays that are frozen meanwhile their values in one run at the end.

    After the graph has grown a run takes milliseconds before it begins: one for each kernel of a
    miniature VGG takes longer than to build it. Large arrays are not kept waiting in memory.
    """
    sess = session_of_the_graph()
    if sess is None:
        yield
        return
    waiting = sess.graph.waiting_weights = {}  # initialiser -> (placeholder, array)
    try:
        yield
    finally:
        del sess.graph.waiting_weights
    sess.run(list(waiting), dict(waiting.values()))


# --- activations as arrays -----------------------------------------------------------------------


class Activations(np.ndarray):
    """An array that TensorFlow takes into a graph as a `large_constant`; all else is NumPy's.

    TensorFlow registers no conversion for arrays or their kin, but asks any object for its
    `__tf_tensor__` (tf.types.experimental.TensorProtocol).
    """

    def __tf_tensor__(self, dtype=None, name=None):
        """Be what `tf.convert_to_tensor` makes of this array."""
        array = np.asarray(self, dtype and dtype.as_numpy_dtype)
        return tf.constant(array) if tf.executing_eagerly() else large_constant(array)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        """Return a plain array, or a number, from arithmetic."""
        return np.asarray(array)[()]


LARGE = 500_000  # bytes; the smallest layer of the style cost, conv5_1, has 970,000 at 400×300


def keep_arrays_out_of_graphs(sess):
    """Have `sess.run` return large arrays as `Activations`, alone or in a list.

    The course computes `a_S = sess.run(out)` and builds its cost of that array.
    """
    run = sess.run

    def wrap(value):
        large = isinstance(value, np.ndarray) and value.nbytes >= LARGE
        return value.view(Activations) if large else value

    def run_and_wrap(*args, **kwargs):
        values = run(*args, **kwargs)
        return [wrap(value) for value in values] if isinstance(values, list) else wrap(values)

    sess.run = run_and_wrap


def large_constant(array):
    """Make a constant of an array without writing the array into the graph's definition.

    TensorFlow copies the definition for the session, and again for every set of fetches: of the
    style activations, 59 MB at 400×300, `tf.constant` makes 0.26 GB more. Here the array stays one.
    What is computed from it alone, a Gram matrix for one, is computed once for a set of fetches
    (constant folding). A GPU would fold nothing of it, and fetch it all from the processor's memory
    in every step: with one, and a session open, the array goes into the GPU's memory, once.

    Arguments:
    array -- of any shape and type

    Returns:
    tensor of that shape and type
    """
    if tf.config.list_physical_devices("GPU") and session_of_the_graph():
        return _frozen(array)
    tensor = tf.numpy_function(lambda: array, [], array.dtype, stateful=False)
    tensor.set_shape(array.shape)
    return tensor


# --- Gram matrices -------------------------------------------------------------------------------


@tf.custom_gradient
def moments(A):
    """Average Aᵀ A and A over positions: (n_C, n_C) and (n_C,), float32.

    TensorFlow's own gradient of the two makes six arrays of A's size in float32. This one, a
    product and a sum in A's type, takes a tenth off the painter's evaluation in bfloat16.

    Arguments:
    A -- tensor (positions, n_C), float32 or bfloat16
    """
    positions = tf.cast(tf.shape(A)[0], tf.float32)
    rows = tf.cast(A, tf.float32)
    gram = tf.matmul(rows, rows, transpose_a=True) / positions
    mean = tf.matmul(tf.ones([1, tf.shape(A)[0]]), rows)[0] / positions  # reduce_mean is slow

    def gradient(of_gram, of_mean):
        slopes = of_gram + tf.transpose(of_gram), of_mean
        M, m = (tf.cast(slope / positions, A.dtype) for slope in slopes)
        # A·M + m as a 1×1 convolution: TensorFlow makes one operation of a matrix product and what
        # is added, which takes three times as long in bfloat16
        product = tf.nn.conv2d(A[None, None], M[None, None], strides=1, padding="VALID")
        return tf.nn.bias_add(product, m)[0, 0]

    return (gram, mean), gradient


def ease_gram_matrices(graph):
    """Give the matrix products that follow in a graph the gradient that is cheap for Gram matrices.

    However a student writes `gram_matrix`.
    """
    with suppress(KeyError):  # registered by an earlier network
        tf.RegisterGradient("GramMatMul")(_matmul_gradient)
        tf.RegisterGradient("GramTranspose")(_transpose_gradient)
    # it ends with the last reference to it
    graph.gram_gradient = graph.gradient_override_map(
        {"MatMul": "GramMatMul", "Transpose": "GramTranspose"}
    )
    graph.gram_gradient.__enter__()


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
