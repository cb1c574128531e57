"""The lung finder: pictures go in; where their lungs are, and whether lungs were found at all, come out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.data.images import PICTURE_SIDE_PX, Pixels
from covid19.lungs.masks import Mask, bounding_box, largest_parts
from covid19.lungs.network import prepare_pictures
from covid19.lungs.opencv_network import OpenCvNetwork

MIN_AREA, MAX_AREA = 0.06, 0.6  # of the picture, of both lungs together
MIN_CONFIDENCE = 0.8
MAX_PARTS = 3
MAX_OFF_CENTRE = 0.25  # of the middle between the lungs, as a fraction of the picture's side
MIN_SMALLER_LUNG = 0.2  # of both lungs' area that must lie on either side of their middle
MIN_ASPECT, MAX_ASPECT = 0.55, 2.4  # width by height of the box that holds both lungs


class FoundLungs(NamedTuple):
    """What the finder found in one picture.

    Attributes:
        mask: the lungs, bool (224, 224); without what lies between them.
        found: whether these can be the lungs of a frontal chest X-ray.
        reason: why not, in words; '' where they can.
        area: fraction of the picture that they take, in [0, 1].
        confidence: how sure the network is of what it took for lung, in [0, 1]: the mean of |2 p - 1| over the pixels near or
            inside the mask, p being the probability of lung.
        parts: connected parts of some size.
    """

    mask: Mask
    found: bool
    reason: str
    area: float
    confidence: float
    parts: int


class LungFinder:
    """Finds lungs with the network that lies in this package. Safe for use by several threads."""

    def __init__(self) -> None:
        self._network = OpenCvNetwork()
        self._lock = threading.Lock()  # OpenCV's networks hold their input until they have been run

    def find(self, pictures: Sequence[Pixels]) -> list[FoundLungs]:
        """Find the lungs of some pictures, each uint8 RGB (224, 224, 3)."""
        found = []
        for picture in prepare_pictures(pictures):
            with self._lock:
                logits = self._network.logits(picture)
            found.append(found_lungs(logits))
        return found


def found_lungs(logits: NDArray[np.float32]) -> FoundLungs:
    """What the logits of one picture, float32 (128, 128), tell."""
    logits = np.asarray(cv2.resize(logits, (PICTURE_SIDE_PX, PICTURE_SIDE_PX), interpolation=cv2.INTER_LINEAR), np.float32)
    mask, parts = largest_parts(logits > 0)
    area = float(mask.mean())
    near = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    confidence = float(np.abs(np.tanh(logits[near] / 2)).mean()) if near.any() else 0.0
    reason = _why_not(mask, area, confidence, parts)
    return FoundLungs(mask, not reason, reason, area, confidence, parts)


def _why_not(mask: Mask, area: float, confidence: float, parts: int) -> str:
    """Why a mask cannot be the lungs of a frontal chest X-ray, or ''."""
    if not mask.any():
        return "nothing looks like lungs"
    left, top, width, height = bounding_box(mask)
    middle = left + width // 2
    off = max(abs(left + width / 2 - PICTURE_SIDE_PX / 2), abs(top + height / 2 - PICTURE_SIDE_PX / 2)) / PICTURE_SIDE_PX
    smaller = min(mask[:, :middle].sum(), mask[:, middle:].sum()) / mask.sum()
    reasons = {
        f"what looks like lungs takes {area:.0%} of the picture": not MIN_AREA <= area <= MAX_AREA,
        f"what looks like lungs has {parts} parts": parts > MAX_PARTS,
        "what looks like lungs has not the shape of two lungs": not MIN_ASPECT <= width / height <= MAX_ASPECT,
        "what looks like lungs lies at the picture's edge": off > MAX_OFF_CENTRE,
        "only one lung was found": smaller < MIN_SMALLER_LUNG,
        f"the outline is uncertain (confidence {confidence:.2f})": confidence < MIN_CONFIDENCE,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")
