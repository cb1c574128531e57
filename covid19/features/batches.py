"""Batches of augmented images, decoded in the background while the backbone is busy. Specifications go in, pixels come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from covid19.core.arrays import Float32Array
from covid19.core.executor.background import in_background
from covid19.data.images import Pixels, Read, why_unreadable
from covid19.features.augmentation import View, ViewSpec

BATCH_SIZE = 32  # images in one forward pass: at batch 8 an image takes 1.7 times as long
PREFETCHED_BATCHES = 2  # batches prepared while the backbone is busy: enough to hide decoding, 5 MB each


class Batch(NamedTuple):
    """Images for one forward pass.

    Attributes:
        positions: of those that could be read.
        pixels: theirs, uint8 RGB (n, 224, 224, 3).
        problems: why the others could not, by position.
    """

    positions: list[int]
    pixels: Pixels
    problems: dict[int, str]

    def as_floats(self) -> Float32Array:
        """The pixels as the backbone takes them: RGB in [0, 1], float32."""
        return np.asarray(self.pixels / np.float32(255), np.float32)


def load_batches(views: Sequence[View] | Sequence[ViewSpec], read: Read, ahead: int = PREFETCHED_BATCHES) -> Iterator[Batch]:
    """Decode, hide and augment in threads while the caller works; memory does not grow with the number of views.

    Args:
        views: those of one image side by side, so that its file is decoded once.
        read: decodes a file, as `images.read_picture` does.
        ahead: batches to prepare before they are asked for.
    """

    def load(start: int) -> Batch:
        specs = [view.spec if isinstance(view, View) else view for view in views[start : start + BATCH_SIZE]]
        return _load(dict(enumerate(specs, start)), read)

    return in_background(load, range(0, len(views), BATCH_SIZE), ahead)


def _load(specs: dict[int, ViewSpec], read: Read) -> Batch:
    decoded: dict[Path, Pixels] = {}
    pictures: dict[int, Pixels] = {}
    problems: dict[int, str] = {}
    for position, (path, augmentations, occlusion) in specs.items():
        try:
            if path not in decoded:
                decoded[path] = read(path).pixels
            changed = occlusion.apply(decoded[path]) if occlusion else decoded[path]
            for augmentation in augmentations:
                changed = augmentation.apply(changed)
            pictures[position] = changed
        except (OSError, ValueError) as error:
            problems[position] = why_unreadable(error)
    pixels = np.stack(list(pictures.values())) if pictures else np.empty((0, 1, 1, 3), np.uint8)
    return Batch(list(pictures), pixels, problems)
