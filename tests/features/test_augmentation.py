"""Rotated views."""

import hashlib

import numpy as np
import pytest

from covid19.features.augmentation import rotate, rotation_angle

DIGEST = "ab" * 32


def test_the_angle_is_a_pure_function_of_content_view_and_seed():
    draw = hashlib.sha256(f"{DIGEST}/1/42".encode()).digest()
    share = int.from_bytes(draw[:8], "big") / (2**64 - 1)
    assert rotation_angle(DIGEST, 1, 42, 15.0) == pytest.approx(-15 + 30 * share)
    assert len({rotation_angle(DIGEST, view, seed, 15.0) for view in (1, 2) for seed in (0, 1)}) == 4
    assert rotation_angle("cd" * 32, 1, 42, 15.0) != rotation_angle(DIGEST, 1, 42, 15.0)


def test_view_0_is_the_image_itself():
    assert rotation_angle(DIGEST, 0, 42, 15.0) == 0.0


def test_angles_fill_the_range_evenly_and_never_leave_it():
    angles = np.array([rotation_angle(DIGEST, view, 0, 15.0) for view in range(1, 4001)])
    assert np.abs(angles).max() <= 15
    counts, _ = np.histogram(angles, bins=10, range=(-15, 15))
    assert counts.min() > 330  # 400 expected in each, deviation 19
    assert counts.max() < 470


def test_a_quarter_turn_moves_pixels_exactly_and_counter_clockwise():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert np.array_equal(rotate(pixels, 90.0), np.rot90(pixels))


def test_what_comes_in_from_outside_repeats_the_edge():
    pixels = np.full((224, 224, 3), 9, np.uint8)
    pixels[:3] = 200
    turned = rotate(pixels, 10.0)
    assert turned[0, 0, 0] == 200  # zero fill would leave 0
    assert set(np.unique(turned)) <= set(range(9, 201))


def test_no_rotation_returns_the_pixels_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert np.array_equal(rotate(pixels, 0.0), pixels)
