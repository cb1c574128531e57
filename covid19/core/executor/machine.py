"""Where files are read and the base is run: an `Engine`. This machine, in threads, is one; `ray_cluster.Cluster` is the other.

Paths go in and what reading them told comes out; views go in and features come out, in batches, as they are there.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from covid19.core.addresses import on_disk
from covid19.core.executor.processes import DecodingPool, RunTask, run_here
from covid19.data.images import Picture, Pixels, Read, read_picture
from covid19.data.lungs import hide
from covid19.data.scan import FileScan, identify, measure
from covid19.data.scan_cache import scan_key
from covid19.features.augmentation import Shot, View, rotate

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float32]
T = TypeVar("T")
U = TypeVar("U")

PICTURES_KEPT = 256  # decoded while Keras imports and kept for the extraction, 150 KB each; the first ones of a data set
BATCH = 32  # images in one forward: an image at batch 8 takes 1.7 times as long
AHEAD = 2  # batches prepared while the base is busy: enough to hide decoding, 5 MB each
FILES_AHEAD = 64  # files read before they are asked for


class Batch(NamedTuple):
    """Views of one forward.

    Attributes:
        positions: of the views that could be read.
        pixels: theirs, uint8 RGB (n, 224, 224, 3).
        problems: why the others could not, by position.
    """

    positions: list[int]
    pixels: Pixels
    problems: dict[int, str]

    def as_floats(self) -> Array:
        """The pixels as the base takes them: RGB in [0, 1], float32."""
        return np.asarray(self.pixels / np.float32(255), np.float32)


class Forward(NamedTuple):
    """What the base made of some views: features, float32 (n, 512), by their positions; why the others could not be read."""

    positions: list[int]
    features: Array
    problems: dict[int, str]


class Engine(Protocol):
    """What every step asks of the place where files are read and the base is run."""

    def read(self, path: Path) -> Picture:
        """Decode one file now, as `images.read_picture` does."""

    def look(self, paths: Sequence[Path], known: Container[bytes]) -> Iterator[tuple[int, FileScan]]:
        """Read every file once, by position and in any order; images whose `scan_key` is known are not decoded."""

    def precision(self, base: keras.Model, views: Sequence[View]) -> str:
        """How `see` will compute: 'float32', or 'mixed_float16', whose features differ by at most 1 %."""

    def see(self, base: keras.Model, views: Sequence[View], precision: str) -> Generator[Forward]:
        """Run the base over each view, in any order, in a precision that `precision` named."""


@contextmanager
def open_engine(cluster: str | None, decoder: DecodingPool) -> Iterator[Engine]:
    """This machine, or the cluster that `--cluster` names, for as long as it is needed.

    Args:
        cluster: None, or the flag's value.
        decoder: decodes files on this machine; on a cluster its time limit holds too.

    Raises:
        InputError: the cluster cannot be had.
    """
    if cluster is None:
        yield ThisMachine(decoder.run)
        return
    from covid19.core.executor.ray_cluster import open_cluster

    with open_cluster(cluster, decoder) as engine:
        yield engine


class ThisMachine:
    """This machine: the base runs in this process, files are decoded where `run` runs its tasks.

    Args:
        run: runs a task that decodes a file, here or in a process that can be ended.
    """

    def __init__(self, run: RunTask = run_here) -> None:
        self._run = run
        self._pictures: dict[Path, Picture] = {}

    def read(self, path: Path) -> Picture:
        """See `Engine`."""
        return self._pictures.get(path) or read_picture(path, self._run)

    def look(self, paths: Sequence[Path], known: Container[bytes]) -> Iterator[tuple[int, FileScan]]:
        """See `Engine`."""
        yield from enumerate(in_background(partial(self._look, known=known), paths, FILES_AHEAD))

    def _look(self, path: Path, known: Container[bytes]) -> FileScan:
        scan, picture = look_at(path, known, self._run)
        if picture and len(self._pictures) < PICTURES_KEPT:
            self._pictures[path] = picture
        return scan

    def precision(self, base: keras.Model, views: Sequence[View]) -> str:
        """See `Engine`: always 'float32'."""
        return "float32"

    def see(self, base: keras.Model, views: Sequence[View], precision: str) -> Generator[Forward]:
        """See `Engine`."""
        from covid19.features.backbone.vgg16 import pooled

        model = pooled(base)
        yield from (forward(model, batch) for batch in load_batches(views, self.read))


def forward(model: keras.Model, batch: Batch) -> Forward:
    """What a model from `vgg16.pooled` makes of a batch."""
    features = np.empty((0, model.output_shape[1]), np.float32)
    if batch.positions:
        features = np.asarray(model.predict_on_batch(batch.as_floats()), np.float32)
    return Forward(batch.positions, features, batch.problems)


def look_at(path: Path, known: Container[bytes], run: RunTask) -> tuple[FileScan, Picture | None]:
    """Read one file: its digest, its header and, unless the image is known, what its pixels tell, and the picture."""
    try:
        with on_disk(path) as file:
            digest, tags = run(identify, file)
            if scan_key(digest) in known:
                return FileScan(digest, None, None, tags, ""), None
            picture, stats, measurements = run(measure, file)
            return FileScan(digest, stats, measurements, tags, ""), picture
    except (OSError, ValueError) as error:
        return FileScan("", None, None, {}, why_unreadable(error)), None


def why_unreadable(error: OSError | ValueError) -> str:
    """Why a file could not be read, in words."""
    return f"cannot be opened: {error.strerror or error}" if isinstance(error, OSError) else str(error)


def load_batches(views: Sequence[View] | Sequence[Shot], read: Read, ahead: int = AHEAD) -> Iterator[Batch]:
    """Decode and rotate in threads while the caller works; memory does not grow with the number of views.

    Args:
        views: those of one image side by side, so that its file is decoded once.
        read: decodes a file, as `images.read_picture` does.
        ahead: batches to prepare before they are asked for.
    """

    def load(start: int) -> Batch:
        shots = [view.shot if isinstance(view, View) else view for view in views[start : start + BATCH]]
        return _load(dict(enumerate(shots, start)), read)

    return in_background(load, range(0, len(views), BATCH), ahead)


def in_background(work: Callable[[T], U], items: Iterable[T], ahead: int = AHEAD) -> Iterator[U]:
    """What a function makes of each item, in order, made in threads a little ahead of the caller."""
    pool = ThreadPoolExecutor(os.cpu_count())
    waiting: deque[Future[U]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # what a caller who stops early, such as by Ctrl+C, has not begun is left out


def _load(shots: dict[int, Shot], read: Read) -> Batch:
    decoded: dict[Path, Pixels] = {}
    pictures: dict[int, Pixels] = {}
    problems: dict[int, str] = {}
    for position, (path, angle, cover) in shots.items():
        try:
            if path not in decoded:
                decoded[path] = read(path).pixels
            turned = rotate(decoded[path], angle)
            pictures[position] = hide(turned, cover.flags(read)) if cover else turned
        except (OSError, ValueError) as error:
            problems[position] = why_unreadable(error)
    pixels = np.stack(list(pictures.values())) if pictures else np.empty((0, 1, 1, 3), np.uint8)
    return Batch(list(pictures), pixels, problems)
