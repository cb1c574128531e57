"""DICOM files: their pixels as a viewer would show them, and what their headers say. The only place that uses pydicom."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What pydicom raises on files that are damaged or that it has no decoder for.
DAMAGED = (
    OSError, ValueError, AttributeError, LookupError, TypeError, EOFError, RuntimeError, NotImplementedError, ArithmeticError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip
DEFLATED = "1.2.840.10008.1.2.1.99"  # transfer syntax whose unpacked size nothing tells


def is_dicom_file(path: Path) -> bool:
    """Whether a file begins as DICOM files do: 'DICM' after a preamble of 128 bytes (DICOM PS3.10, section 7.1)."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom(path: Path, most_pixels: int) -> tuple[NDArray[Any], bool]:
    """The image after modality and VOI transformation (DICOM PS3.3, C.11.1 and C.11.2), and whether it is a negative.

    Args:
        path: of a file.
        most_pixels: that it may have.

    Returns:
        Values of any depth, (height, width) or RGB (height, width, 3).

    Raises:
        ValueError: the file is damaged, compressed in a way for which a package is missing, too large, or has no single frame.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    try:
        dataset = _open(path)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        frames, pixels = int(dataset.get("NumberOfFrames") or 1), "PixelData" in dataset
        size = int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0)
    except DAMAGED as error:
        raise ValueError(f"pydicom cannot read it: {_first_line(error)}") from error
    if frames != 1 or not pixels:
        raise ValueError(f"the DICOM file has {f'{frames} frames' if pixels else 'no pixels'}, expected one frame")
    if size > most_pixels:
        raise ValueError(f"it would have more than {most_pixels / 1e6:.0f} million pixels, too many for a radiograph")
    try:
        values = dataset.pixel_array
        if values.shape[:2] != (dataset.Rows, dataset.Columns) or values.shape[2:] not in ((), (3,)):
            raise ValueError("it has more pixels than its header says")
        if values.ndim == 2:
            values = apply_voi_lut(apply_modality_lut(values, dataset), dataset)
    except DAMAGED as error:
        if isinstance(error, RuntimeError) and _is_compressed(syntax) and not get_decoder(syntax).is_available:
            raise ValueError(f"the DICOM file is compressed ({syntax.name}): pip install 'covid19[dicom]'") from error
        raise ValueError(f"pydicom cannot decode it: {_first_line(error)}") from error
    return np.asarray(values), dataset.get("PhotometricInterpretation") == "MONOCHROME1"


def _open(path: Path, **options: Any) -> Any:
    """A dataset of pydicom's, which is lenient with values, but not with a stream whose unpacked size nothing tells."""
    import pydicom  # a fifth of a second that a folder without DICOM files need not pay

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.convert_wrong_length_to_UN = True
    if not is_dicom_file(path):
        raise ValueError("no DICOM file")
    if pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == DEFLATED:
        raise ValueError("deflated DICOM files are not read")
    return pydicom.dcmread(path, **options)


def _is_compressed(syntax: Any) -> bool:
    return bool(syntax and syntax.is_transfer_syntax and syntax.is_compressed)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def header(path: Path) -> dict[str, str]:
    """`patient`, `view` and `modality` of a DICOM file, as written; empty where it does not say or cannot be read."""
    return _tags(path, {"patient": "PatientID", "view": "ViewPosition", "modality": "Modality"})


def acquisition(path: Path) -> dict[str, str | float]:
    """How a DICOM file says that it was taken: `format`, `device`, and as numbers `bits`, `kilovolts`, `exposure`."""
    words = {"maker": "Manufacturer", "model": "ManufacturerModelName", "software": "SoftwareVersions"}
    numbers = {"bits": "BitsStored", "kilovolts": "KVP", "exposure": "Exposure"}
    found = _tags(path, words | numbers)
    measured: dict[str, str | float] = {}
    for name in numbers:
        try:
            measured[name] = float(found[name] or 0)
        except ValueError:
            measured[name] = 0.0
    return measured | {"format": "DICOM", "device": " ".join(found[name] for name in words).strip()}


def _tags(path: Path, tags: dict[str, str]) -> dict[str, str]:
    try:
        dataset = _open(path, stop_before_pixels=True, specific_tags=list(tags.values()))
        return {name: str(dataset.get(tag) or "").strip() for name, tag in tags.items()}
    except DAMAGED:
        return dict.fromkeys(tags, "")
