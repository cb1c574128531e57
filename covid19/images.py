"""The only place that reads pixels: one image or DICOM file in, one RGB picture of 224x224 out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SIDE = 224
COLOURFUL = 20  # measured: 268 radiographs, tinted and annotated ones included, have at most 18, two photographs 30 and 66
FLAT = 5  # standard deviation in grey levels below which a picture shows next to nothing
# What pydicom raises on files that are damaged or that it has no decoder for.
DAMAGED_DICOM = (
    ValueError,
    AttributeError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    NotImplementedError,
)


class Picture(NamedTuple):
    """One decoded image.

    Attributes:
        pixels: uint8 array (224, 224, 3), RGB, 0 to 255.
        width, height: of the file's image, in pixels.
    """

    pixels: Pixels
    width: int
    height: int


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal: the identity of an image whatever its name.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do: 'DICM' after a preamble of 128 bytes (DICOM PS3.10, section 7.1)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_picture(path: Path) -> Picture:
    """Read one image file with OpenCV, or one DICOM file with pydicom.

    Pixels of 8 bits are taken as they are. Deeper ones (16-bit PNG and TIFF, DICOM) are mapped linearly so that the image's own
    darkest becomes 0 and its brightest 255: a 12-bit image in a 16-bit file keeps its contrast, and nothing is clipped.

    Args:
        path: PNG, JPEG, BMP, TIFF or DICOM; an EXIF orientation is applied, alpha is dropped.

    Returns:
        The picture, resized whatever its aspect ratio.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is empty or damaged, is no image, or is a DICOM file without exactly one frame.
    """
    content = path.read_bytes()
    if not content:
        raise ValueError("the file is empty")
    image, negative = _decode_dicom(path) if content[128:132] == b"DICM" else (_decode(content), False)
    pixels = resize(image)
    return Picture(255 - pixels if negative else pixels, image.shape[1], image.shape[0])


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
    shrunk = cv2.resize(image, (min(width, SIDE), min(height, SIDE)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def to_8_bits(values: NDArray[Any]) -> Pixels:
    """Map values of any depth linearly to 0 ... 255, darkest to 0 and brightest to 255; all equal becomes 0.

    Raises:
        ValueError: a value is not finite.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(high - low):
        raise ValueError("a pixel's value is not finite")
    scale = 255 / (high - low) if high > low else 0.0
    return np.asarray(np.rint((values.astype(np.float64) - low) * scale), np.uint8)


def _decode(content: bytes) -> Pixels:
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot decode it: {error.err}") from error
    if image is None:
        raise ValueError("OpenCV cannot decode it: not an image, or damaged")
    return np.asarray(image, np.uint8) if image.dtype == np.uint8 else to_8_bits(np.asarray(image))


def _decode_dicom(path: Path) -> tuple[Pixels, bool]:
    """The image after modality and VOI transformation (DICOM PS3.3, C.11.1 and C.11.2), and whether it is a negative."""
    import pydicom  # a fifth of a second that a folder without DICOM files need not pay
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        dataset = pydicom.dcmread(path)
        frames = int(dataset.get("NumberOfFrames") or 1)
        pixels = "PixelData" in dataset
    except DAMAGED_DICOM as error:
        raise ValueError(f"pydicom cannot read it: {_first_line(error)}") from error
    if frames != 1 or not pixels:
        raise ValueError(f"the DICOM file has {f'{frames} frames' if pixels else 'no pixels'}, expected one frame")
    try:
        values = dataset.pixel_array
        if values.ndim == 2:
            values = apply_voi_lut(apply_modality_lut(values, dataset), dataset)
    except DAMAGED_DICOM as error:
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if isinstance(error, RuntimeError) and syntax and syntax.is_compressed and not get_decoder(syntax).is_available:
            raise ValueError(f"the DICOM file is compressed ({syntax.name}): pip install 'covid19[dicom]'") from error
        raise ValueError(f"pydicom cannot decode it: {_first_line(error)}") from error
    negative = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    if values.ndim == 3:
        return np.asarray(values, np.uint8) if values.dtype == np.uint8 else to_8_bits(values), negative
    return np.repeat(to_8_bits(values)[..., None], 3, axis=2), negative


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def dicom_header(path: Path) -> dict[str, str]:
    """`patient`, `view` and `modality` of a DICOM file, as written; empty where it does not say or cannot be read."""
    return _dicom_tags(path, {"patient": "PatientID", "view": "ViewPosition", "modality": "Modality"})


def dicom_acquisition(path: Path) -> dict[str, str | float]:
    """How a DICOM file says that it was taken: `format`, `device`, and as numbers `bits`, `kilovolts`, `exposure`."""
    words = {"maker": "Manufacturer", "model": "ManufacturerModelName", "software": "SoftwareVersions"}
    numbers = {"bits": "BitsStored", "kilovolts": "KVP", "exposure": "Exposure"}
    found = _dicom_tags(path, words | numbers)
    measured: dict[str, str | float] = {}
    for name in numbers:
        try:
            measured[name] = float(found[name] or 0)
        except ValueError:
            measured[name] = 0.0
    return measured | {"format": "DICOM", "device": " ".join(found[name] for name in words).strip()}


def _dicom_tags(path: Path, tags: dict[str, str]) -> dict[str, str]:
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(tags.values()))
        return {name: str(dataset.get(tag) or "").strip() for name, tag in tags.items()}
    except (OSError, *DAMAGED_DICOM):
        return dict.fromkeys(tags, "")
