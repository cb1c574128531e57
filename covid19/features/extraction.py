"""Extraction: the frozen backbone runs once over each view of each image; the result is kept as a feature vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.console import Progress, say, warn
from covid19.core.executor.executor import Executor, Failed, LazySequence
from covid19.data.images import Read
from covid19.data.shared_files import SharedFiles, UnreadableError
from covid19.features.array_file import Features, new_matrix, put
from covid19.features.augmentation import View
from covid19.features.backbone.description import BACKBONE
from covid19.features.batches import BATCH_SIZE
from covid19.features.cache import FeatureCache, feature_key
from covid19.features.tasks import ExtractTask, PrecisionTask, portable

CACHE_QUERY_ROWS = 10_000  # features asked of the cache at once, 20 MB


class Extracted(NamedTuple):
    """What the base saw.

    Attributes:
        features: float32 (images, views, width), the mean of each feature map.
        runs: views that the base was run on; the others came from the cache.
        precision: in which the base was run, see `tasks.ExtractTask`.
    """

    features: Features
    runs: int
    precision: str


class Extractor:
    """Extracts features: from the cache where they are there, else by one run of the backbone, and then caches them.

    Args:
        cache: gives and takes features; each batch is kept as soon as it is there.
        executor: where the backbone runs.
        read: decodes a file on this machine, to find out whether a file or the executor is at fault.
    """

    def __init__(self, cache: FeatureCache, executor: Executor, read: Read) -> None:
        self._cache, self._executor, self._read = cache, executor, read
        self._precisions: dict[str, str] = {}

    def extract(self, views: Sequence[View], base: keras.Model, base_digest: str, each: int = 1) -> Extracted:
        """The features of augmented images.

        Args:
            views: those of one image side by side, so that its file is decoded once.
            base: from `build_base`.
            base_digest: of its weights.
            each: how many views an image has.

        Returns:
            Features of shape (len(views) / each, each, width), and how many of them had to be computed.

        Raises:
            UnreadableError: some images cannot be read; all others are in the cache.
        """
        precision = self._choose_precision(base, base_digest, views)
        identity = base_digest if precision == "float32" else f"{base_digest}/{precision}"
        keys = _keys(views, identity)
        # The same picture with the same augmentation is wanted once.
        wanted, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)[1:]
        features = new_matrix(len(views) // each, each, BACKBONE.width, self._cache.folder)
        missing = _from_cache(keys, wanted, features, self._cache)
        if len(missing) < len(wanted):
            say(f"{len(wanted) - len(missing)} of {len(wanted)} images are in the feature cache")
        if len(missing):
            lost: dict[str, str] = {}
            with Progress("Extracting features", len(missing), "images") as progress:
                for positions, computed, problems in self._run(base, [views[i] for i in missing], precision):
                    rows = missing[positions]
                    self._cache.put(zip((key.tobytes() for key in keys[rows]), computed, strict=True))
                    put(features, rows, computed)
                    lost |= {views[missing[i]].record.name: why for i, why in problems.items()}
                    progress.advance(len(positions) + len(problems))
            if lost:
                raise UnreadableError(lost)
        _repeat(features, wanted[place.ravel()])
        return Extracted(features, len(missing), precision)

    def _choose_precision(self, base: keras.Model, base_digest: str, views: Sequence[View]) -> str:
        """On GPUs 'mixed_float16', if that changes the features of a few of the images by at most 1 %; else 'float32'."""
        if not self._executor.gpus or not views:
            return "float32"
        if base_digest not in self._precisions:
            few = [portable(view) for view in views[:: max(1, len(views) // BATCH_SIZE)][:BATCH_SIZE]]
            ((_, chosen),) = self._executor.map(PrecisionTask(base), [few])
            if isinstance(chosen, Failed):
                warn(f"mixed precision could not be tried ({chosen.reason}): features are computed in float32")
            self._precisions[base_digest] = "float32" if isinstance(chosen, Failed) else chosen
        return self._precisions[base_digest]

    def _run(
        self, base: keras.Model, views: Sequence[View], precision: str
    ) -> Iterator[tuple[list[int], Float32Array, dict[int, str]]]:
        """Run the backbone: positions and features of the views that could be read, and why others could not, as they come."""
        shared = SharedFiles(self._executor, self._read)
        items = LazySequence(lambda position: portable(views[position]), len(views))
        done: dict[int, Float32Array] = {}
        problems: dict[int, str] = {}
        with closing(self._executor.map(ExtractTask(base, precision), items)) as results:
            for position, result in results:
                if isinstance(result, str | Failed):
                    problems[position] = shared.reason(views[position].record.path, result)
                else:
                    done[position] = result
                if len(done) + len(problems) == BATCH_SIZE:
                    yield list(done), _stack(done), problems
                    done, problems = {}, {}
        yield list(done), _stack(done), problems


def _stack(features: Mapping[int, Float32Array]) -> Float32Array:
    return np.stack(list(features.values())) if features else np.empty((0, BACKBONE.width), np.float32)


def _keys(views: Sequence[View], identity: str) -> NDArray[np.uint64]:
    """Each key as a pair of numbers: a million in one array rather than in a million objects."""
    joined = bytearray()
    for view in views:
        joined += feature_key(view.record.digest, view.augmentation_key, identity, view.occlusion_key)
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


def _from_cache(keys: NDArray[np.uint64], wanted: IndexArray, features: Features, cache: FeatureCache) -> IndexArray:
    """Fill in what the cache has; return the rows that it lacks, in order."""
    missing = []
    for rows in np.array_split(np.sort(wanted), -(-len(wanted) // CACHE_QUERY_ROWS)):
        named = [key.tobytes() for key in keys[rows]]
        found = cache.get(named)
        here = np.array([key in found for key in named])
        if found:
            put(features, rows[here], np.stack([found[key] for key in named if key in found]))
        missing.append(rows[~here])
    return np.concatenate(missing)


def _repeat(features: Features, first: IndexArray) -> None:
    """Copy to each view whose key an earlier one had what was found for that."""
    again = np.flatnonzero(first != np.arange(len(first)))
    each = features.shape[1]
    for start in range(0, len(again), CACHE_QUERY_ROWS):
        rows = again[start : start + CACHE_QUERY_ROWS]
        put(features, rows, features[first[rows] // each, first[rows] % each])
