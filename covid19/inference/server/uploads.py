"""What the page shows of one file: the picture, the model's answer and where the model looks.

`read_upload` runs in a process that decodes, `answer_picture` in the one that holds the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from covid19.data.images import PICTURE_SIDE_PX, Pixels, as_picture, decode_bytes, encode_image
from covid19.inference.heatmaps import transparent_heat_map

if TYPE_CHECKING:  # the page's own process does without Keras
    from covid19.inference.predictor import Predictor
    from covid19.inference.writers import Answer

PREVIEW_SIDE_PX = 800  # the longer side


class Upload(NamedTuple):
    """A file that could be read.

    Attributes:
        pixels: what the model sees, uint8 RGB (224, 224, 3).
        preview: what the page shows, JPEG in the picture's own proportions.
    """

    pixels: Pixels
    preview: bytes


def read_upload(content: bytes) -> Upload:
    """Decode a file.

    Raises:
        ValueError: it is empty or cannot be decoded, see `images.decode_bytes`.
    """
    if not content:
        raise ValueError("the file is empty")
    image, negative = decode_bytes(content)
    return Upload(as_picture(image, negative).pixels, _preview(image, negative))


def warm_up(predictor: Predictor) -> None:
    """Run the base once, which builds its graph, so that the first answer comes as quickly as the others."""
    predictor.ask([""], np.zeros((1, PICTURE_SIDE_PX, PICTURE_SIDE_PX, 3), np.uint8))


def answer_picture(predictor: Predictor, pixels: Pixels) -> tuple[Answer, bytes]:
    """Ask a model about a picture, uint8 RGB (224, 224, 3).

    Returns:
        The answer, without a file's name, and the heat map as PNG with transparency, empty where no label is given.
    """
    (answer,), heat = predictor.ask([""], pixels[None])
    return answer, encode_image(transparent_heat_map(heat[0]), ".png") if answer.label else b""


def _preview(image: Pixels, negative: bool) -> bytes:
    height, width = image.shape[:2]
    scale = min(1.0, PREVIEW_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_image(255 - shown if negative else shown, ".jpg")
