"""Extraction: the frozen base runs once over each view of each image; what it sees is kept as 512 numbers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from covid19.augment import rotate, rotation_angle
from covid19.console import Progress
from covid19.dataset import Record
from covid19.images import read_picture
from covid19.settings import Settings

Array = NDArray[np.float32]

BATCH = 32  # images in one forward: an image at batch 8 takes 1.7 times as long
AHEAD = 2  # batches prepared while the base is busy: enough to hide decoding, 19 MB each


class View(NamedTuple):
    """One image turned by one angle, in degrees."""

    record: Record
    angle: float


def views_of(records: Sequence[Record], rotated: int, settings: Settings) -> list[View]:
    """Each record as it is, followed by its rotated views; the same angles wherever and whenever they are drawn."""
    return [
        View(record, rotation_angle(record.digest, number, settings.seed, settings.rotation))
        for record in records
        for number in range(1 + rotated)
    ]


def extract(views: Sequence[View], base: keras.Model) -> Array:
    """Run the base over views and pool its maps.

    Args:
        views: those of one image side by side, so that its file is decoded once.
        base: from `build_base`.

    Returns:
        float32 array (len(views), 512): the mean of each feature map, in the views' order.
    """
    pooled = keras.layers.GlobalAveragePooling2D(name="global_average_pooling")(base.output)
    return predict(views, keras.Model(base.input, pooled), "Extracting features")


def predict(views: Sequence[View], model: keras.Model, title: str) -> Array:
    """Run a model that takes RGB in [0, 1], float32 (n, 224, 224, 3), over views, in batches, with progress.

    Returns:
        float32 array (len(views), outputs), in the views' order.
    """
    outputs = []
    with Progress(title, len(views), "views") as progress:
        for batch in load_batches(views):
            outputs.append(np.asarray(model.predict_on_batch(batch), np.float32))
            progress.advance(len(batch))
    return np.concatenate(outputs)


def load_batches(views: Sequence[View]) -> Iterator[Array]:
    """Decode and rotate in threads while the caller works; memory does not grow with the number of views.

    Yields:
        Batches of RGB in [0, 1], float32 (up to 32, 224, 224, 3), in the views' order.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: deque[Future[Array]] = deque()
        for start in range(0, len(views), BATCH):
            waiting.append(pool.submit(_load, views[start : start + BATCH]))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _load(views: Sequence[View]) -> Array:
    decoded = {path: read_picture(path).pixels for path in {view.record.path for view in views}}
    pixels = np.stack([rotate(decoded[view.record.path], view.angle) for view in views])
    return np.asarray(pixels / np.float32(255), np.float32)
