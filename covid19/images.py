"""The only place that reads pixels: one image file in, one RGB picture of 224x224 out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 224


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal: the identity of an image whatever its name.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read one image file with OpenCV.

    Args:
        path: a PNG, JPEG, BMP or TIFF file; an EXIF orientation is applied, alpha is dropped.

    Returns:
        uint8 array (224, 224, 3), RGB, 0 to 255; resized whatever its aspect ratio.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is empty or is no image that OpenCV decodes.
    """
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if not content.size:
        raise ValueError("the file is empty")
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot decode it: {error.err}") from error
    if image is None:
        raise ValueError("OpenCV cannot decode it: not an image, or damaged")
    return resize(np.asarray(image, np.uint8))


def resize(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize to 224x224, each axis by the method that suits it.

    An axis that shrinks is averaged over areas (linear interpolation skips pixels there, which aliases ribs and
    vessels into patterns that are not in the patient); an axis that grows is interpolated linearly.

    Args:
        image: uint8 array (height, width, 3).

    Returns:
        uint8 array (224, 224, 3).
    """
    height, width = image.shape[:2]
    shrunk = cv2.resize(image, (min(width, SIDE), min(height, SIDE)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
