"""What is measured of a picture's looks: golden values of pictures that are worked out by hand."""

import numpy as np
import pytest

from covid19.data.appearance import APPEARANCE_WIDTH, GREY_PERCENTILES, appearance


def grey(levels):
    """An RGB picture of grey levels."""
    return np.repeat(np.asarray(levels, np.uint8)[..., None], 3, axis=2)


def test_a_picture_of_one_shade_has_that_shade_everywhere_and_no_details():
    numbers = appearance(grey(np.full((224, 224), 100)))
    assert (numbers.shape, numbers.dtype) == ((APPEARANCE_WIDTH,), np.float32)
    np.testing.assert_allclose(numbers, [100] * 9 + [0] * 5, atol=1e-4)


def test_percentiles_are_of_the_grey_levels():
    every_level = grey(np.tile(np.arange(101), (224, 1)))
    np.testing.assert_allclose(appearance(every_level)[:9], GREY_PERCENTILES, atol=0.5)
    red = np.zeros((224, 224, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(appearance(red)[:9], 76)  # 0.299 of it


def test_details_smaller_than_a_blur_are_the_difference_from_it():
    stripes = grey(np.tile([0, 200], (224, 112)))  # one pixel wide, so that a wide blur makes them one shade of 100
    np.testing.assert_allclose(appearance(stripes)[10:12], np.log(101), rtol=0.01)


def test_a_paler_picture_has_a_smaller_range_and_weaker_details():
    picture = grey(np.random.default_rng(0).integers(0, 256, (224, 224)))
    before, paler = appearance(picture), appearance(picture // 2 + 50)
    assert paler[8] - paler[0] == pytest.approx((before[8] - before[0]) / 2, abs=1)
    np.testing.assert_allclose(np.expm1(paler[9:12]), np.expm1(before[9:12]) / 2, rtol=0.02)


def test_what_is_nearly_black_or_white_is_counted():
    levels = np.array([0, 3, 4, 128, 251, 252, 255, 255])
    np.testing.assert_allclose(appearance(grey(np.tile(levels, (224, 28))))[-2:], [2 / 8, 3 / 8])
