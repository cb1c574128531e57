"""What runs on the nodes of a Ray cluster: workers that read files, and workers that hold the base. Blocks in, blocks out."""

from __future__ import annotations

import os
import pickle
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from covid19.core.addresses import as_path, reason
from covid19.core.executor.machine import AHEAD, forward, load_batches, look_at
from covid19.core.executor.processes import DecodingPool
from covid19.core.keras_startup import import_keras
from covid19.data.images import read_picture
from covid19.features.augmentation import Shot

Array = NDArray[np.float32]
Item = tuple[str, float, Any]  # path, angle and cover of a `Shot`

CLOSE = 1e-2  # by which mixed precision may change the features of a picture, relative to their length


class Failed(NamedTuple):
    """What comes back of an item that could not be done, and why."""

    why: str


class Worker(ABC):
    """What Ray Data makes on each node and calls with blocks.

    Args:
        shared: a reference to the arguments, in a list.
    """

    AT_ONCE = 1  # blocks

    def __init__(self, shared: Sequence[Any]) -> None:
        import ray

        self.set_up(*ray.get(shared[0]))

    def __call__(self, block: Any) -> Any:
        """A block, an Arrow table of `position` and pickled `item`, to one of `position` and pickled `said`."""
        import pyarrow

        items = [pickle.loads(item) for item in block["item"].to_pylist()]  # from where the run began
        said = [pickle.dumps(one) for one in self._try(items)]
        return pyarrow.table({"position": block["position"], "said": pyarrow.array(said, pyarrow.binary())})

    def _try(self, items: list[Any]) -> list[Any]:
        """Do all, or where that raises each alone, so that one that raises costs only itself."""
        try:
            return self.do(items)
        except Exception as error:  # noqa: BLE001  # whatever it is, whoever began the run is to know
            if len(items) == 1:
                return [Failed(reason(error))]
            return [one for item in items for one in self._try([item])]

    @abstractmethod
    def set_up(self, *arguments: Any) -> None:
        """Take the arguments."""

    @abstractmethod
    def do(self, items: list[Any]) -> list[Any]:
        """Make something of each item."""


class Looker(Worker):
    """Reads files; see `machine.look_at`."""

    def set_up(self, known: frozenset[bytes], file_timeout_s: float) -> None:
        """Take the images that need not be decoded, and the seconds that one may take."""
        self._known = known
        self._decoder = DecodingPool(file_timeout_s, 1)

    def do(self, items: list[str]) -> list[Any]:
        """A look at each file."""
        return [look_at(as_path(path), self._known, self._decoder.run)[0] for path in items]


class Extractor(Worker):
    """Holds the base; while it is busy with one block, the next one is decoded."""

    AT_ONCE = 2

    def set_up(self, arrays: Sequence[Array], trained: bool, precision: str, file_timeout_s: float) -> None:
        """Build the base."""
        _use_own_cores()
        self._read = partial(read_picture, run=DecodingPool(file_timeout_s, _cores()).run)
        self._model = build(arrays, trained, precision)
        self._base = threading.Lock()

    def do(self, items: list[Item]) -> list[Any]:
        """The features of each view, or in words why there are none."""
        said: dict[int, Any] = {}
        for batch in load_batches([_shot(item) for item in items], self._read, max(AHEAD, _cores())):
            with self._base:
                done = forward(self._model, batch)
            said |= dict(zip(done.positions, done.features, strict=True)) | done.problems
        return [said[position] for position in range(len(items))]


class Chooser(Worker):
    """Tries a few views in full and in mixed precision."""

    def set_up(self, arrays: Sequence[Array], trained: bool) -> None:
        """Take the weights of the base."""
        self._arguments = arrays, trained

    def do(self, items: list[list[Item]]) -> list[Any]:
        """The precision to use, given some views as a single item."""
        _use_own_cores()
        return [choose_precision(*self._arguments, [_shot(item) for item in some]) for some in items]


class Asker(Worker):
    """Holds a saved model and answers for files."""

    def set_up(self, model: bytes, overlays: bool, file_timeout_s: float) -> None:
        """Load the model from its file's bytes."""
        _use_own_cores()
        import_keras()
        from covid19.inference.predictor import Predictor

        self._predictor = Predictor(model)
        self._overlays = overlays
        self._decoder = DecodingPool(file_timeout_s, _cores())

    def do(self, items: list[str]) -> list[Any]:
        """An answer to each file, with its heat map or none; see `predictor.answers_of`."""
        from covid19.inference.predictor import answers_of

        return list(answers_of(self._predictor, items, self._decoder.run, self._overlays))


def build(arrays: Sequence[Array], trained: bool, precision: str) -> Any:
    """The model from pictures to features that `Extractor` runs.

    Args:
        arrays: of `weights.Weights`.
        trained: whether they are trained ones.
        precision: a Keras policy: 'float32', or 'mixed_float16', which computes in half precision.
    """
    import_keras()
    import keras

    from covid19.features.backbone.vgg16 import base_of, pooled

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return pooled(base_of(arrays, trained))
    finally:
        keras.config.set_dtype_policy(before)


def choose_precision(arrays: Sequence[Array], trained: bool, shots: Sequence[Shot]) -> str:
    """'mixed_float16' if it changes the features of each of some views by at most 1 % of their length, else 'float32'."""
    tried = 0
    models = [build(arrays, trained, precision) for precision in ("float32", "mixed_float16")]
    for batch in load_batches(shots, read_picture):
        tried += len(batch.positions)
        full, mixed = (forward(model, batch).features.astype(np.float64) for model in models)
        if not (np.linalg.norm(mixed - full, axis=1) <= CLOSE * np.linalg.norm(full, axis=1)).all():
            return "float32"
    return "mixed_float16" if tried else "float32"


def _shot(item: Item) -> Shot:
    path, angle, cover = item
    return Shot(as_path(path), angle, cover)


def _cores() -> int:
    """The cores that this actor was given; Ray says so to OpenMP."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def _use_own_cores() -> None:
    """Let TensorFlow, which by itself takes every core of the node, keep to the actor's; before it is imported."""
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(_cores()))
