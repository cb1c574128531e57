"""What reading one file for the first time tells: who it is, what its pixels measure, and what the audit's probes need of it.

The two functions are tasks for a `processes.RunTask`; paths go in, and results that can be pickled come out.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from covid19.audit.probes import border_ring, file_properties, thumbnail
from covid19.data.dataset import Facts, Glimpse
from covid19.data.dicom import header, is_dicom_file
from covid19.data.duplicates import perceptual_hash
from covid19.data.images import Picture, as_picture, colourfulness, decode, file_digest


class Identity(NamedTuple):
    """What a file is.

    Attributes:
        digest: SHA-256 of its bytes, in hexadecimal.
        tags: `patient`, `view` and `modality` by the DICOM header; empty for other files.
    """

    digest: str
    tags: dict[str, str]


class Measurements(NamedTuple):
    """A decoded image and all that is measured of it: the picture, the facts for every step, and what the probes need."""

    picture: Picture
    facts: Facts
    glimpse: Glimpse


def identify(file: Path) -> Identity:
    """Read a file's digest and its DICOM header, without decoding its pixels.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no regular file, empty or too large.
    """
    return Identity(file_digest(file), header(file) if is_dicom_file(file) else {})


def measure(file: Path) -> Measurements:
    """Decode a file and measure its image.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it cannot be decoded, see `images.decode`.
    """
    picture = as_picture(*decode(file))
    pixels = picture.pixels
    facts = Facts(picture.width, picture.height, perceptual_hash(pixels), float(pixels.std()), colourfulness(pixels))
    return Measurements(picture, facts, Glimpse(file_properties(file, picture), border_ring(pixels), thumbnail(pixels)))
