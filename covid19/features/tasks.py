"""Running the backbone on an executor: the tasks that extract features and that try a lower precision."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from covid19.core.addresses import absolute_text, as_path
from covid19.core.arrays import Float32Array
from covid19.core.executor.executor import Resources, Task
from covid19.data.decoding import MODULES
from covid19.data.images import read_picture
from covid19.features.augmentation import View, ViewSpec
from covid19.features.augmentations.augmentation import Augmentation
from covid19.features.backbone.network import base_arrays, base_of, is_trained, pooled
from covid19.features.batches import PREFETCHED_BATCHES, load_batches

Item = tuple[str, tuple[Augmentation, ...], Any]  # a `ViewSpec` such that every machine understands the path

MAX_RELATIVE_ERROR = 1e-2  # by which mixed precision may change the features of an image


def portable(view: View) -> Item:
    """What a view takes of its image, for any machine that sees the files."""
    path, augmentations, occlusion = view.spec
    return absolute_text(path), augmentations, occlusion


def _spec(item: Item) -> ViewSpec:
    path, augmentations, occlusion = item
    return ViewSpec(as_path(path), augmentations, occlusion)


class _BackboneTask:
    """What travels of a backbone: its arrays and whether it is trained, not the Keras model."""

    def __init__(self, base: keras.Model) -> None:
        self._base: keras.Model | tuple[Sequence[Float32Array], bool] = base

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_base": self._parts()}

    def _parts(self) -> tuple[Sequence[Float32Array], bool]:
        return self._base if isinstance(self._base, tuple) else (base_arrays(self._base), is_trained(self._base))

    def _build(self, precision: str) -> keras.Model:
        """The model from images to features: the one that is here, or a new one of the arrays."""
        if precision == "float32" and not isinstance(self._base, tuple):
            return pooled(self._base)
        return build(*self._parts(), precision)


class ExtractTask(_BackboneTask, Task[Item, Float32Array | str]):
    """Runs the backbone over augmented images: features, float32 (width,), of each, or in words why there are none.

    Args:
        base: the backbone.
        precision: a Keras policy: 'float32', or 'mixed_float16', which computes in half precision.
    """

    blocks_at_once = 2  # the next one is decoded while the backbone is busy with one
    preload = MODULES

    def __init__(self, base: keras.Model, precision: str) -> None:
        super().__init__(base)
        self._precision = precision

    def set_up(self, resources: Resources) -> None:
        """Build the model."""
        self._model = self._build(self._precision)
        self._read = partial(read_picture, run=resources.run)
        self._ahead = max(PREFETCHED_BATCHES, resources.cores)
        self._turn = threading.Lock()

    def run(self, items: Sequence[Item]) -> Iterator[tuple[int, Float32Array | str]]:
        """Decode batch by batch in the background, and run the backbone over each."""
        for batch in load_batches([_spec(item) for item in items], self._read, self._ahead):
            with self._turn:
                features = forward(self._model, batch.as_floats()) if batch.positions else ()
            yield from zip(batch.positions, features, strict=True)
            yield from batch.problems.items()


class PrecisionTask(_BackboneTask, Task[list[Item], str]):
    """Chooses the precision for a backbone, given some images as a single item."""

    preload = MODULES

    def set_up(self, resources: Resources) -> None:
        """Build the backbone in both precisions."""
        self._models = [self._build(precision) for precision in ("float32", "mixed_float16")]
        self._read = partial(read_picture, run=resources.run)

    def run(self, items: Sequence[list[Item]]) -> Iterator[tuple[int, str]]:
        """'mixed_float16' if it changes the features of each image by at most 1 % of their length, else 'float32'."""
        for position, some in enumerate(items):
            yield position, self._choose([_spec(item) for item in some])

    def _choose(self, specs: Sequence[ViewSpec]) -> str:
        tried = 0
        for batch in load_batches(specs, self._read):
            if not batch.positions:
                continue
            tried += len(batch.positions)
            full, mixed = (forward(model, batch.as_floats()).astype(np.float64) for model in self._models)
            if not (np.linalg.norm(mixed - full, axis=1) <= MAX_RELATIVE_ERROR * np.linalg.norm(full, axis=1)).all():
                return "float32"
        return "mixed_float16" if tried else "float32"


def forward(model: keras.Model, pixels: Float32Array) -> Float32Array:
    """Features, float32 (n, width), of images, RGB in [0, 1], float32 (n, 224, 224, 3), by a model from `network.pooled`."""
    return np.asarray(model.predict_on_batch(pixels), np.float32)


def build(arrays: Sequence[Float32Array], trained: bool, precision: str) -> keras.Model:
    """The model from images to features in some precision.

    Args:
        arrays: of `weights.Weights`.
        trained: whether they are trained ones.
        precision: a Keras policy: 'float32' or 'mixed_float16'.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return pooled(base_of(arrays, trained))
    finally:
        keras.config.set_dtype_policy(before)
