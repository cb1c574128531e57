"""Image files and small data sets made on the spot."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_image(path: Path, pixels: np.ndarray) -> Path:
    """Write RGB or grey pixels in the format of the path's ending, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = cv2.imwrite(str(path), pixels if pixels.ndim == 2 else pixels[:, :, ::-1])
    assert done
    return path


def write_noise(root: Path, counts: dict[str, int], side: int = 24) -> Path:
    """A data set of small noise images, `counts` of each class, each of other content."""
    generator = np.random.default_rng(7)
    for label, count in counts.items():
        for index in range(count):
            write_image(root / label / f"{index:03d}.png", generator.integers(0, 256, (side, side), np.uint8))
    return root
