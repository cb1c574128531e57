"""What reading one file for the first time tells: who it is, the statistics of its image, and the measurements for the audit.

The two functions are tasks for a `processes.RunTask`; paths go in, and results that can be pickled come out.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from covid19.data.dataset import ImageStats
from covid19.data.dicom import header, is_dicom_file
from covid19.data.duplicates import perceptual_hash
from covid19.data.images import Picture, as_picture, colourfulness, decode, file_digest
from covid19.data.measurements.registry import ProbeMeasurements, take_measurements


class Identity(NamedTuple):
    """What a file is.

    Attributes:
        digest: SHA-256 of its bytes, in hexadecimal.
        tags: `patient`, `view` and `modality` by the DICOM header; empty for other files.
    """

    digest: str
    tags: dict[str, str]


class DecodedImage(NamedTuple):
    """A decoded image and all that is measured of it: for every step its statistics, for the audit the probes' measurements."""

    picture: Picture
    stats: ImageStats
    measurements: ProbeMeasurements


class FileScan(NamedTuple):
    """What scanning one file told.

    Attributes:
        digest: SHA-256 of its bytes; '' of a file that cannot be read.
        stats, measurements: of its pixels; None of an image that the scan cache knows already.
        dicom_tags: `patient`, `view` and `modality` by the DICOM header; empty where it does not state them.
        problem: why it cannot be read, or ''.
    """

    digest: str
    stats: ImageStats | None
    measurements: ProbeMeasurements | None
    dicom_tags: dict[str, str]
    problem: str


def identify(file: Path) -> Identity:
    """Read a file's digest and its DICOM header, without decoding its pixels.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no regular file, empty or too large.
    """
    return Identity(file_digest(file), header(file) if is_dicom_file(file) else {})


def measure(file: Path) -> DecodedImage:
    """Decode a file and measure its image.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it cannot be decoded, see `images.decode`.
    """
    picture = as_picture(*decode(file))
    pixels = picture.pixels
    stats = ImageStats(picture.width, picture.height, perceptual_hash(pixels), float(pixels.std()), colourfulness(pixels))
    return DecodedImage(picture, stats, take_measurements(file, picture))
