"""Rotation about the centre of the image; where the turned image leaves a corner empty, the nearest edge pixel is repeated."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.core.settings import TrainingSettings
from covid19.features.augmentations.augmentation import draw_uniform


class Rotation(NamedTuple):
    """A rotation by an angle in degrees, counter-clockwise."""

    angle: float

    @classmethod
    def draw(cls, digest: str, copy: int, training: TrainingSettings) -> Rotation:
        """An angle, uniform in [-`training.rotation`, `training.rotation`]."""
        return cls(training.rotation * draw_uniform(digest, copy, training.seed))

    @property
    def cache_key(self) -> str:
        """The angle alone, without a name, as the feature caches of 0.1.0 have it."""
        return repr(self.angle)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn the image, interpolating linearly; an angle of 0.0 returns it as it is."""
        if self.angle == 0.0:
            return pixels
        height, width = pixels.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), self.angle, 1.0)
        rotated = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(rotated, np.uint8)
