"""The misclassified images that a page shows, with small pictures of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from covid19.core.arrays import Float32Array
from covid19.data.dataset import Record
from covid19.data.images import Read, encode_image
from covid19.evaluation.metrics import predict_labels

MAX_MISTAKES_SHOWN = 24  # misclassified images, the most confident errors first
THUMBNAIL_SIDE_PX = 160


class Mistake(NamedTuple):
    """A misclassified image: what was predicted, with which probability, and the image as a data URL."""

    record: Record
    predicted: str
    probability: float
    picture: str


def find_mistakes(
    records: Sequence[Record],
    probabilities: Float32Array,
    classes: Sequence[str],
    positive: str,
    threshold: float | None,
    read: Read,
) -> tuple[int, list[Mistake]]:
    """How many images are misclassified, and the most confident of these errors.

    Args:
        records: the images.
        probabilities: of each, (n, classes).
        classes: in the order of the columns.
        positive: the positive class.
        threshold: as `predict_labels` takes it.
        read: decodes a file, as `images.read_picture` does.
    """
    predicted = predict_labels(probabilities, classes.index(positive), threshold)
    confidence = probabilities[np.arange(len(records)), predicted].tolist()
    wrong = [i for i, record in enumerate(records) if classes[predicted[i]] != record.label]
    wrong.sort(key=lambda i: -confidence[i])
    return len(wrong), [
        Mistake(records[i], classes[predicted[i]], confidence[i], _thumbnail(records[i], read))
        for i in wrong[:MAX_MISTAKES_SHOWN]
    ]


def _thumbnail(record: Record, read: Read) -> str:
    """A small JPEG as a data URL."""
    small = cv2.resize(read(record.path).pixels, (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), interpolation=cv2.INTER_AREA)
    encoded = encode_image(np.asarray(small, np.uint8), ".jpg", (cv2.IMWRITE_JPEG_QUALITY, 80))
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
