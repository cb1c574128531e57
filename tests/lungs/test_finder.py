"""The lung finder on phantoms, whose lungs are known exactly, and on pictures without lungs."""

import cv2
import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from helpers.paths import SHARED

from covid19.data.build.phantoms import draw_phantom, draw_phantom_with_lungs
from covid19.data.images import as_picture, read_picture
from covid19.lungs.finder import LungFinder
from covid19.lungs.network import build_network, load_network, prepare_pictures, save_weights, weight_shapes
from covid19.lungs.opencv_network import OpenCvNetwork
from covid19.lungs.weights import WEIGHTS_FILE

MAX_WEIGHTS_BYTES = 600_000


@pytest.fixture(scope="module")
def finder():
    return LungFinder()


def phantom(number, sick):
    pixels, lungs = draw_phantom_with_lungs(np.random.default_rng((9, number)), np.random.default_rng((8, number)), 256, sick)
    picture = as_picture(np.repeat(pixels[..., None], 3, axis=2), negative=False)
    mask = as_picture(np.repeat(255 * lungs[..., None].astype(np.uint8), 3, axis=2), negative=False)
    return picture.pixels, mask.pixels[..., 0] > 127


def test_the_lungs_of_phantoms_are_found(finder):
    pairs = [phantom(number, sick=number % 2 == 0) for number in range(1000, 1012)]  # training took the first 200
    found = finder.find(np.stack([pixels for pixels, _ in pairs]))
    overlap = [(own.mask & truth).sum() / (own.mask | truth).sum() for own, (_, truth) in zip(found, pairs, strict=True)]
    assert all(own.found and own.reason == "" and own.parts == 2 for own in found)
    assert min(overlap) > 0.85


def test_a_batch_gives_what_one_at_a_time_gives(finder):
    pictures = np.stack([phantom(number, sick=False)[0] for number in range(1000, 1003)])
    together, alone = finder.find(pictures), [finder.find(pictures[n : n + 1])[0] for n in range(3)]
    for one, other in zip(together, alone, strict=True):
        assert (one.mask != other.mask).mean() < 0.001
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
    assert finder.find(pictures[:0]) == []


def test_opencv_computes_what_keras_computes():
    prepared = prepare_pictures([*(phantom(number, sick=False)[0] for number in (1000, 1001)), noise(np.random.default_rng(4))])
    expected = np.asarray(load_network().predict_on_batch(prepared))[..., 0]
    network = OpenCvNetwork()
    np.testing.assert_allclose([network.logits(one) for one in prepared], expected, atol=1e-3)
    assert weight_shapes() == [tuple(weight.shape) for weight in build_network().weights]


def noise(generator):
    return generator.integers(0, 256, (224, 224, 3), np.uint8)


def ramp(generator):
    return np.repeat(np.linspace(0, 255, 224).astype(np.uint8)[:, None, None], 224, axis=1).repeat(3, axis=2)


def one_shade(generator):
    return np.full((224, 224, 3), 90, np.uint8)


def abdomen(generator):
    """The lower third of a phantom, where there is no lung."""
    pixels, _ = draw_phantom_with_lungs(generator, generator, 256, sick=False)
    return as_picture(np.repeat(pixels[-60:, :, None], 3, axis=2), negative=False).pixels


def hand(generator):
    """Five bright fingers and a palm on black."""
    picture = np.zeros((224, 224, 3), np.uint8)
    cv2.ellipse(picture, (112, 160), (45, 50), 0, 0, 360, (110,) * 3, -1)
    for finger, length in zip(range(-60, 61, 30), (70, 100, 110, 100, 80), strict=True):
        end = (round(112 + length * np.sin(np.deg2rad(finger))), round(140 - length * np.cos(np.deg2rad(finger))))
        cv2.line(picture, (112, 150), end, (110,) * 3, 22)
        cv2.line(picture, (112, 150), end, (220,) * 3, 8)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def axial_slice(generator):
    """A flat bright body on black with two dark lungs side by side, a spine behind and a heart before them."""
    picture = np.zeros((224, 224, 3), np.uint8)
    cv2.ellipse(picture, (112, 112), (100, 70), 0, 0, 360, (160,) * 3, -1)
    for x in (66, 158):
        cv2.ellipse(picture, (x, 112), (34, 46), 0, 0, 360, (25,) * 3, -1)
    cv2.circle(picture, (112, 160), 15, (250,) * 3, -1)
    cv2.ellipse(picture, (122, 90), (30, 25), 0, 0, 360, (180,) * 3, -1)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1), np.uint8)


def photograph(generator):
    """Discs before a sky and a meadow."""
    picture = np.full((224, 224, 3), (120, 170, 235), np.uint8)
    picture[112:] = (60, 140, 50)
    for x, y, radius in generator.integers((0, 0, 8), (224, 224, 50), (12, 3)):
        cv2.circle(picture, (int(x), int(y)), int(radius), [int(part) for part in generator.integers(0, 255, 3)], -1)
    return picture


@pytest.mark.parametrize("draw", [noise, ramp, one_shade, abdomen, hand, axial_slice, photograph])
def test_in_pictures_of_other_things_no_lungs_are_found_and_it_is_said_why(finder, draw):
    (found,) = finder.find(draw(np.random.default_rng(3))[None])
    assert not found.found
    assert found.reason


def test_the_weights_are_numbers_of_a_bounded_size_and_fit_the_network(tmp_path):
    numbers = np.load(WEIGHTS_FILE, allow_pickle=False)
    assert numbers.dtype == np.float16
    assert np.isfinite(numbers).all()
    assert WEIGHTS_FILE.stat().st_size <= MAX_WEIGHTS_BYTES
    assert len(numbers) == build_network().count_params()
    save_weights(load_network(), tmp_path / "again.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), numbers)
    np.save(tmp_path / "short.npy", numbers[1:])
    with pytest.raises(ValueError, match="install the package again"):
        load_network(tmp_path / "short.npy")


def test_exposure_and_contrast_change_nothing_that_the_network_is_given():
    pixels = phantom(1000, sick=False)[0]
    darker = (pixels // 2 + 20).astype(np.uint8)
    np.testing.assert_allclose(prepare_pictures(darker[None]), prepare_pictures(pixels[None]), atol=0.02)


def test_a_phantom_is_drawn_the_same_with_and_without_its_lungs():
    alone = draw_phantom(np.random.default_rng(1), np.random.default_rng(2), 128, sick=True)
    pixels, lungs = draw_phantom_with_lungs(np.random.default_rng(1), np.random.default_rng(2), 128, sick=True)
    np.testing.assert_array_equal(alone, pixels)
    assert lungs.shape == pixels.shape
    assert 0.15 < lungs.mean() < 0.45


@pytest.mark.skipif(not (SHARED / "dicom").is_dir(), reason="needs the real radiograph")
def test_the_lungs_of_a_radiograph_are_found_in_both_photometric_interpretations(finder):
    files = sorted((SHARED / "dicom").glob("*.dcm"))
    found = finder.find(np.stack([read_picture(file).pixels for file in files]))
    assert all(own.found for own in found)
