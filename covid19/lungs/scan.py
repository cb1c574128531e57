"""The lungs of a data set's images: found once and kept in a cache by the image's digest.

Records go in; for each a mask of its lungs, and where that comes from, come out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from covid19.core.addresses import absolute_text
from covid19.core.console import Progress
from covid19.core.executor.background import in_background
from covid19.core.executor.executor import Executor, LazySequence, Resources, Task
from covid19.core.keras_startup import import_keras
from covid19.core.sqlite_cache import SqliteCache
from covid19.data.dataset import Record
from covid19.data.decoding import MODULES
from covid19.data.images import PREPROCESSING_VERSION, Picture, Read, picture_or_reason
from covid19.data.lungs import Box, box_mask
from covid19.data.measurements.measurement import cells_from_text, cells_to_text
from covid19.data.shared_files import SharedFiles, UnreadableError
from covid19.lungs.masks import PACKED_BYTES, Mask, packed, unpacked
from covid19.lungs.weights import finder_digest

BATCH_SIZE = 32  # pictures in one forward pass
PREFETCHED_BATCHES = 2
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
    """

    packed_mask: bytes
    origin: str
    reason: str
    area: float
    confidence: float

    @property
    def mask(self) -> Mask:
        """The mask, bool (224, 224)."""
        return unpacked(self.packed_mask)

    @property
    def identity(self) -> str:
        """The same for equal masks."""
        return hashlib.blake2b(self.packed_mask, digest_size=8).hexdigest()


class LungsOfFile(NamedTuple):
    """The lungs of one file's image, and the image's own size in pixels."""

    lungs: Lungs
    width: int
    height: int


class FindLungsTask(Task[str, LungsOfFile | str]):
    """Finds the lungs of images, or says in words why a file cannot be read.

    Args:
        box: that is taken for the lungs where none are found.
    """

    preload = MODULES

    def __init__(self, box: Box) -> None:
        self._box = packed(box_mask(box))

    def set_up(self, resources: Resources) -> None:
        """Load the finder."""
        import_keras()
        from covid19.lungs.finder import LungFinder  # imports Keras

        self._finder = LungFinder()
        self._run = resources.run

    def run(self, items: Sequence[str]) -> Iterator[tuple[int, LungsOfFile | str]]:
        """Decode batch by batch in the background, and find the lungs."""

        def load(start: int) -> dict[int, Picture | str]:
            return {
                start + offset: picture_or_reason(path, self._run)
                for offset, path in enumerate(items[start : start + BATCH_SIZE])
            }

        for batch in in_background(load, range(0, len(items), BATCH_SIZE), PREFETCHED_BATCHES):
            yield from ((position, picture) for position, picture in batch.items() if isinstance(picture, str))
            pictures = {position: picture for position, picture in batch.items() if not isinstance(picture, str)}
            if not pictures:
                continue
            found = self._finder.find(np.stack([picture.pixels for picture in pictures.values()]))
            for (position, picture), own in zip(pictures.items(), found, strict=True):
                mask, origin = (packed(own.mask), "found") if own.found else (self._box, "box")
                lungs = Lungs(mask, origin, own.reason, own.area, own.confidence)
                yield position, LungsOfFile(lungs, picture.width, picture.height)


class LungCache(SqliteCache[Lungs]):
    """Lungs of images, by `lungs_key`."""

    FILE_NAME = "lungs.sqlite"
    TABLE = "lungs_1"
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
            lungs = Lungs(mask, **entry)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        fractions = (lungs.area, lungs.confidence)
        valid = (
            len(mask) == PACKED_BYTES
            and lungs.origin in ORIGINS
            and isinstance(lungs.reason, str)
            and all(isinstance(value, float) and 0 <= value <= 1 for value in fractions)
        )
        return lungs if valid else None


def lungs_key(digest: str, box: Box) -> bytes:
    """The identity of an image's lungs: 16 bytes of a hash over all that they depend on.

    Args:
        digest: of the image file's bytes.
        box: that is used where the finder finds none.
    """
    text = f"{PREPROCESSING_VERSION}/lungs/{digest}/{finder_digest()}/{box}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def find_lungs(
    records: Sequence[Record], drawn: Mapping[str, bytes], box: Box, cache: LungCache, executor: Executor, read: Read
) -> list[Lungs]:
    """The lungs of each image: from the cache where they are known, else by one pass of the finder, and then kept.

    Args:
        records: the images.
        drawn: packed masks to use instead of the finder, by the stem of their image.
        box: taken for the lungs where none are found.
        cache: gives and takes lungs.
        executor: where the finder runs.
        read: decodes a file on this machine, to find out whether a file or the executor is at fault.

    Raises:
        UnreadableError: some images cannot be read any more; those of all others are in the cache.
    """
    # Of files with equal bytes the finder is given one.
    wanted = {record.digest: record for record in records if record.path.stem not in drawn}
    keys = {digest: lungs_key(digest, box) for digest in wanted}
    known = cache.get(list(keys.values()))
    missing = [record for digest, record in wanted.items() if keys[digest] not in known]
    if missing:
        known |= _find(missing, keys, box, cache, executor, read)
    return [_drawn(drawn[record.path.stem]) if record.path.stem in drawn else known[keys[record.digest]] for record in records]


def _drawn(mask: bytes) -> Lungs:
    return Lungs(mask, "drawn", "", float(unpacked(mask).mean()), 1.0)


def _find(
    records: Sequence[Record], keys: Mapping[str, bytes], box: Box, cache: LungCache, executor: Executor, read: Read
) -> dict[bytes, Lungs]:
    """Run the finder on images, and keep what it finds."""
    items = LazySequence(lambda position: absolute_text(records[position].path), len(records))
    shared = SharedFiles(executor, read)
    found: dict[bytes, Lungs] = {}
    kept, lost = 0, {}
    results = executor.map(FindLungsTask(box), items)
    with Progress("Finding lungs", len(records), "images") as progress, closing(results):
        for position, result in results:
            record = records[position]
            if isinstance(result, LungsOfFile):
                found[keys[record.digest]] = result.lungs
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
