"""Images that claim, or are, too much are refused by their headers; the memory and time of the rest are bounded."""

import io
import struct
import time
import zlib

import numpy as np
import pydicom
import pytest
from helpers.corpus import GREY, dicom, encoded, png_header
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from covid19.data.dicom import header, read_dicom
from covid19.data.grey_levels import to_8_bits
from covid19.data.images import check_size, decode_bytes
from covid19.data.jpeg import MAX_JPEG_SCANS


def compressed(syntax, frame, **tags):
    """A DICOM file around a compressed frame, whose header says what `GREY` is."""

    def change(dataset):
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        for name, value in tags.items():
            setattr(dataset, name, value)

    return dicom(change)


def compress(syntax):
    """The frame that pydicom makes of `GREY`."""
    dataset = pydicom.dcmread(io.BytesIO(dicom()))
    dataset.compress(syntax)
    return pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)


def with_size(frame, rows, columns):
    """A JPEG or JPEG 2000 frame that says another size."""
    if frame.startswith(b"\xff\x4f\xff\x51"):
        return frame[:8] + struct.pack(">2I", columns, rows) + frame[16:]
    at = next(frame.index(bytes([0xFF, kind])) for kind in (0xC0, 0xF7) if bytes([0xFF, kind]) in frame)
    return frame[: at + 5] + struct.pack(">2H", rows, columns) + frame[at + 9 :]


JPEG = encoded("JPEG", quality=95)
FRAMES = {JPEGBaseline8Bit: JPEG, JPEG2000Lossless: compress(JPEG2000Lossless)}
JPEG_LS = b"\xff\xd8\xff\xf7" + struct.pack(">HBHHB", 11, 8, 64, 64, 1) + b"\1\x11\0" + b"\xff\xda"  # nothing but its header


@pytest.mark.parametrize("syntax", FRAMES)
def test_a_compressed_frame_is_read_if_it_has_the_size_that_the_header_says(syntax):
    pixels, negative = decode_bytes(compressed(syntax, FRAMES[syntax]))
    assert not negative
    np.testing.assert_allclose(pixels[..., 0], GREY, atol=3)


@pytest.mark.parametrize(("syntax", "frame"), [*FRAMES.items(), (JPEGLSLossless, JPEG_LS)])
@pytest.mark.parametrize("size", [(40_000, 40_000), (64, 128), (32, 32)])
def test_a_compressed_frame_of_another_size_is_refused_before_it_is_decoded(syntax, frame, size):
    content = compressed(syntax, with_size(frame, *size))
    with pytest.raises(ValueError, match=f"its compressed image has {size[0]} x {size[1]} pixels, its header says 64 x 64"):
        decode_bytes(content)


def test_a_codestream_of_subsampled_components_is_refused():
    frame = FRAMES[JPEG2000Lossless]
    with pytest.raises(ValueError, match="its compressed image has an unknown size"):
        decode_bytes(compressed(JPEG2000Lossless, frame[:43] + b"\xff\xff" + frame[45:]))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_that_claims_more_pixels_than_its_bytes_can_hold_is_refused(compression):
    content = encoded("TIFF", compression=compression)
    for tag in (256, 257, 278):  # width, height, rows in a strip
        content = content.replace(struct.pack("<HHII", tag, 3, 1, 64), struct.pack("<HHII", tag, 4, 1, 9999))
    with pytest.raises(ValueError, match="the file has too few bytes for the pixels that it claims"):
        decode_bytes(content)


@pytest.mark.parametrize("frame", [b"\0\0", b"\xff\xd8", b"\xff\x4f\xff\x51", bytes(100), JPEG[:100]])
def test_a_compressed_frame_that_does_not_say_its_size_is_refused(frame):
    with pytest.raises(ValueError, match=r"its compressed image has an unknown size|pydicom cannot decode it"):
        decode_bytes(compressed(JPEG2000Lossless, frame))


def rle(*segments):
    """An RLE frame of segments."""
    starts = np.cumsum([64, *map(len, segments)])[:-1].tolist()
    return struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(segments))) + b"".join(segments)


RUN = bytes([129, 7])  # 128 times the value 7


def test_a_run_length_frame_has_a_byte_for_each_pixel_and_no_more():
    whole = RUN * (GREY.size // 128)
    assert (decode_bytes(compressed(RLELossless, rle(whole)))[0] == 7).all()
    assert (decode_bytes(compressed(RLELossless, rle(whole + b"\0\0")))[0] == 7).all()  # padded
    for more in (RUN, RUN * 100_000, bytes([5]) + b"123456"):
        with pytest.raises(ValueError, match="its compressed image has more pixels than its header says"):
            decode_bytes(compressed(RLELossless, rle(whole + more)))
    with pytest.raises(ValueError, match="its compressed image has 2 segments, expected 1"):
        decode_bytes(compressed(RLELossless, rle(whole, whole)))


def test_a_video_is_refused_by_its_name():
    with pytest.raises(ValueError, match=r"the DICOM file is encoded as 'MPEG2 .*', which is not read; expected a still image"):
        decode_bytes(compressed("1.2.840.10008.1.2.4.100", b"\0" * 100))


def nested_items(count):
    """A DICOM file with a sequence of undefined length that holds so many empty items."""
    plain = dicom()
    at = plain.index(struct.pack("<HH2s", 0x0028, 0x0002, b"US"))
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * count
    return plain[:at] + sequence + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) + plain[at:]


def test_a_header_of_very_many_elements_is_refused(tmp_path):
    assert decode_bytes(nested_items(1000))[0].shape == (64, 64, 3)
    with pytest.raises(ValueError, match=r"its header has more than 100000 elements"):
        decode_bytes(nested_items(1_000_000))
    path = tmp_path / "a.dcm"
    path.write_bytes(nested_items(1_000_000))
    assert set(header(path).values()) == {""}


def png16(side, colours):
    """The header of a PNG file of 16 bits, with so many bytes that its claim can be believed."""
    content = bytearray(png_header(side, side, b""))
    content[24], content[25] = 16, colours
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)[:-12] + struct.pack(">I", 100_000) + b"tEXt" + bytes(100_004) + bytes(content)[-12:]


@pytest.mark.parametrize("colours", [0, 2])
def test_bytes_are_limited_not_only_pixels(colours):
    with pytest.raises(ValueError, match="it would take 588 MB when decoded, expected 512 at most"):
        decode_bytes(png16(9899, colours))


def test_a_deep_tiff_is_limited_too():
    content = encoded("TIFF", Image.fromarray(GREY.astype(np.float32)), compression="tiff_lzw")
    for tag in (256, 257):
        old = struct.pack("<HHII", tag, 3, 1, 64)
        assert old in content
        content = content.replace(old, struct.pack("<HHII", tag, 4, 1, 9000))
    with pytest.raises(ValueError, match="it would take 972 MB when decoded, expected 512 at most"):
        decode_bytes(content + bytes(10_000))


def test_the_limits_are_of_pixels_and_of_bytes():
    check_size(100_000_000, 3)
    with pytest.raises(ValueError, match="more than 100 million pixels"):
        check_size(100_000_001, 1)
    with pytest.raises(ValueError, match="it would take 600 MB when decoded"):
        check_size(75_000_000, 8)


def test_a_dicom_file_is_limited_by_what_its_transformations_take():
    with pytest.raises(ValueError, match="it would take 648 MB when decoded"):
        read_dicom(dicom(lambda dataset: setattr(dataset, "Rows", 9000) or setattr(dataset, "Columns", 9000)), check_size)


def test_mapping_to_8_bits_takes_little_more_memory_than_the_image():
    import tracemalloc

    values = np.arange(4_000_000, dtype=np.uint16).reshape(2000, 2000)
    tracemalloc.start()
    mapped = to_8_bits(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * mapped.nbytes
    assert (mapped.min(), mapped.max()) == (0, 255)


def progressive(scans):
    """A progressive JPEG with its last scan repeated without data."""
    content = encoded("JPEG", progressive=True, quality=95)
    last = content.rindex(b"\xff\xda")
    head = content[last : last + 2 + int.from_bytes(content[last + 2 : last + 4])]
    return content[:-2] + head * scans + content[-2:]


def test_a_jpeg_with_very_many_scans_is_refused():
    assert decode_bytes(progressive(0))[0].shape == (64, 64, 3)
    with pytest.raises(ValueError, match=f"the JPEG file has more than {MAX_JPEG_SCANS} scans"):
        decode_bytes(progressive(100_000))


def test_scans_of_an_embedded_thumbnail_do_not_count():
    thumbnails = (b"\xff\xe1" + (2 + 60_000).to_bytes(2) + b"\xff\xda" * 30_000) * 3
    assert decode_bytes(JPEG[:2] + thumbnails + JPEG[2:])[0].shape == (64, 64, 3)


def test_a_tiff_of_very_many_pages_is_refused_at_its_second():
    content = encoded("TIFF")
    first = struct.unpack("<I", content[4:8])[0]
    count = struct.unpack("<H", content[first : first + 2])[0]
    directory, pages = content[first : first + 2 + 12 * count], 20_000
    size = len(directory) + 4
    chain = b"".join(directory + struct.pack("<I", len(content) + size * (page + 1)) for page in range(pages))
    many = content[: first + 2 + 12 * count] + struct.pack("<I", len(content)) + content[first + 2 + 12 * count + 4 :] + chain
    begin = time.process_time()
    with pytest.raises(ValueError, match="it has more than one page"):
        decode_bytes(many + directory + bytes(4))
    assert time.process_time() - begin < 10  # counting them all took minutes
