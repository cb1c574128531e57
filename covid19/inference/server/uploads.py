"""What the page shows of one file: the picture, the model's answer and where the model looks.

`read_upload` runs in a process that decodes, `answer_image` in the one that holds the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from covid19.core.arrays import Float32Array
from covid19.data.duplicates import perceptual_hash
from covid19.data.images import PICTURE_SIDE_PX, Pixels, as_picture, decode_bytes, encode_image
from covid19.inference.answer import Answer
from covid19.inference.heatmaps import transparent_heat_map
from covid19.inference.reading import InputImage, input_image

if TYPE_CHECKING:  # the page's own process does without Keras
    from covid19.inference.predictor import Predictor

PREVIEW_SIDE_PX = 800  # the longer side


class Upload(NamedTuple):
    """A file that could be read.

    Attributes:
        image: what the model is asked about.
        preview: what the page shows, JPEG in the picture's own proportions.
    """

    image: InputImage
    preview: bytes


class Reply(NamedTuple):
    """What the model's process gives for one image.

    Attributes:
        answer: for a file without a name.
        heat_map: PNG with transparency; empty where no label is given.
        features: see `predictor.Prediction`; None if the model gave no number.
    """

    answer: Answer
    heat_map: bytes
    features: Float32Array | None


def read_upload(content: bytes) -> Upload:
    """Decode a file.

    Raises:
        ValueError: it is empty or cannot be decoded, see `images.decode_bytes`.
    """
    if not content:
        raise ValueError("the file is empty")
    image, negative = decode_bytes(content)
    return Upload(input_image(as_picture(image, negative).pixels, content), _preview(image, negative))


def warm_up(predictor: Predictor) -> None:
    """Run the networks once, which builds their graphs, so that the first answer comes as quickly as the others."""
    blank = np.zeros((PICTURE_SIDE_PX, PICTURE_SIDE_PX, 3), np.uint8)
    predictor.ask([""], [InputImage(blank, "", perceptual_hash(blank))])


def answer_image(predictor: Predictor, image: InputImage) -> Reply:
    """Ask a model about an image."""
    ((answer, heat, features),) = predictor.ask([""], [image])
    return Reply(answer, b"" if heat is None else encode_image(transparent_heat_map(heat), ".png"), features)


def _preview(image: Pixels, negative: bool) -> bytes:
    height, width = image.shape[:2]
    scale = min(1.0, PREVIEW_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_image(255 - shown if negative else shown, ".jpg")
