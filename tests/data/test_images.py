"""One file to 224x224 RGB."""

import hashlib
import struct

import cv2
import numpy as np
import pytest
from helpers.corpus import encoded
from helpers.images import write_image

from covid19.data.grey_levels import to_8_bits
from covid19.data.images import decode_bytes, file_digest, read_picture, resize


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


def tiff(values, order="<", white_is_zero=False, extra_samples=0, following=0):
    """An uncompressed TIFF file of one strip."""
    samples = values.shape[2] if values.ndim == 3 else 1
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    photometric = 2 if samples - extra_samples == 3 else int(not white_is_zero)
    entries = [
        (256, values.shape[1]), (257, values.shape[0]), (258, 8 * values.dtype.itemsize), (259, 1), (262, photometric),
        (273, 8), (277, samples), (278, values.shape[0]), (279, len(data)), (339, kind), *[(338, 2)] * bool(extra_samples),
    ]  # fmt: skip
    directory, behind = b"", b""
    place = 8 + len(data) + 2 + 12 * len(entries) + 4
    for tag, value in sorted(entries):
        count = samples if tag in (258, 339) else 1
        word = struct.pack(f"{order}{count}H" if value < 1 << 16 else f"{order}I", *[value] * count)
        if len(word) > 4:
            word, behind = struct.pack(f"{order}I", place + len(behind)), behind + word
        directory += struct.pack(f"{order}HHI", tag, 3 if value < 1 << 16 else 4, count) + word.ljust(4, b"\0")
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    return start + data + struct.pack(f"{order}H", len(entries)) + directory + struct.pack(f"{order}I", following) + behind


RAMP = np.tile(np.arange(0, 40_000, 200, dtype=np.uint16), (20, 1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_deep_tiffs_are_read_upright(order, kind, white_is_zero):
    stored = (RAMP // 2).astype(kind)
    values, _ = decode_bytes(tiff(30_000 - stored if white_is_zero else stored, order, white_is_zero))
    assert np.array_equal(values[..., 0], to_8_bits(RAMP))


def test_deep_colours_of_a_tiff_stay_apart():
    values, _ = decode_bytes(tiff(np.dstack([RAMP, RAMP // 2, RAMP // 4])))
    assert np.array_equal(values, to_8_bits(np.dstack([RAMP, RAMP // 2, RAMP // 4])))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tiff(np.dstack([RAMP, RAMP]), extra_samples=1), "OpenCV reads 8 of its 16 bits: save it without transparency"),
        (tiff(RAMP, ">", white_is_zero=True, following=8), "more than one page"),
        (tiff(RAMP.astype(np.float16)), "pixels of a kind that it does not know: save it as 8-bit PNG"),
    ],
)
def test_a_tiff_of_which_a_part_would_be_lost_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        decode_bytes(content)


@pytest.mark.parametrize("missing", [1, 4, 8, 12])
def test_a_png_that_lacks_its_last_chunk_alone_is_read(missing):
    content = encoded("PNG")
    assert np.array_equal(decode_bytes(content[:-missing])[0], decode_bytes(content)[0])
    with pytest.raises(ValueError, match="truncated"):
        decode_bytes(content[: -12 - missing])
