"""Frozen convolutions, cheap Gram gradients, and activations that stay out of the graph.

Invisible to the student's code: `minimize`, `gram_matrix` and `sess.run` stay as the course wrote
them. TensorFlow is not patched until a network is built.
"""

from contextlib import contextmanager, suppress

import numpy as np

from nst.core.tensorflow import import_tensorflow

tf = import_tensorflow()

# --- frozen convolutions -------------------------------------------------------------------------

# For each strategy of nst.core.hardware.choose_kernels: is the convolution transposed, forward and
# backward?
KERNEL_STRATEGIES = {
    "plain": (False, True),
    "transposed": (True, True),
    "rotated": (False, False),
}

LARGE_KERNEL = 1_000_000  # bytes


def frozen_convolution(x, W, b, strategy):
    """Convolve, add the bias and rectify: (1, h, w, n_in) -> (1, h, w, n_out).

    `Optimizer.minimize` computes the kernel's gradient of an ordinary convolution although nobody
    uses it, which takes a third of a step. This one has a gradient for its input only: also a
    convolution, with the kernel rotated by 180° and its channels swapped. Each of the two is
    computed directly, or as the transposed convolution (`conv2d_backprop_input`) with the kernel of
    the other.

    Arguments:
    x -- tensor (1, h, w, n_in)
    W, b -- arrays (3, 3, n_in, n_out) and (n_out,), of x's type
    strategy -- a key of KERNEL_STRATEGIES
    """
    forward, backward = KERNEL_STRATEGIES[strategy]  # transposed?
    kernel, back_kernel = _frozen_pair(W, forward, not backward)

    @tf.custom_gradient
    def layer(x, kernel, back_kernel):
        y = tf.nn.relu(tf.nn.bias_add(_convolve(x, kernel, forward), b))

        def gradient(dy):
            dz = tf.raw_ops.ReluGrad(gradients=dy, features=y)
            return _convolve(dz, back_kernel, backward), None, None

        return y, gradient

    return layer(x, kernel, back_kernel)


def round_kernel(W, dtype):
    """Round a kernel (3, 3, n_in, n_out) so that the errors of its nine taps cancel.

    An 8-bit kernel has few distinct values, most of them near zero, and their errors in bfloat16
    add up: rounding each weight by itself lowers the style cost by 0.8 %. Here each tap takes over
    the error of the previous one (error diffusion), which cancels for smooth activations.
    """
    if dtype == W.dtype:
        return W
    rounded = np.empty(W.shape, dtype.as_numpy_dtype)
    error = np.float32(0)
    for tap in np.ndindex(W.shape[:2]):
        rounded[tap] = W[tap] + error
        error += W[tap] - rounded[tap].astype(np.float32)
    return rounded


def _frozen_pair(W, *rotated):
    """Freeze a kernel for each direction, rotated or not; once if both are the same."""
    frozen = {which: _frozen(rotate_180(W) if which else W) for which in set(rotated)}
    return [frozen[which] for which in rotated]


def rotate_180(W):
    """Rotate a kernel by 180° and swap its channels: (3, 3, n_in, n_out) -> (3, 3, n_out, n_in)."""
    return np.ascontiguousarray(W[::-1, ::-1].swapaxes(2, 3))


def _convolve(x, W, transposed):
    """Convolve (1, h, w, n_in) with W (3, 3, n_in, n_out), or, transposed, (3, 3, n_out, n_in)."""
    if not transposed:
        return tf.nn.conv2d(x, W, strides=1, padding="SAME")
    shape = (*x.shape.as_list()[:3], W.shape.as_list()[2])
    if None in shape:  # images of every size
        shape = tf.concat([tf.shape(x)[:3], shape[3:]], axis=0)
    return tf.nn.conv2d_backprop_input(shape, W, x, strides=[1] * 4, padding="SAME")


def session_of_the_graph():
    """Return the default session, or None if its graph is not the default graph."""
    sess = tf.get_default_session()
    return sess if sess is not None and sess.graph is tf.get_default_graph() else None


def _frozen(value):
    """Put an array of weights into the graph, out of reach of optimizers and initializers.

    TensorFlow copies a constant for every set of fetches, so with an open session the array goes
    into a variable that is in no collection. The course also builds the model without a session, to
    print it; then only a constant keeps its value.
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
    """Initialize all small arrays that are frozen inside this block in one session run on exit.

    A run after the graph has grown has milliseconds of overhead: one for each kernel of a tiny VGG
    takes longer than building it. Large arrays are initialized immediately, to free their memory.
    """
    sess = session_of_the_graph()
    if sess is None:
        yield
        return
    waiting = sess.graph.waiting_weights = {}  # initializer -> (placeholder, array)
    try:
        yield
    finally:
        del sess.graph.waiting_weights
    sess.run(list(waiting), dict(waiting.values()))


# --- activations as arrays -----------------------------------------------------------------------


class Activations(np.ndarray):
    """A NumPy array that enters a TensorFlow graph as a `large_constant`.

    Conversions cannot be registered for NumPy arrays and their subclasses, but TensorFlow calls
    `__tf_tensor__` of any object that has it (tf.types.experimental.TensorProtocol).
    """

    def __tf_tensor__(self, dtype=None, name=None):
        """Convert to a tensor (called by `tf.convert_to_tensor`)."""
        array = np.asarray(self, dtype and dtype.as_numpy_dtype)
        return tf.constant(array) if tf.executing_eagerly() else large_constant(array)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        """Return a plain array or a scalar from arithmetic."""
        return np.asarray(array)[()]


LARGE = 500_000  # bytes; the smallest layer of the style cost, conv5_1, has 970,000 at 400×300


def keep_arrays_out_of_graphs(sess):
    """Make `sess.run` return large arrays, alone or in a list, as `Activations`.

    The course computes `a_S = sess.run(out)` and builds its cost from that array.
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
    """Return a constant tensor whose array is not copied into the graph's definition.

    TensorFlow copies the definition for the session, and again for every set of fetches: with
    `tf.constant` the style activations, 59 MB at 400×300, take 0.26 GB more. What depends only on
    this tensor, such as a Gram matrix, is computed once for each set of fetches (constant folding).
    A GPU does not fold it and would copy the array from the host in every step, so with a GPU and
    an open session the array is copied to the GPU once.

    Arguments:
    array -- array of any shape and type
    """
    if tf.config.list_physical_devices("GPU") and session_of_the_graph():
        return _frozen(array)
    tensor = tf.numpy_function(lambda: array, [], array.dtype, stateful=False)
    tensor.set_shape(array.shape)
    return tensor


# --- Gram matrices -------------------------------------------------------------------------------


def ease_gram_matrices(graph):
    """Give the following matrix products of a graph a gradient that is cheap for Gram matrices.

    It works for every way to write `gram_matrix`.
    """
    with suppress(KeyError):  # registered by an earlier network
        tf.RegisterGradient("GramMatMul")(_matmul_gradient)
        tf.RegisterGradient("GramTranspose")(_transpose_gradient)
    # the override ends when the context manager is garbage-collected
    graph.gram_gradient = graph.gradient_override_map(
        {"MatMul": "GramMatMul", "Transpose": "GramTranspose"}
    )
    graph.gram_gradient.__enter__()


def _matmul_gradient(op, gradient):
    """Return MatMul's gradient, with one product instead of two if the factors are transposes.

    For G = A·Aᵀ it is (dG + dGᵀ)·A, which saves 10 % of a bfloat16 step, however a student writes
    `gram_matrix`: with `tf.transpose`, `transpose_a` or `transpose_b`.
    """
    a, b = op.inputs
    a_flipped, b_flipped = op.get_attr("transpose_a"), op.get_attr("transpose_b")
    flipped = (a_flipped, b_flipped)
    if _is_transpose(b, a, flipped) or (a.name == b.name and flipped == (False, True)):
        both = gradient + tf.transpose(gradient)
        X = _transposed(a)
        # if A = Xᵀ, as in the lab, (X·both)ᵀ, so that A need not be kept; see _transpose_gradient
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
    """Return Transpose's gradient, without two copies of 59 MB if it is a transpose itself."""
    X = _transposed(gradient)
    if X is not None and _transposed(op.outputs[0]) is not None:
        return X, None
    return tf.transpose(gradient, tf.math.invert_permutation(op.inputs[1])), None


def _transposed(tensor):
    """Return the matrix whose `tf.transpose` is `tensor`, or None."""
    if tensor.op.type == "Transpose":
        matrix, axes = tensor.op.inputs
        return matrix if np.array_equal(tf.get_static_value(axes), [1, 0]) else None


def _is_transpose(a, b, flipped):
    """Return whether tensor `a` is `tf.transpose(b)`, compared by name, and neither is flipped."""
    matrix = _transposed(a)
    return matrix is not None and matrix.name == b.name and not any(flipped)
