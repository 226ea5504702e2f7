"""The terms of the cost, in numbers without units.

Each distance is divided by its expected size, so that a weight means the same for every image,
layer and size.
"""

import numpy as np
import scipy.fft

from nst.core.config import CONFIG
from nst.core.tensorflow import import_tensorflow
from nst.painting.image_ops import LUMA
from nst.vgg.frozen import large_constant

tf = import_tensorflow()

CONTENT_LAYER = "conv4_2"
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")  # Gatys et al., 2016
RANGE_UNIT = 30  # gray levels, root mean square, by which pixels outside 0-255 cost 1
BANDS = 8  # of frequencies in each direction, up to half a wave per pixel
# brightness and the differences of blue and red from it (JPEG's YCbCr), from RGB
OPPONENT = np.float32([LUMA, (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081)])


@tf.custom_gradient
def moments(A):
    """Return the means of AᵀA and of A over positions: (n_C, n_C) and (n_C,), float32.

    TensorFlow's own gradient of the two allocates six float32 arrays of A's size. This one, a
    product and a sum in A's type, makes an evaluation in bfloat16 10 % faster.

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
        # A·M + m as a 1×1 convolution: TensorFlow fuses a matrix product and a sum into one
        # operation, which takes three times as long in bfloat16
        product = tf.nn.conv2d(A[None, None], M[None, None], strides=1, padding="VALID")
        return tf.nn.bias_add(product, m)[0, 0]

    return (gram, mean), gradient


def statistics(layer):
    """Describe the activations (1, n_H, n_W, n_C) of one layer as a texture.

    The channels' means and standard deviations, in addition to the Gram matrix, are from Galerne
    et al. (2024): they hold the colors, which a Gram matrix mixes with contrast.

    Returns:
    tensors: the Gram matrix (n_C, n_C) per position, the means (n_C,), the deviations (n_C,)
    """
    A = tf.reshape(layer, [-1, layer.shape[-1]])  # (n_H*n_W, n_C)
    gram, mean = moments(A)  # Aᵀ A and A, averaged over positions
    return gram, mean, deviations(gram, mean)


def deviations(gram, mean):
    """Compute the channels' standard deviations (n_C,) from the other two of `statistics`."""
    variance = tf.maximum(tf.linalg.diag_part(gram) - mean**2, 0)
    return tf.sqrt(variance + 1e-3)  # the root has an infinite slope at 0: one-color images


def relative_distance(a, b):
    """Return the squared distance of two tensors of one shape, over the square of the second."""
    # l2_loss is half a sum of squares, in one operation
    return tf.nn.l2_loss(a - b) / tf.maximum(tf.nn.l2_loss(b), 5e-7)


def style_distance(texture, target):
    """Return the distance of one layer's `statistics` from others: the sum of three relative ones.

    0 for the style image.
    """
    return tf.add_n([relative_distance(a, b) for a, b in zip(texture, target, strict=True)])


def content_unit(photo, style):
    """Return the expected content distance of an image of this style that shows something else.

    That is mean a_C² + mean a_S² - 2 · mean (μ_C μ_S), where μ are the channels' means over
    positions. In units of mean a_C² alone, as is usual, a style of strong texture (a mosaic) costs
    more than a quiet one, and the same strength looks different for each image.

    Arguments:
    photo, style -- pairs (mean a², μ (n_C,)) of CONTENT_LAYER
    """
    (square_C, mean_C), (square_S, mean_S) = photo, style
    return max(float(square_C + square_S - 2 * np.mean(mean_C * mean_S)), 1e-6)


def spectrum(image):
    """Measure the power of an image's detail, by its frequency down and across.

    Arguments:
    image -- tensor (1, h, w, 3)

    Returns:
    tensor (3, BANDS, BANDS): mean squares of the cosine transform, in gray levels², by OPPONENT's
    colors and the frequencies down and across
    """
    planes = tf.tensordot(OPPONENT, image[0], [[1], [2]])  # (3, h, w)
    return _transform(_bands, _transform(_cosines, planes) ** 2)


def _transform(matrix, planes):
    """Multiply the columns and the rows of planes (3, h, w) by the matrix for their length."""
    down, across = (large_constant(matrix(side)) for side in planes.shape.as_list()[1:])
    return tf.matmul(tf.matmul(down, planes), across, transpose_b=True)


def _cosines(side):
    """Return the cosine transform of a row of pixels as an orthonormal matrix (side, side)."""
    return scipy.fft.dct(np.eye(side, dtype=np.float32), axis=0, norm="ortho")


def _bands(side):
    """Return the mean over each band of frequencies as a matrix (BANDS, side)."""
    band = np.arange(side) * BANDS // side
    members = np.float32(band == np.arange(BANDS)[:, None])
    return members / members.sum(axis=1, keepdims=True)


def measure_spectrum(image):
    """Evaluate `spectrum` for an array (1, h, w, 3)."""
    with tf.Graph().as_default(), tf.Session() as sess:
        tensor = tf.placeholder(tf.float32, image.shape)
        return sess.run(spectrum(tensor), {tensor: image})


def spectrum_cost(image, target):
    """Return the mean squared logarithm of the amplitude of an image's detail, over the style's.

    Liu, Gousseau and Xia (2016) hold a texture to the spectrum of its model in this way. VGG hardly
    sees the finest detail: its gradients leave a weave of fine lines down and across, which Gram
    matrices do not notice. The coarsest band is left to the network.

    Arguments:
    image -- tensor (1, h, w, 3)
    target -- array, the style image's `spectrum`

    Returns:
    scalar tensor: 0 for the style image
    """
    # one gray level² more is invisible, and a flat style has none
    ratios = tf.math.log((spectrum(image) + 1) / (large_constant(target) + 1)) / 2
    return tf.reduce_mean(tf.reshape(ratios, [3, -1])[:, 1:] ** 2)


def layout_cost(image, small):
    """Return the mean squared distance of the image, shrunk, from a smaller one, over its variance.

    Arguments:
    image -- tensor (1, H, W, 3)
    small -- array (1, h, w, 3), on the same scale

    Returns:
    scalar tensor: 0 if the image adds only detail that the small one cannot hold
    """
    shrunk = tf.compat.v2.image.resize(image, small.shape[1:3], "lanczos3", antialias=True)
    unit = max(float(np.var(small, axis=(1, 2)).mean()), 1.0)  # gray levels²
    return tf.reduce_mean((shrunk - large_constant(small)) ** 2) / unit


def range_cost(image):
    """Return the mean squared distance of the pixels from the range 0-255, over RANGE_UNIT².

    Arguments:
    image -- tensor (1, h, w, 3), normalized
    """
    inside = tf.clip_by_value(image, -CONFIG.MEANS, 255 - CONFIG.MEANS)
    return tf.reduce_mean((image - tf.stop_gradient(inside)) ** 2) / RANGE_UNIT**2
