"""Views of an image: which there are, the angle from the image's content, the rotation with the edge's pixels repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.core.settings import TrainingSettings
from covid19.data.dataset import Record
from covid19.data.lungs import Occlusion


class ViewSpec(NamedTuple):
    """What a view takes of an image: its file, an angle in degrees, and what is hidden. All that another machine needs."""

    path: Path
    angle: float
    occlusion: Occlusion | None


class View(NamedTuple):
    """One image turned by one angle, in degrees, with a part of it hidden or not."""

    record: Record
    angle: float = 0.0
    occlusion: Occlusion | None = None

    @property
    def occlusion_key(self) -> str:
        """What of the picture is hidden, for the feature cache."""
        return self.occlusion.identity if self.occlusion else ""

    @property
    def spec(self) -> ViewSpec:
        """What it takes of its image."""
        return ViewSpec(self.record.path, self.angle, self.occlusion)


def augmented_views(records: Sequence[Record], turned: Collection[int], training: TrainingSettings) -> list[View]:
    """The views of each record, 1 + `training.augmentations` side by side: the image itself, then rotated ones.

    Args:
        records: of the whole data set.
        turned: positions of the records to rotate; the others' views are all the image itself.
        training: augmentations, rotation and seed are used.
    """
    turned = set(turned)
    return [
        View(record, rotation_angle(record.digest, view, training.seed, training.rotation) if position in turned else 0.0)
        for position, record in enumerate(records)
        for view in range(1 + training.augmentations)
    ]


def rotation_angle(digest: str, view: int, seed: int, limit: float) -> float:
    """The angle of one view, a pure function of its arguments: order and threads cannot change it.

    Args:
        digest: the image's content, from `Picture.digest`.
        view: 0 is the image itself, 1 and up are rotated views.
        seed: the run's seed.
        limit: largest angle in degrees.

    Returns:
        Degrees, uniform in [-limit, limit]; 0.0 for view 0.
    """
    if view == 0:
        return 0.0
    draw = hashlib.sha256(f"{digest}/{view}/{seed}".encode()).digest()[:8]
    return limit * (2 * int.from_bytes(draw, "big") / (2**64 - 1) - 1)


def rotate(pixels: NDArray[np.uint8], angle: float) -> NDArray[np.uint8]:
    """Turn a picture about its centre, counter-clockwise; what comes in from outside repeats the nearest edge pixel.

    Args:
        pixels: uint8 array (height, width, 3).
        angle: degrees; 0.0 returns the picture as it is.

    Returns:
        uint8 array of the same shape, interpolated linearly.
    """
    if angle == 0.0:
        return pixels
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    turned = cv2.warpAffine(pixels, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)
