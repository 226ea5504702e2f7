"""The picture functions of SciPy 1.2, by its documentation."""

import numpy as np
import pytest

from nst.lab import scipy_misc


def test_a_saved_picture_reads_back(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    scipy_misc.imsave(tmp_path / "picture.png", pixels)
    np.testing.assert_array_equal(scipy_misc.imread(tmp_path / "picture.png"), pixels)
    gray = scipy_misc.imread(tmp_path / "picture.png", flatten=True)
    np.testing.assert_allclose(gray, pixels @ [0.299, 0.587, 0.114], atol=1)  # ITU-R BT.601 luma


def test_a_picture_of_floats_is_stretched_from_its_range(tmp_path):
    scipy_misc.imsave(tmp_path / "gray.png", np.array([[-1.0, 0.0], [1.0, 3.0]]))
    expected = [[0, 64], [128, 255]]  # 255 * (x + 1) / 4, rounded
    np.testing.assert_array_equal(scipy_misc.imread(tmp_path / "gray.png"), expected)


@pytest.mark.parametrize("size", [(30, 40), 50, 0.5])
def test_imresize_takes_height_and_width_percent_or_factor(size):
    constant = np.full((60, 80, 3), 7, np.uint8)
    small = scipy_misc.imresize(constant, size)
    np.testing.assert_array_equal(small, constant[:30, :40])


def test_a_batch_is_no_picture():
    with pytest.raises(ValueError, match=r"array has \(1, 300, 400, 3\).*image\[0\]"):
        scipy_misc.imsave("never.png", np.zeros((1, 300, 400, 3)))


def test_imresize_takes_a_shape_with_channels_and_the_old_names_of_filters():
    constant = np.full((60, 80, 3), 7, np.uint8)
    np.testing.assert_array_equal(
        scipy_misc.imresize(constant, (30, 40, 3), interp="cubic"), constant[:30, :40]
    )
    floats = np.full((6, 8), 0.25, np.float32)
    np.testing.assert_array_equal(scipy_misc.imresize(floats, 0.5, mode="F"), floats[:3, :4])


def test_toimage_and_fromimage_are_inverse():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    np.testing.assert_array_equal(scipy_misc.fromimage(scipy_misc.toimage(pixels)), pixels)
    np.testing.assert_array_equal(np.asarray(scipy_misc.toimage(pixels.transpose(2, 0, 1))), pixels)
    clipped = scipy_misc.toimage(np.array([[-5.0, 0.0], [100.0, 300.0]]), cmin=0, cmax=255)
    np.testing.assert_array_equal(np.asarray(clipped), [[0, 0], [100, 255]])


def test_a_picture_that_is_missing_gets_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"louvre\.jpg not found: "):
        scipy_misc.imread(tmp_path / "louvre.jpg")
    message = r"louvre\.jpg not found: .*, or put your copy of it into images/$"
    with pytest.raises(FileNotFoundError, match=message):
        scipy_misc.imread("images/louvre.jpg")
