"""The lungs of a data set's images: found once and kept in a cache by the image's digest.

Records go in; for each a mask of its lungs, where that comes from, and what is measured of the picture with the lungs hidden,
come out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from covid19.core.addresses import absolute_text, as_path, on_disk
from covid19.core.console import Progress
from covid19.core.executor.background import in_background
from covid19.core.executor.executor import Executor, LazySequence, Resources, Task
from covid19.core.settings import LungSettings
from covid19.core.sqlite_cache import SqliteCache
from covid19.data.dataset import Record
from covid19.data.decoding import MODULES
from covid19.data.images import PREPROCESSING_VERSION, Read, decode_picture, why_unreadable
from covid19.data.lungs import Box, box_mask
from covid19.data.measurements.measurement import cells_from_text, cells_to_text
from covid19.data.measurements.registry import ProbeMeasurements, take_measurements, valid_measurements
from covid19.data.shared_files import SharedFiles, UnreadableError
from covid19.lungs.drawn import read_masks
from covid19.lungs.finder import FoundLungs, LungFinder
from covid19.lungs.masks import Mask, packed, unpacked
from covid19.lungs.occlusion import OCCLUSION_VERSION, Hides, Occlusion
from covid19.lungs.weights import finder_digest

FILES_AHEAD = 64  # files whose lungs are found before they are asked for
KEPT_AT_ONCE = 320  # found lungs written to the cache in one go, so that a stopped run need not begin anew
MAX_ENTRY_BYTES = 100_000
ORIGINS = ("found", "drawn", "box")


class Lungs(NamedTuple):
    """Where the lungs of an image are taken to be.

    Attributes:
        packed_mask: of the lungs, see `masks.packed`.
        origin: 'found' by the finder, 'drawn' by somebody, or 'box' where the finder found none.
        reason: why the finder found none, in words; '' otherwise.
        area: fraction of the picture that the finder took for lung, in [0, 1]; of a drawn mask, its own.
        confidence: of the finder, in [0, 1]; 1 for a drawn mask.
        measurements: of the picture with the lungs and all between them hidden.
    """

    packed_mask: bytes
    origin: str
    reason: str
    area: float
    confidence: float
    measurements: ProbeMeasurements

    @property
    def mask(self) -> Mask:
        """The mask, bool (224, 224)."""
        return unpacked(self.packed_mask)

    def hiding(self, hides: Hides) -> Occlusion:
        """What hides a part of the image."""
        return Occlusion(hides, self.packed_mask, self.origin == "box")


def seen_part(lungs: Lungs, region: str) -> Occlusion | None:
    """What is hidden of an image before a model is shown it, by the model's region: 'image' or 'lungs'."""
    return lungs.hiding(Hides.SURROUNDINGS) if region == "lungs" else None


class LungsOfFile(NamedTuple):
    """The lungs of one file's image, and the image's own size in pixels."""

    lungs: Lungs
    width: int
    height: int


class FindLungsTask(Task[tuple[str, bytes | None], LungsOfFile | str]):
    """Finds the lungs of images, or says in words why a file cannot be read.

    An item is a path or an address, and the packed mask of the lungs that somebody drew, or None to have the lungs found.

    Args:
        box: that is taken for the lungs where none are found.
        measured: whether the picture without its lungs is measured as well, which only probes need.
    """

    needs_one_core = True
    preload = MODULES

    def __init__(self, box: Box, measured: bool = True) -> None:
        self._box = packed(box_mask(box))
        self._measures = measured

    def set_up(self, resources: Resources) -> None:
        """Take what decodes files."""
        self._run = resources.run

    def run(self, items: Sequence[tuple[str, bytes | None]]) -> Iterator[tuple[int, LungsOfFile | str]]:
        """Find the lungs of each file's image, several files at once."""
        yield from enumerate(in_background(self._find, items, FILES_AHEAD))

    def _find(self, item: tuple[str, bytes | None]) -> LungsOfFile | str:
        path, drawn = item
        try:
            with on_disk(as_path(path)) as file:
                return self._run(lungs_of_file, file, drawn, self._box, self._measures)
        except (OSError, ValueError) as error:
            return why_unreadable(error)


def lungs_of_file(file: Path, drawn: bytes | None, box: bytes, measured: bool) -> LungsOfFile:
    """Decode a file on this machine, find the lungs of its image, and measure it without them if that is wanted.

    Args:
        file: of the image.
        drawn: packed mask of the lungs that somebody drew, or None to have them found.
        box: packed mask that is taken for the lungs where none are found.
        measured: whether to measure the picture without its lungs.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it cannot be decoded, see `images.decode`.
    """
    picture = decode_picture(file)
    lungs = lungs_or_box(_finder().find([picture.pixels])[0], box) if drawn is None else _drawn(drawn)
    if measured:
        hidden = picture._replace(pixels=lungs.hiding(Hides.HULL).apply(picture.pixels))
        lungs = lungs._replace(measurements=take_measurements(file, hidden, lungs_hidden=True))
    return LungsOfFile(lungs, picture.width, picture.height)


@cache
def _finder() -> LungFinder:
    """The finder of this process, which has one core for itself: as many files as there are cores are read at once."""
    cv2.setNumThreads(1)
    return LungFinder()


def lungs_or_box(found: FoundLungs, box: bytes) -> Lungs:
    """What was found in a picture, or a packed box where that cannot be the lungs; without measurements."""
    mask, origin = (packed(found.mask), "found") if found.found else (box, "box")
    return Lungs(mask, origin, found.reason, found.area, found.confidence, {})


def _drawn(mask: bytes) -> Lungs:
    return Lungs(mask, "drawn", "", float(unpacked(mask).mean()), 1.0, {})


class LungCache(SqliteCache[Lungs]):
    """Lungs of images, by `lungs_key`."""

    FILE_NAME = "lungs.sqlite"
    TABLE = "lungs_2"
    TITLE = "lung cache"
    CONTENT = "lung masks"

    def encode(self, value: Lungs) -> bytes:
        """See `SqliteCache`."""
        mask = cells_to_text(np.frombuffer(value.packed_mask, np.uint8))
        return json.dumps({**value._asdict(), "packed_mask": mask}).encode()

    def decode(self, content: bytes) -> Lungs | None:
        """See `SqliteCache`."""
        if len(content) > MAX_ENTRY_BYTES:
            return None
        try:
            entry = json.loads(content)
            mask = cells_from_text(entry.pop("packed_mask")).tobytes()
            unpacked(mask)
            lungs = Lungs(mask, **entry)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        fractions = (lungs.area, lungs.confidence)
        measurements = valid_measurements(lungs.measurements, lungs_hidden=True)
        valid = (
            lungs.origin in ORIGINS
            and isinstance(lungs.reason, str)
            and all(isinstance(value, float) and 0 <= value <= 1 for value in fractions)
        )
        return lungs._replace(measurements=measurements) if valid and measurements is not None else None


def lungs_key(digest: str, box: Box, drawn: bytes | None) -> bytes:
    """The identity of an image's lungs: 16 bytes of a hash over all that they, and the measurements without them, depend on.

    Args:
        digest: of the image file's bytes.
        box: that is used where the finder finds none.
        drawn: packed mask that somebody drew, or None.
    """
    origin = f"{finder_digest()}/{box}" if drawn is None else f"drawn/{hashlib.sha256(drawn).hexdigest()}"
    text = f"{PREPROCESSING_VERSION}/lungs/{digest}/{OCCLUSION_VERSION}/{origin}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def find_lungs(
    records: Sequence[Record],
    settings: LungSettings,
    cache: LungCache,
    executor: Executor,
    read: Read,
    plain_progress: bool = True,
) -> dict[str, Lungs]:
    """The lungs of each image by its digest: drawn where somebody drew them, else found, else the box.

    They come from the cache where they are known, else from one pass of the finder, and are then kept.

    Args:
        records: the images.
        settings: drawn masks, and the box that is taken for the lungs where none are found.
        cache: gives and takes lungs.
        executor: where the finder runs.
        read: decodes a file on this machine, to find out whether a file or the executor is at fault.
        plain_progress: whether to print lines of progress where there is no terminal.

    Raises:
        UnreadableError: some images cannot be read any more; those of all others are in the cache.
    """
    drawn = read_masks(settings.lung_masks, {record.path.stem for record in records}, read)
    box = settings.lung_box
    # Of files with equal bytes the finder is given one.
    by_digest = {record.digest: record for record in records}
    keys = {digest: lungs_key(digest, box, drawn.get(record.path.stem)) for digest, record in by_digest.items()}
    known = cache.get(list(keys.values()))
    missing = {keys[digest]: record for digest, record in by_digest.items() if keys[digest] not in known}
    if missing:
        known |= _find(missing, drawn, box, cache, executor, read, plain_progress)
    return {digest: known[key] for digest, key in keys.items()}


def _find(
    missing: Mapping[bytes, Record],
    drawn: Mapping[str, bytes],
    box: Box,
    cache: LungCache,
    executor: Executor,
    read: Read,
    plain_progress: bool,
) -> dict[bytes, Lungs]:
    """Run the finder on images, by the key of their lungs, and keep what it finds."""
    keys, records = list(missing), list(missing.values())
    items = LazySequence(
        lambda position: (absolute_text(records[position].path), drawn.get(records[position].path.stem)), len(records)
    )
    shared = SharedFiles(executor, read)
    found: dict[bytes, Lungs] = {}
    kept, lost = 0, {}
    results = executor.map(FindLungsTask(box), items)
    with Progress("Finding lungs", len(records), "images", plain_progress) as progress, closing(results):
        for position, result in results:
            record = records[position]
            if isinstance(result, LungsOfFile):
                found[keys[position]] = result.lungs
            else:
                lost[record.name] = shared.reason(record.path, result)
            if len(found) - kept == KEPT_AT_ONCE:
                cache.put(list(found.items())[kept:])
                kept = len(found)
            progress.advance(1)
    cache.put(list(found.items())[kept:])
    if lost:
        raise UnreadableError(lost)
    return found
