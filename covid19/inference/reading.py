"""Reading an image to be answered for: a file goes in; its picture, and by what it is known again, come out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from covid19.core.addresses import as_path, on_disk
from covid19.core.executor.processes import RunTask
from covid19.data.dicom import header_in
from covid19.data.duplicates import perceptual_hash
from covid19.data.images import Pixels, as_picture, check_regular, decode_bytes, why_unreadable


class InputImage(NamedTuple):
    """One image to be answered for.

    Attributes:
        pixels: what the model sees, uint8 RGB (224, 224, 3).
        digest: SHA-256 of the file's bytes, in hexadecimal.
        perceptual_hash: of the pixels, see `duplicates.perceptual_hash`.
        header: what a DICOM header says, see `dicom.header`; empty for other files.
    """

    pixels: Pixels
    digest: str
    perceptual_hash: str
    header: dict[str, str] = {}  # noqa: RUF012  # never changed


def input_image(pixels: Pixels, content: bytes) -> InputImage:
    """An image from what the model sees of it and its file's bytes."""
    return InputImage(pixels, hashlib.sha256(content).hexdigest(), perceptual_hash(pixels), header_in(content))


def read_image(file: Path) -> InputImage:
    """Read a file on this machine.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it cannot be decoded, see `images.decode_bytes`.
    """
    check_regular(file)
    content = file.read_bytes()
    return input_image(as_picture(*decode_bytes(content)).pixels, content)


def image_or_reason(address: str, run: RunTask) -> InputImage | str:
    """The image at a path or an address, or in words why it cannot be read.

    Args:
        address: a path, or an address that fsspec knows.
        run: where to decode it: here, or in a process that can be ended, `DecodingPool.run`.
    """
    try:
        with on_disk(as_path(address)) as file:
            return run(read_image, file)
    except (OSError, ValueError) as error:
        return why_unreadable(error)
