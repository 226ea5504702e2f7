"""What a picture in the making costs, in numbers without units.

Each distance is divided by what is to be expected of it, so a weight means the same for every
picture, layer and size.
"""

import numpy as np
import scipy.fft

from nst.core.config import CONFIG
from nst.core.tensorflow import import_tensorflow
from nst.painting.image_ops import resampling_matrix
from nst.vgg.frozen import large_constant, moments

tf = import_tensorflow()

BANDS = 8  # of frequencies in each direction, up to half a wave a pixel
# brightness, blue and red as seen beside it (JPEG's YCbCr), of RGB
OPPONENT = np.float32([(0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081)])
BEYOND = 30  # grey levels, root mean square, that a picture may go beyond 0-255 at a cost of 1
CONTENT_LAYER = "conv4_2"
# Gatys et al.'s five, and conv4_2, where the content cost alone would keep the photograph's texture
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")


def statistics(layer):
    """Describe one layer's activations (1, n_H, n_W, n_C) as a texture.

    Means and deviations beside the Gram matrix: Galerne et al., 2024. They hold the colours, which
    a Gram matrix mixes with contrast.

    Returns:
    tensors of the Gram matrix (n_C, n_C) per position, the channels' means (n_C,) and their
    standard deviations (n_C,)
    """
    A = tf.reshape(layer, [-1, layer.shape[-1]])  # (n_H*n_W, n_C)
    gram, mean = moments(A)  # Aᵀ A and A, averaged over positions
    return gram, mean, deviations(gram, mean)


def deviations(gram, mean):
    """Derive the channels' standard deviations (n_C,) from the other two of `statistics`."""
    variance = tf.maximum(tf.linalg.diag_part(gram) - mean**2, 0)
    return tf.sqrt(variance + 1e-3)  # a root has no slope at 0: one-colour pictures


def relative_distance(a, b):
    """Squared distance of two tensors of one shape, in units of the second: 0 where equal."""
    # l2_loss is half a sum of squares, in one operation
    return tf.nn.l2_loss(a - b) / tf.maximum(tf.nn.l2_loss(b), 5e-7)


def style_cost(layers, targets):
    """Mean over STYLE_LAYERS of the distances in Gram matrix, means and standard deviations.

    Arguments:
    layers -- dict of tensors, by name
    targets -- for each of STYLE_LAYERS, or the first of them, the three arrays of `statistics`

    Returns:
    scalar tensor: 0 for the style picture
    """
    return style_distance([statistics(layers[name]) for name in STYLE_LAYERS], targets)


def style_distance(found, targets):
    """Compare a texture with targets, each a list of the three `statistics` of layers in order."""
    terms = [
        relative_distance(ours, theirs)
        for layers in zip(found, targets, strict=False)
        for ours, theirs in zip(*layers, strict=True)
    ]
    return tf.add_n(terms) / len(STYLE_LAYERS)


def content_cost(a_G, a_C, target):
    """Mean squared distance of the activations from the photograph's, without unit.

    Arguments:
    a_G -- tensor (1, n_H, n_W, n_C) of CONTENT_LAYER
    a_C -- array of that shape, the photograph's
    target -- the style's three arrays of `statistics` for this layer

    Returns:
    scalar tensor: 0 for the photograph, 1 for a picture that has nothing of it but the style
    """
    unit = content_unit(np.mean(a_C**2), a_C.mean(axis=(0, 1, 2)), target)
    return tf.reduce_mean((a_G - large_constant(a_C)) ** 2) / unit


def content_unit(square, mean, target):
    """Expect how far from the photograph a picture in this style, of another subject, would be.

    That is mean a_C² + mean a_S² - 2 · mean (μ_C μ_S), μ over positions. In units of a_C² alone, as
    is usual, a style of strong texture (a mosaic) costs more at every weight than a quiet one, and
    a strength looks different on every picture.

    Arguments:
    square, mean -- of the photograph's activations: mean a_C² and μ_C (n_C,)
    target -- see `content_cost`
    """
    gram_S, mean_S, _ = target
    unit = square + np.mean(np.diag(gram_S)) - 2 * np.mean(mean * mean_S)
    return max(float(unit), 1e-6)


def spectrum(image):
    """Measure how much detail an image has, by its frequency across and down.

    Arguments:
    image -- tensor (1, h, w, 3)

    Returns:
    tensor (3, BANDS, BANDS): mean squares of the cosine transform, grey levels², of the colours in
    OPPONENT and of frequencies down and across
    """
    colours = tf.tensordot(OPPONENT, image[0], [[1], [2]])  # (3, h, w)
    return _down_and_across(_bands, _down_and_across(_cosines, colours) ** 2)


def _down_and_across(matrix, planes):
    """Multiply the columns, and the rows, of planes (3, h, w) by a matrix for their length."""
    down, across = (large_constant(matrix(side)) for side in planes.shape.as_list()[1:])
    return tf.matmul(tf.matmul(down, planes), across, transpose_b=True)


def _cosines(side):
    """Write the cosine transform of a row of pixels as an orthonormal matrix (side, side)."""
    return scipy.fft.dct(np.eye(side, dtype=np.float32), axis=0, norm="ortho")


def _bands(side):
    """Write the means over bands of frequencies as a matrix (BANDS, side)."""
    band = np.arange(side) * BANDS // side
    members = np.float32(band == np.arange(BANDS)[:, None])
    return members / members.sum(axis=1, keepdims=True)


def measure_spectrum(picture):
    """Evaluate `spectrum` for an array (1, h, w, 3)."""
    with tf.Graph().as_default(), tf.Session() as sess:
        image = tf.placeholder(tf.float32, picture.shape)
        return sess.run(spectrum(image), {image: picture})


def spectrum_cost(image, target):
    """Mean squared logarithm of an image's detail, as an amplitude, over the style's.

    What VGG sees hardly depends on the finest detail, so its gradients leave a weave of fine lines,
    across and down, where a style has strokes in all directions; Gram matrices do not notice.
    After Liu, Gousseau and Xia, 2016, who hold a texture to the spectrum of its model. The coarsest
    band is left to the network.

    Arguments:
    image -- tensor (1, h, w, 3)
    target -- array, the style's `spectrum`

    Returns:
    scalar tensor: 0 for the style picture
    """
    # a grey level² more is invisible, and a flat style has none
    ratios = tf.math.log((spectrum(image) + 1) / (large_constant(target) + 1)) / 2
    return tf.reduce_mean(tf.reshape(ratios, [3, -1])[:, 1:] ** 2)


def layout_cost(image, small):
    """Mean squared distance of the image, shrunk, from a smaller one, over that one's variance.

    Arguments:
    image -- tensor (1, H, W, 3)
    small -- array (1, h, w, 3), on the same scale

    Returns:
    scalar tensor: 0 where the image adds nothing but detail that the small one cannot hold
    """
    rows, columns = (
        resampling_matrix(before, after)
        for before, after in zip(image.shape.as_list()[1:3], small.shape[1:3], strict=True)
    )
    shrunk = tf.einsum("hi,bijc,wj->bhwc", large_constant(rows), image, large_constant(columns))
    unit = max(float(np.var(small, axis=(1, 2)).mean()), 1.0)  # grey levels²
    return tf.reduce_mean((shrunk - large_constant(small)) ** 2) / unit


def range_cost(image):
    """Mean squared distance of the pixels from the range 0-255, in units of BEYOND².

    Arguments:
    image -- tensor (1, h, w, 3), normalised
    """
    inside = tf.clip_by_value(image, -CONFIG.MEANS, 255 - CONFIG.MEANS)
    return tf.reduce_mean((image - tf.stop_gradient(inside)) ** 2) / BEYOND**2
