"""Extraction: the frozen base runs once over each view of each image; what it sees is kept as 512 numbers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from covid19.augment import rotate, rotation_angle
from covid19.console import Progress, say
from covid19.dataset import Record
from covid19.lungs import Cover, hide
from covid19.reading import Read
from covid19.settings import Settings
from covid19.store import FeatureStore, feature_key

Array = NDArray[np.float32]
T = TypeVar("T")
U = TypeVar("U")

BATCH = 32  # images in one forward: an image at batch 8 takes 1.7 times as long
AHEAD = 2  # batches prepared while the base is busy: enough to hide decoding, 19 MB each


class View(NamedTuple):
    """One image turned by one angle, in degrees, with a part of it hidden or not."""

    record: Record
    angle: float = 0.0
    cover: Cover | None = None

    @property
    def hidden(self) -> str:
        """What of the picture is hidden, for the feature store."""
        return self.cover.identity if self.cover else ""


def views_of(records: Sequence[Record], turned: Collection[int], settings: Settings) -> list[View]:
    """The views of each record, 1 + `settings.views` side by side: the image itself, then rotated ones.

    Args:
        records: of the whole data set.
        turned: positions of the records to rotate; the others' views are all the image itself.
        settings: views, rotation, seed.
    """
    turned = set(turned)
    return [
        View(record, rotation_angle(record.digest, view, settings.seed, settings.rotation) if position in turned else 0.0)
        for position, record in enumerate(records)
        for view in range(1 + settings.views)
    ]


def extract(views: Sequence[View], base: keras.Model, base_digest: str, store: FeatureStore, read: Read) -> tuple[Array, int]:
    """What the base sees in each view: from the store where it is there, else by one run of the base, then stored.

    Args:
        views: those of one image side by side, so that its file is decoded once.
        base: from `build_base`.
        base_digest: of its weights.
        store: gives and takes features; each batch is kept as soon as it is there.
        read: decodes a file, as `images.read_picture` does.

    Returns:
        float32 array (len(views), 512), the mean of each feature map in the views' order; and how many the base was run on.
    """
    keys = [feature_key(view.record.digest, view.angle, base_digest, view.hidden) for view in views]
    wanted = dict(zip(keys, views, strict=True))  # the same picture at the same angle is wanted once
    found = store.get(list(wanted))
    missing = [key for key in wanted if key not in found]
    if found:
        say(f"{len(found)} of {len(wanted)} views are in the feature store")
    if missing:
        pooled = keras.layers.GlobalAveragePooling2D()(base.output)
        model = keras.Model(base.input, pooled)
        with Progress("Extracting features", len(missing), "views") as progress:
            for start, pixels in load_batches([wanted[key] for key in missing], read):
                features = np.asarray(model.predict_on_batch(pixels), np.float32)
                fresh = dict(zip(missing[start : start + len(features)], features, strict=True))
                store.put(fresh.items())
                found |= fresh
                progress.advance(len(pixels))
    return np.stack([found[key] for key in keys]), len(missing)


def load_batches(views: Sequence[View], read: Read) -> Iterator[tuple[int, Array]]:
    """Decode and rotate in threads while the caller works; memory does not grow with the number of views.

    Yields:
        The position of a batch's first view, and the batch: RGB in [0, 1], float32 (up to 32, 224, 224, 3).
    """
    starts = range(0, len(views), BATCH)
    yield from zip(starts, in_background(lambda start: _load(views[start : start + BATCH], read), starts), strict=True)


def in_background(work: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """What a function makes of each item, in order, made in threads a little ahead of the caller."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: deque[Future[U]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _load(views: Sequence[View], read: Read) -> Array:
    decoded = {path: read(path).pixels for path in {view.record.path for view in views}}
    whole = [rotate(decoded[view.record.path], view.angle) for view in views]
    pixels = np.stack([hide(own, view.cover.flags()) if view.cover else own for own, view in zip(whole, views, strict=True)])
    return np.asarray(pixels / np.float32(255), np.float32)
