"""One file to 224x224 RGB."""

import hashlib

import cv2
import numpy as np
import pytest
from helpers.images import write_image

from covid19.data.images import file_digest, read_picture, resize


def test_a_pure_red_file_reads_as_rgb_red(tmp_path):
    red = np.zeros((300, 260, 3), np.uint8)
    red[..., 0] = 255
    picture = read_picture(write_image(tmp_path / "red.png", red))
    pixels = picture.pixels
    assert (picture.width, picture.height) == (260, 300)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert np.array_equal(np.unique(pixels.reshape(-1, 3), axis=0), [[255, 0, 0]])


def test_a_grey_file_has_three_equal_channels(tmp_path):
    ramp = np.tile(np.arange(224, dtype=np.uint8), (224, 1))
    pixels = read_picture(write_image(tmp_path / "ramp.png", ramp)).pixels
    assert np.array_equal(pixels, np.repeat(ramp[..., None], 3, axis=2))


def test_the_digest_is_of_the_content_not_of_the_name(tmp_path):
    first = write_image(tmp_path / "a.png", np.zeros((9, 9), np.uint8))
    second = tmp_path / "b.png"
    second.write_bytes(first.read_bytes())
    assert file_digest(first) == file_digest(second) == hashlib.sha256(first.read_bytes()).hexdigest()


def test_shrinking_averages_areas_so_that_a_fine_grid_becomes_grey_not_black_or_white():
    grid = np.zeros((448, 448, 3), np.uint8)
    grid[::2] = 200  # every second row: linear interpolation at half size would do as well, but
    grid[:, ::2] += 40  # only the mean of each 2x2 cell, (240 + 200 + 40 + 0) / 4, is 120
    assert np.array_equal(np.unique(resize(grid)), [120])


def test_an_axis_that_grows_does_not_spoil_one_that_shrinks():
    stripes = np.zeros((100, 448, 3), np.uint8)
    stripes[:, ::2] = 100
    assert np.array_equal(np.unique(resize(stripes)), [50])


def test_aspect_ratio_is_ignored():
    wide = np.zeros((224, 896, 3), np.uint8)
    wide[:, 448:] = 255
    small = resize(wide)
    assert small[0, 111, 0] == 0
    assert small[0, 112, 0] == 255


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "the file is empty"), (b"no image at all", "not an image of a kind that is read")]
)
def test_a_file_that_is_no_image_is_refused(tmp_path, content, reason):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_picture(path)


def test_exif_orientation_is_applied(tmp_path):
    upright = np.zeros((80, 40), np.uint8)
    upright[:40] = 255
    jpeg = cv2.imencode(".jpg", upright)[1].tobytes()
    # A minimal EXIF block whose orientation is 3: the picture is upside down.
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    pixels = read_picture(path).pixels
    assert pixels[10].mean() < 20
    assert pixels[-10].mean() > 235


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_a_12_bit_image_in_a_16_bit_file_keeps_its_contrast(tmp_path, ending):
    ramp = np.tile(np.linspace(100, 4195, 224).round().astype(np.uint16), (224, 1))  # 4096 values, all below 1/15 of 65535
    pixels = read_picture(write_image(tmp_path / f"ramp.{ending}", ramp)).pixels
    expected = np.rint((ramp[0] - 100.0) * 255 / 4095)
    assert np.array_equal(pixels[0, :, 0], expected)
    assert (pixels[0, 0, 0], pixels[0, -1, 0]) == (0, 255)


def test_a_constant_16_bit_image_is_black_not_a_division_by_zero(tmp_path):
    assert not read_picture(write_image(tmp_path / "flat.png", np.full((224, 224), 1000, np.uint16))).pixels.any()
