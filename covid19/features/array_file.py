"""The features of a run, (images, views, width): an array where they fit into memory, else a file with the same index."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covid19.core.arrays import Float32Array

Whole = NDArray[np.signedinteger]

IN_MEMORY = 1 << 30  # bytes: half a million views
IMAGES_PER_CHUNK = 4096  # images read at once, 8 MB a view


class FeatureFile:
    """Features in a file that has no name and goes with the run; what is asked for is read, nothing else is held.

    Indexed by images and views alone, `features[images, views]`, as an array is: whole numbers or arrays of them, which are
    broadcast; what comes out is float32 (..., width). Not `numpy.memmap`: its pages count as the process's own memory.

    Args:
        images, views, width: the shape.
        folder: to keep it in, on a disk that has room for it; None takes the system's folder for temporary files.
    """

    def __init__(self, images: int, views: int, width: int, folder: Path | None) -> None:
        self.shape = (images, views, width)
        self._written = np.zeros(images * views, bool)
        self._handle, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        weakref.finalize(self, os.close, self._handle)

    def __getitem__(self, index: tuple[Whole | int, Whole | int]) -> Float32Array:
        _, views, width = self.shape
        image, view = np.broadcast_arrays(*index)
        rows = (image.astype(np.int64) * views + view).ravel()
        found = np.empty((len(rows), width), np.float32)
        size = 4 * width
        for own, row in zip(found, rows.tolist(), strict=True):
            if not self._written[row] or os.preadv(self._handle, [own], row * size) != size:
                raise OSError(f"row {row} of the features was never written")
        return found.reshape(*image.shape, width)

    def put(self, rows: Whole, features: Float32Array) -> None:
        """Write features, float32 (n, width), of views by their number in the order of images and, within, of views."""
        size = 4 * self.shape[2]
        for row, feature in zip(rows.tolist(), np.ascontiguousarray(features, np.float32), strict=True):
            self._written[row] = os.pwrite(self._handle, feature, row * size) == size


Features = Float32Array | FeatureFile


def new_matrix(images: int, views: int, width: int, folder: Path | None) -> Features:
    """Room for features: in memory up to a gigabyte, else in a file in the folder."""
    if 4 * images * views * width <= IN_MEMORY:
        return np.zeros((images, views, width), np.float32)
    return FeatureFile(images, views, width, folder)


def put(features: Features, rows: Whole, values: Float32Array) -> None:
    """Fill rows of either kind; see `FeatureFile.put`."""
    if isinstance(features, FeatureFile):
        features.put(rows, values)
    else:
        features.reshape(-1, features.shape[2])[rows] = values


def in_chunks(images: Whole) -> Iterator[Whole]:
    """The positions of images, as many at once as memory should hold of their features."""
    for start in range(0, len(images), IMAGES_PER_CHUNK):
        yield images[start : start + IMAGES_PER_CHUNK]
