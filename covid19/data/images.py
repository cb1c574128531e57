"""The only place that reads pixels: one image or DICOM file in, one RGB picture of 224x224 out."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid19.core.addresses import MAX_FILE_BYTES, on_disk
from covid19.core.executor.processes import RunTask, run_here
from covid19.data.dicom import is_dicom, read_dicom
from covid19.data.file_kinds import READ_KINDS, START_BYTES, describe_kind, kind_of
from covid19.data.grey_levels import to_8_bits
from covid19.data.jpeg import check_undamaged, whole_jpeg
from covid19.data.tiff import tiff_header

Pixels = NDArray[np.uint8]

PICTURE_SIDE_PX = 224
# Part of every key of a cache: raise it whenever decoding, resizing, rotating, pooling or a measurement gives other values.
PREPROCESSING_VERSION = 3
COLOURFUL = 20  # measured: 268 radiographs, tinted and annotated ones included, have at most 18, two photographs 30 and 66
MIN_CONTRAST_GREY_LEVELS = 5  # standard deviation in grey levels below which a picture shows next to nothing
MOST_PIXELS = 100_000_000  # the largest detectors have 20 million
MAX_DECODED_BYTES = 512_000_000  # of a decoded image; 100 million pixels of 8 bits in three channels take 300 million
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk: its length, name and checksum
# How the files begin that are read; OpenCV knows more kinds, but none that a radiograph comes in.
KINDS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Of the bytes of an image to those of its file, at most, where each pixel takes a bit: by kind, for a TIFF by its compression.
# Deflate's is of zlib's "technical details"; a JPEG's block of 64 pixels takes a bit or more; LZW has codes of 9 to 12 bits for
# up to 4096 bytes.
MAX_RATIO = 4096
MAX_RATIOS = {
    "raw": 1,
    "PNG": 1032,
    "tiff_adobe_deflate": 1032,
    "tiff_deflate": 1032,
    "packbits": 64,
    "JPEG": 64,
    "MPO": 64,
    "BMP": 128,
}
# What Pillow raises on headers that it cannot make sense of, in files that OpenCV decodes all the same.
ODD_HEADER = (
    OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, ArithmeticError, EOFError,
    struct.error,
)  # fmt: skip


class Picture(NamedTuple):
    """One decoded image.

    Attributes:
        pixels: uint8 array (224, 224, 3), RGB, 0 to 255.
        width, height: of the file's image, in pixels.
    """

    pixels: Pixels
    width: int
    height: int


Read = Callable[[Path], Picture]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal: the identity of an image whatever its name.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no regular file, such as a pipe, which would never end.
    """
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_regular(path: Path) -> int:
    """Make sure that a path is a file of a size that can be read, and return its bytes.

    Raises:
        OSError: there is none, or only a link that leads nowhere.
        ValueError: it is no regular file, empty, or larger than 512 MB.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if not status.st_size:
        raise ValueError("the file is empty")
    if status.st_size > MAX_FILE_BYTES:
        raise ValueError(f"the file has {status.st_size / 1e6:.0f} MB, expected {MAX_FILE_BYTES / 1e6:.0f} at most")
    return status.st_size


def read_picture(path: Path, run: RunTask = run_here) -> Picture:
    """Read one file, or what an address names, and resize it, whatever its aspect ratio; see `decode` for the rest.

    Args:
        path: a path or an address.
        run: where to decode it: here, or in a process that can be ended, `DecodingPool.run`.
    """
    with on_disk(path) as file:
        return run(decode_picture, file)


def decode_picture(file: Path) -> Picture:
    """Decode a file on this machine and resize it."""
    return as_picture(*decode(file))


def why_unreadable(error: OSError | ValueError) -> str:
    """Why a file could not be read, in words."""
    return f"cannot be opened: {error.strerror or error}" if isinstance(error, OSError) else str(error)


def as_picture(image: Pixels, negative: bool) -> Picture:
    """What the base is shown of an image that `decode` gave."""
    pixels = resize(image)
    return Picture(255 - pixels if negative else pixels, image.shape[1], image.shape[0])


def decode(path: Path) -> tuple[Pixels, bool]:
    """Read one image file in its own size; see `decode_bytes`.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no regular file, or `decode_bytes` refuses it.
    """
    check_regular(path)
    return decode_bytes(path.read_bytes())


def decode_bytes(content: bytes) -> tuple[Pixels, bool]:
    """Decode the content of one image file with OpenCV, or of one DICOM file with pydicom, in its own size.

    Pixels of 8 bits are taken as they are. Deeper ones (16-bit and float PNG and TIFF, DICOM) are mapped linearly so that the
    image's own darkest becomes 0 and its brightest 255, but for a few pixels that lie far from all others, see `grey_levels`: a
    12-bit image in a 16-bit file keeps its contrast, also with a burned-in label.

    Args:
        content: of a PNG, JPEG, BMP, TIFF or DICOM file; an EXIF orientation is applied, alpha is dropped.

    Returns:
        uint8 array (height, width, 3), RGB; and whether it is a negative (MONOCHROME1) that is still to be inverted.

    Raises:
        ValueError: the content is empty, damaged, too large, no such image, or has more than one page or frame.
    """
    try:
        values, negative = read_dicom(content, check_size) if is_dicom(content) else (_decode(content), False)
        image = values if values.dtype == np.uint8 else to_8_bits(values)
        return (image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)), negative
    except MemoryError as error:
        raise ValueError("it takes more memory to decode than there is") from error


def check_size(pixels: int, bytes_per_pixel: int) -> None:
    """Make sure that an image is not too large to be decoded.

    Raises:
        ValueError: it has too many pixels, or would take too many bytes.
    """
    if pixels > MOST_PIXELS:
        raise ValueError(f"it would have more than {MOST_PIXELS / 1e6:.0f} million pixels, too many for a radiograph")
    if pixels * bytes_per_pixel > MAX_DECODED_BYTES:
        size = pixels * bytes_per_pixel / 1e6
        raise ValueError(f"it would take {size:.0f} MB when decoded, expected {MAX_DECODED_BYTES / 1e6:.0f} at most")


def colourfulness(pixels: Pixels) -> float:
    """How much the hue varies over a picture: 0 for grey or evenly tinted ones, above 25 for most photographs.

    Args:
        pixels: uint8 array (height, width, 3), RGB.

    Returns:
        Root of the summed variances of red less green and of blue less green, in grey levels.
    """
    red, green, blue = np.moveaxis(pixels.astype(np.float32), 2, 0)
    return float(np.hypot((red - green).std(), (blue - green).std()))


def resize(image: Pixels) -> Pixels:
    """Resize to 224x224, each axis by the method that suits it.

    An axis that shrinks is averaged over areas (linear interpolation skips pixels there, which aliases ribs and
    vessels into patterns that are not in the patient); an axis that grows is interpolated linearly.

    Args:
        image: uint8 array (height, width, 3).

    Returns:
        uint8 array (224, 224, 3).
    """
    height, width = image.shape[:2]
    shrunk = cv2.resize(image, (min(width, PICTURE_SIDE_PX), min(height, PICTURE_SIDE_PX)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (PICTURE_SIDE_PX, PICTURE_SIDE_PX), interpolation=cv2.INTER_LINEAR), np.uint8)


def _decode(content: bytes) -> NDArray[Any]:
    """Pixels as the file has them: RGB or, where a TIFF has floats, grey."""
    if not content.startswith(KINDS):
        kind = describe_kind(kind_of(content[:START_BYTES]))
        raise ValueError(f"not an image of a kind that is read ({', '.join(READ_KINDS)}){kind}")
    is_jpeg = content.startswith(KINDS[1])
    if is_jpeg:
        content = whole_jpeg(content)
    elif content.startswith(KINDS[0]):
        content = _whole_png(content)
    _check_header(content)
    data = np.frombuffer(content, np.uint8)
    try:
        # Not `IMREAD_COLOR_RGB`, with which OpenCV 5 garbles a TIFF of 16-bit colours.
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH)
        if image is None and not content.startswith(KINDS[:3]):
            image = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH)  # a TIFF with floats, which OpenCV does not turn into colours
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot decode it: {error.err}") from error
    if image is None:
        raise ValueError("OpenCV cannot decode it: damaged, or pixels of a kind that it does not know: save it as 8-bit PNG")
    if is_jpeg:
        check_undamaged(content)
    if image.ndim == 3:
        image = np.ascontiguousarray(image[:, :, ::-1])
    return _white_is_greatest(np.asarray(image), content)


def _white_is_greatest(image: NDArray[Any], content: bytes) -> NDArray[Any]:
    """A TIFF's values with white as the greatest: OpenCV inverts those in which white is 0 only if they have 8 bits.

    Raises:
        ValueError: OpenCV kept 8 of 16 bits, as it does where grey has transparency.
    """
    header = None if content.startswith(KINDS[:3]) else tiff_header(content)
    if header and header.bits > 8 and image.dtype == np.uint8:
        raise ValueError(f"OpenCV reads 8 of its {header.bits} bits: save it without transparency, or as PNG")
    if not header or not header.white_is_zero or image.dtype == np.uint8:
        return image
    return np.asarray(image.max() - image if image.dtype.kind == "f" else ~image)


def _check_header(content: bytes) -> None:
    """Refuse by its header what would take too much memory or time, or has several pages of which only one would be seen."""
    tiff = None if content.startswith(KINDS[:3]) else tiff_header(content)
    if tiff and not tiff.is_last:
        raise ValueError("it has more than one page, expected one")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "BMP", "TIFF")) as header:
            size, depth = header.width * header.height, _bytes_per_channel(header, content)
            # Not `n_frames`, which counts all pages, in quadratic time.
            several = header.format != "MPO" and getattr(header, "is_animated", False)
            kind = str(header.format) if header.format != "TIFF" else str(header.info.get("compression"))
            ratio = MAX_RATIOS.get(kind, MAX_RATIO)
    except Image.DecompressionBombError:
        size, depth, several, ratio = 2 * MOST_PIXELS, 1, False, MAX_RATIO
    except ODD_HEADER:
        return  # OpenCV has a limit of its own, see `covid19/__init__.py`
    if size > 8 * ratio * len(content):
        raise ValueError("OpenCV cannot decode it: the file has too few bytes for the pixels that it claims")
    check_size(size, 3 * depth)  # OpenCV makes three channels of one
    if several:
        raise ValueError("it has more than one page, expected one")


def _bytes_per_channel(header: Image.Image, content: bytes) -> int:
    """How many bytes OpenCV will need for a channel of a pixel; Pillow's mode does not tell 16-bit colours."""
    if content.startswith(KINDS[0]):
        bits = content[24]  # of the chunk IHDR, which is the first (PNG specification, 11.2.1)
    elif header.format == "TIFF":
        bits = max(header.tag_v2.get(258, (8,)))  # type: ignore[attr-defined]  # BitsPerSample; Pillow's TIFF images have tags
    else:
        bits = 8
    return max(1, int(bits) // 8)


def _whole_png(content: bytes) -> bytes:
    """Walk over the chunks of a PNG file to its last, which is added if it alone is missing or cut off.

    OpenCV takes the memory that a chunk claims, and reads half a file.

    Raises:
        ValueError: another chunk ends after the file.
    """
    at, name = len(KINDS[0]), b""
    while name != b"IEND":
        if len(rest := content[at : at + len(PNG_END)]) < len(PNG_END) and PNG_END.startswith(rest):
            return content[:at] + PNG_END
        length, name = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        at += 12 + length  # and length, name, checksum
        if at > len(content):
            raise ValueError("OpenCV cannot decode it: the PNG file is truncated")
    return content


def encode_image(pixels: Pixels, ending: str, options: Sequence[int] = ()) -> bytes:
    """The bytes of an image file.

    Args:
        pixels: uint8 grey (height, width), RGB (height, width, 3) or RGBA (height, width, 4).
        ending: '.png' or '.jpg', of which the latter has no transparency.
        options: of OpenCV's encoder, such as `(cv2.IMWRITE_JPEG_QUALITY, 80)`.
    """
    if pixels.ndim == 3:
        conversion = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
        pixels = np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), conversion), np.uint8)
    return cv2.imencode(ending, pixels, list(options))[1].tobytes()
