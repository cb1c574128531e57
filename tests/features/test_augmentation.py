"""Augmented copies of images."""

import hashlib

import numpy as np
import pytest

from covid19.core.settings import TrainingSettings
from covid19.features.augmentation import View, draw_augmentations
from covid19.features.augmentations.rotation import Rotation
from covid19.features.cache import feature_key

DIGEST = "ab" * 32


def angle(digest, copy, seed):
    return Rotation.draw(digest, copy, TrainingSettings(seed=seed, rotation=15.0)).angle


def test_the_angle_is_a_pure_function_of_content_copy_and_seed():
    draw = hashlib.sha256(f"{DIGEST}/1/42".encode()).digest()
    fraction = int.from_bytes(draw[:8], "big") / (2**64 - 1)
    assert angle(DIGEST, 1, 42) == pytest.approx(-15 + 30 * fraction)
    assert len({angle(DIGEST, copy, seed) for copy in (1, 2) for seed in (0, 1)}) == 4
    assert angle("cd" * 32, 1, 42) != angle(DIGEST, 1, 42)


def test_angle_and_cache_keys_are_those_of_caches_written_before_but_for_the_version_of_decoding(monkeypatch):
    new = feature_key(DIGEST, "9.017789927477189", "base").hex()
    monkeypatch.setattr("covid19.features.cache.PREPROCESSING_VERSION", 1)
    copy = View(None, draw_augmentations(DIGEST, 1, TrainingSettings(seed=42, rotation=15.0)))
    assert copy.augmentation_key == "9.017789927477189"
    assert feature_key(DIGEST, copy.augmentation_key, "base").hex() == "065b51952705398559753711f044ce39" != new
    assert feature_key(DIGEST, View(None).augmentation_key, "base").hex() == "d50d2efe1badc684770e7ff25d3392d7"


def test_copy_0_is_the_image_itself():
    assert draw_augmentations(DIGEST, 0, TrainingSettings()) == ()


def test_angles_fill_the_range_evenly_and_never_leave_it():
    angles = np.array([angle(DIGEST, copy, 0) for copy in range(1, 4001)])
    assert np.abs(angles).max() <= 15
    counts, _ = np.histogram(angles, bins=10, range=(-15, 15))
    assert counts.min() > 330  # 400 expected in each, deviation 19
    assert counts.max() < 470


def test_a_quarter_turn_moves_pixels_exactly_and_counter_clockwise():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert np.array_equal(Rotation(90.0).apply(pixels), np.rot90(pixels))


def test_what_comes_in_from_outside_repeats_the_edge():
    pixels = np.full((224, 224, 3), 9, np.uint8)
    pixels[:3] = 200
    rotated = Rotation(10.0).apply(pixels)
    assert rotated[0, 0, 0] == 200  # zero fill would leave 0
    assert set(np.unique(rotated)) <= set(range(9, 201))


def test_no_rotation_returns_the_pixels_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert np.array_equal(Rotation(0.0).apply(pixels), pixels)
