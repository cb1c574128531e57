"""Masks of lungs and pictures with them hidden: golden values on small shapes."""

import zlib

import cv2
import numpy as np
import pytest

from covid19.lungs.masks import (
    body_axis,
    bounding_box,
    convex_hull,
    fraction_inside,
    grown,
    largest_parts,
    packed,
    unpacked,
    whole_lungs,
)
from covid19.lungs.occlusion import Hides, Occlusion, fill, on_picture

SIDE = 224


def rectangle(top, bottom, left, right):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return mask


def two_lungs():
    return rectangle(50, 170, 30, 90) | rectangle(50, 170, 130, 190)


def test_specks_and_holes_are_not_kept_and_parts_are_counted():
    mask = two_lungs() | rectangle(5, 8, 5, 8)
    mask[100:110, 50:60] = False
    cleaned, parts = largest_parts(mask)
    assert parts == 2
    np.testing.assert_array_equal(cleaned, two_lungs())
    assert largest_parts(np.zeros((SIDE, SIDE), bool))[1] == 0


def test_of_three_parts_the_two_largest_are_kept():
    cleaned, parts = largest_parts(two_lungs() | rectangle(180, 210, 100, 130))
    assert parts == 3
    np.testing.assert_array_equal(cleaned, two_lungs())


def test_a_mask_grows_by_the_margin_on_each_side():
    assert bounding_box(grown(rectangle(100, 110, 100, 120), 9)) == (91, 91, 38, 28)


def test_the_convex_hull_holds_what_lies_between_the_lungs():
    hull = convex_hull(two_lungs())
    np.testing.assert_array_equal(hull, rectangle(50, 170, 30, 190))
    assert not convex_hull(np.zeros((SIDE, SIDE), bool)).any()


def drawn(*outlines):
    """A mask with these polygons of corners (x, y) in it."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    for corners in outlines:
        cv2.fillPoly(canvas, [np.array(corners)], 1)
    return canvas.astype(bool)


RIGHT_LUNG = ((80, 40), (95, 40), (95, 170), (40, 170), (50, 70))
BESIDE_THE_HEART = ((129, 40), (144, 40), (174, 70), (184, 180), (165, 170))  # the heart covers its lower inner corner
BEHIND_THE_HEART = ((129, 40), (144, 40), (174, 70), (184, 180), (129, 180))


def turned(mask, degrees):
    """Turned clockwise about the middle of the picture."""
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), -degrees, 1)
    return cv2.warpAffine(mask.astype(np.uint8), matrix, (SIDE, SIDE)) > 0


@pytest.mark.parametrize("degrees", [-12, 0, 12])
def test_whole_lungs_hold_what_the_heart_covers_however_the_patient_is_tilted(degrees):
    found, whole = (turned(drawn(RIGHT_LUNG, left), degrees) for left in (BESIDE_THE_HEART, BEHIND_THE_HEART))
    assert (whole & ~found).sum() > 0.1 * whole.sum()
    assert (whole & ~grown(whole_lungs(found))).sum() == 0
    spine = turned(rectangle(60, 160, 108, 116), degrees)
    assert not (spine & whole_lungs(found)).any()


def test_the_body_axis_is_that_of_the_best_mirror_image():
    upright = drawn(RIGHT_LUNG, [(SIDE - 1 - x, y) for x, y in RIGHT_LUNG])
    for degrees in (-10, 0, 14):
        centre, tilt = body_axis(turned(upright, degrees))
        assert np.rad2deg(tilt) == pytest.approx(degrees, abs=2)
        assert centre[0] == pytest.approx(SIDE / 2 - np.sin(np.deg2rad(degrees)) * (centre[1] - SIDE / 2), abs=2)


def test_whole_lungs_of_a_mask_in_one_part_are_those_of_its_halves_and_of_nothing_nothing():
    joined = two_lungs() | rectangle(100, 104, 90, 130)
    whole = whole_lungs(joined)
    assert whole[169, 30:190].all()  # both reach the middle below
    assert whole[joined].all()
    assert not whole[50, 90:130].any()
    one = rectangle(50, 170, 30, 90)
    np.testing.assert_array_equal(whole_lungs(one), one)
    assert not whole_lungs(np.zeros((SIDE, SIDE), bool)).any()


def test_a_packed_mask_comes_back_as_it_was():
    assert len(packed(two_lungs())) < 600
    np.testing.assert_array_equal(unpacked(packed(two_lungs())), two_lungs())
    for wrong in (b"short", zlib.compress(b"short"), zlib.compress(bytes(6273)), packed(two_lungs())[:-5]):
        with pytest.raises(ValueError, match="no packed mask: "):
            unpacked(wrong)


def test_the_fraction_of_a_heat_map_inside_a_mask_is_worked_out_by_hand():
    masks = np.zeros((2, SIDE, SIDE), bool)
    masks[:, :112] = True
    maps = np.zeros((2, 7, 7), np.float32)
    maps[0, 0, 0], maps[0, 6, 6] = 3, 1
    # of the first, 3 of 4 lie in the upper half; the second is 0 everywhere, so its fraction is that of the area
    assert [fraction_inside(heat, mask) for heat, mask in zip(maps, masks, strict=True)] == pytest.approx([0.75, 0.5])


@pytest.mark.parametrize("is_box", [False, True])
@pytest.mark.parametrize("hides", [Hides.LUNGS, Hides.HULL, Hides.ALL_BUT_OUTLINE])
def test_a_hidden_view_has_the_same_pixels_whatever_the_lungs_show(hides, is_box):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    other = pixels.copy()
    other[two_lungs()] = generator.integers(0, 256, (int(two_lungs().sum()), 3), np.uint8)
    occlusion = Occlusion(hides, packed(two_lungs()), is_box)
    hidden = occlusion.apply(pixels)
    np.testing.assert_array_equal(hidden, occlusion.apply(other))
    assert not np.array_equal(hidden, pixels)


def test_hiding_the_lungs_leaves_the_mediastinum_and_hiding_the_hull_does_not():
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[100:120, 105:115] = 255  # where a disc in the mediastinum would be
    lungs = packed(two_lungs())
    assert Occlusion(Hides.LUNGS, lungs).apply(pixels)[100:120, 105:115].min() == 255
    assert Occlusion(Hides.HULL, lungs).apply(pixels).max() == 0


@pytest.mark.parametrize("is_box", [False, True])
def test_lungs_alone_have_the_same_pixels_whatever_lies_outside_them(is_box):
    generator = np.random.default_rng(0)
    occlusion = Occlusion(Hides.SURROUNDINGS, packed(two_lungs()), is_box)
    pixels = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    other = np.where(occlusion.part()[..., None], pixels, generator.integers(0, 256, pixels.shape, np.uint8))
    np.testing.assert_array_equal(occlusion.apply(pixels), occlusion.apply(other))
    darker = np.where(two_lungs()[..., None], pixels // 2, pixels)
    assert not np.array_equal(occlusion.apply(pixels), occlusion.apply(darker))


def test_lungs_alone_fill_the_picture_and_a_heat_map_of_them_is_placed_back():
    box = rectangle(60, 160, 40, 140)
    occlusion = Occlusion(Hides.SURROUNDINGS, packed(box), is_box=True)
    pixels = np.where(box[..., None], np.uint8(200), np.zeros((SIDE, SIDE, 3), np.uint8))
    assert occlusion.apply(pixels).min() == 200  # what lies outside is filled from the edge
    outline = Occlusion(Hides.ALL_BUT_OUTLINE, packed(box), is_box=True).apply(pixels)
    assert outline[SIDE // 2, SIDE // 2].tolist() == [255] * 3
    assert outline[0].max() == 0  # the margin of 4 pixels around the box
    heat = np.zeros((7, 7), np.float32)
    heat[0, 0] = 1
    placed = on_picture(heat, occlusion)
    assert placed.shape == (SIDE, SIDE)
    assert np.unravel_index(placed.argmax(), placed.shape) == (56, 36)
    assert placed[:56].max() == placed[:, :36].max() == placed[100:].max() == 0
    np.testing.assert_array_equal(on_picture(heat, None), heat)


def test_the_fill_goes_smoothly_from_one_side_to_the_other():
    pixels = np.repeat(np.linspace(0, 250, SIDE).astype(np.uint8)[None, :, None], SIDE, axis=0).repeat(3, axis=2)
    filled = fill(pixels, rectangle(80, 140, 80, 140))
    assert np.abs(filled.astype(int) - pixels).max() < 40
    np.testing.assert_array_equal(filled[~rectangle(80, 140, 80, 140)], pixels[~rectangle(80, 140, 80, 140)])
    assert fill(pixels, np.ones((SIDE, SIDE), bool)).max() == 0
