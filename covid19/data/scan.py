"""Scanning a file: what reading it for the first time tells. Paths go in, digests, DICOM tags and measurements come out.

`identify` and `measure` run in processes that can be ended; `ScanTask` runs them on an executor.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from covid19.core.addresses import absolute_text, as_path, on_disk
from covid19.core.executor.background import in_background
from covid19.core.executor.executor import Executor, Failed, LazySequence, Resources, Task
from covid19.core.executor.processes import RunTask
from covid19.data.dataset import ImageStats
from covid19.data.decoding import MODULES
from covid19.data.dicom import header, is_dicom_file
from covid19.data.duplicates import perceptual_hash
from covid19.data.images import Picture, Read, as_picture, colourfulness, decode, decode_picture, file_digest, why_unreadable
from covid19.data.measurements.registry import ProbeMeasurements, take_measurements
from covid19.data.scan_cache import scan_key
from covid19.data.shared_files import SharedFiles

T = TypeVar("T")

FILES_AHEAD = 64  # files scanned before they are asked for
PICTURES_KEPT = 256  # of 150 KB each


class Identity(NamedTuple):
    """What a file is.

    Attributes:
        digest: SHA-256 of its bytes, in hexadecimal.
        tags: `dicom.HEADER_TAGS` by the DICOM header; empty for other files.
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
        dicom_tags: `dicom.HEADER_TAGS` by the DICOM header; empty where it does not state them.
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


def scan_file(path: Path, known: Container[bytes], run: RunTask) -> FileScan:
    """Scan one file: its digest, its header and, unless the image is known, what its pixels tell.

    Args:
        path: a path or an address.
        known: the `scan_key` of each image that need not be decoded.
        run: runs a function on the file, here or in a process that can be ended.
    """
    try:
        with on_disk(path) as file:
            digest, tags = run(identify, file)
            if scan_key(digest) in known:
                return FileScan(digest, None, None, tags, "")
            _, stats, measurements = run(measure, file)
            return FileScan(digest, stats, measurements, tags, "")
    except (OSError, ValueError) as error:
        return FileScan("", None, None, {}, why_unreadable(error))


class ScanTask(Task[str, FileScan]):
    """Scans the files at paths or addresses.

    Args:
        known: the `scan_key` of each image that need not be decoded.
    """

    needs_one_core = True
    preload = MODULES

    def __init__(self, known: Container[bytes]) -> None:
        self._known = known

    def set_up(self, resources: Resources) -> None:
        """Take what decodes files."""
        self._run = resources.run

    def run(self, items: Sequence[str]) -> Iterator[tuple[int, FileScan]]:
        """Scan each file."""
        yield from enumerate(in_background(lambda path: scan_file(as_path(path), self._known, self._run), items, FILES_AHEAD))


def scan_files(
    paths: Sequence[Path], known: Container[bytes], executor: Executor, read: Read
) -> Generator[tuple[int, FileScan]]:
    """Scan files on an executor.

    Args:
        paths: of the files.
        known: the `scan_key` of each image that need not be decoded.
        executor: where to do it.
        read: decodes a file on this machine, to find out whether it is the file or the executor that is at fault.

    Yields:
        Each file's position and its scan, in any order.

    Raises:
        InputError: the executor does not see the files that this machine sees.
    """
    shared = SharedFiles(executor, read)
    items = LazySequence(lambda position: absolute_text(paths[position]), len(paths))
    with closing(executor.map(ScanTask(known), items)) as scans:
        for position, scan in scans:
            if isinstance(scan, Failed):
                yield position, FileScan("", None, None, {}, scan.reason)
            else:
                if scan.problem:
                    shared.check(paths[position], scan.problem)
                yield position, scan


class RememberedPictures:
    """Runs functions on files as another does, and remembers the first pictures: what was scanned is not decoded again.

    Args:
        run: that does the work.
    """

    def __init__(self, run: RunTask) -> None:
        self._run = run
        self._pictures: dict[Path, Picture] = {}

    def __call__(self, task: Callable[..., T], *arguments: Any) -> T:
        """See `RunTask`."""
        if task is decode_picture and arguments[0] in self._pictures:
            return self._pictures[arguments[0]]  # type: ignore[return-value]  # what this task returns
        result = self._run(task, *arguments)
        if isinstance(result, DecodedImage) and len(self._pictures) < PICTURES_KEPT:
            self._pictures[arguments[0]] = result.picture
        return result
