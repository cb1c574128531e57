"""Extraction: the frozen base runs once over each view of each image; what it sees is kept as 512 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from covid19.core.console import Progress, say
from covid19.core.errors import InputError
from covid19.core.executor.machine import Engine
from covid19.features.array_file import Features, new_matrix, put
from covid19.features.augmentation import View
from covid19.features.cache import WIDTH, FeatureCache, feature_key

AT_ONCE = 10_000  # features asked of the cache at once, 20 MB

Whole = NDArray[np.intp]


class Extracted(NamedTuple):
    """What the base saw.

    Attributes:
        features: float32 (images, views, 512), the mean of each feature map.
        runs: views that the base was run on; the others came from the cache.
        precision: in which the base was run, see `machine.Engine`.
    """

    features: Features
    runs: int
    precision: str


class UnreadableError(InputError):
    """Images that could be read once but not again: everything else is in the cache, and a run may go on without them.

    Args:
        lost: why, by the image's name.
    """

    def __init__(self, lost: dict[str, str]) -> None:
        name, why = next(iter(lost.items()))
        super().__init__(
            f"{len(lost)} images could be read once but not again, such as '{name}' ({why}); expected files that stay as they "
            "are: run again"
        )
        self.lost = lost


def extract(
    views: Sequence[View], base: keras.Model, base_digest: str, cache: FeatureCache, engine: Engine, each: int = 1
) -> Extracted:
    """What the base sees in each view: from the cache where it is there, else by one run of the base, then stored.

    Args:
        views: those of one image side by side, so that its file is decoded once.
        base: from `build_base`.
        base_digest: of its weights.
        cache: gives and takes features; each batch is kept as soon as it is there.
        engine: reads the files and runs the base.
        each: how many views an image has.

    Returns:
        Features of shape (len(views) / each, each, 512), and how they were come by.

    Raises:
        UnreadableError: some images cannot be read; all others are in the cache.
    """
    precision = engine.precision(base, views)
    identity = base_digest if precision == "float32" else f"{base_digest}/{precision}"
    keys = _keys(views, identity)
    # The same picture at the same angle is wanted once.
    wanted, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)[1:]
    features = new_matrix(len(views) // each, each, WIDTH, cache.folder)
    missing = _from_cache(keys, wanted, features, cache)
    if len(missing) < len(wanted):
        say(f"{len(wanted) - len(missing)} of {len(wanted)} views are in the feature cache")
    if len(missing):
        lost: dict[str, str] = {}
        with (
            closing(engine.see(base, [views[i] for i in missing], precision)) as seen,
            Progress("Extracting features", len(missing), "views") as progress,
        ):
            for done in seen:
                rows = missing[done.positions]
                cache.put(zip((key.tobytes() for key in keys[rows]), done.features, strict=True))
                put(features, rows, done.features)
                lost |= {views[missing[i]].record.name: why for i, why in done.problems.items()}
                progress.advance(len(done.positions) + len(done.problems))
        if lost:
            raise UnreadableError(lost)
    _repeat(features, wanted[place.ravel()])
    return Extracted(features, len(missing), precision)


def _keys(views: Sequence[View], identity: str) -> NDArray[np.uint64]:
    """Each key as a pair of numbers: a million in one array rather than in a million objects."""
    joined = bytearray()
    for view in views:
        joined += feature_key(view.record.digest, view.angle, identity, view.hidden)
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


def _from_cache(keys: NDArray[np.uint64], wanted: Whole, features: Features, cache: FeatureCache) -> Whole:
    """Fill in what the cache has; return the rows that it lacks, in order."""
    missing = []
    for rows in np.array_split(np.sort(wanted), -(-len(wanted) // AT_ONCE)):
        named = [key.tobytes() for key in keys[rows]]
        found = cache.get(named)
        here = np.array([key in found for key in named])
        if found:
            put(features, rows[here], np.stack([found[key] for key in named if key in found]))
        missing.append(rows[~here])
    return np.concatenate(missing)


def _repeat(features: Features, first: Whole) -> None:
    """Copy to each view whose key an earlier one had what was found for that."""
    again = np.flatnonzero(first != np.arange(len(first)))
    each = features.shape[1]
    for start in range(0, len(again), AT_ONCE):
        rows = again[start : start + AT_ONCE]
        put(features, rows, features[first[rows] // each, first[rows] % each])
