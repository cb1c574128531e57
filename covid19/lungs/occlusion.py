"""Pictures with their lungs hidden.

What is hidden is filled from the pixels around it, coarse to fine (pull-push; Gortler, Grzeszczuk, Szeliski, Cohen, SIGGRAPH
1996): the fill has no edge and no texture, so that it shows the outline of what it hides as little as a fill can.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.data.images import Pixels
from covid19.lungs.masks import Mask, convex_hull, grown, unpacked, whole_lungs

SMALLEST_LEVEL_PX = 2
OCCLUSION_VERSION = 2  # counts up with every change of what is hidden or of how it is filled, for the feature cache


class Hides(Enum):
    """What is hidden of a picture. The values are part of the feature cache's keys."""

    LUNGS = "lungs"  # each lung, also behind the heart, grown by a margin; what lies between the lungs stays visible
    HULL = "hull"  # the convex hull of the grown lungs: nothing of the lungs, the hila, the heart or the mediastinum remains
    BOX = "box"  # a mask that is taken as it is


class Occlusion(NamedTuple):
    """What is hidden of a picture, complete in itself: it travels to other machines and names the result in the feature cache.

    Attributes:
        hides: which part.
        lungs: mask of the lungs, as `masks.packed` gives it.
        identity: of the mask, for the feature cache.
    """

    hides: Hides
    lungs: bytes
    identity: str

    @property
    def key(self) -> str:
        """The same for occlusions that do the same to a picture."""
        return f"{self.hides.value}:{OCCLUSION_VERSION}:{self.identity}"

    def apply(self, pixels: Pixels) -> Pixels:
        """The picture with its part hidden.

        Args:
            pixels: uint8 RGB (224, 224, 3).
        """
        mask = unpacked(self.lungs)
        return fill(pixels, hidden_part(self.hides, mask))


def hidden_part(hides: Hides, lungs: Mask) -> Mask:
    """The pixels that an occlusion hides of a picture with such lungs."""
    if hides is Hides.BOX:
        return lungs
    return grown(whole_lungs(lungs)) if hides is Hides.LUNGS else convex_hull(grown(lungs))


def fill(pixels: Pixels, hidden: Mask) -> Pixels:
    """The picture with some pixels filled from those around them; black where nothing else remains.

    Args:
        pixels: uint8 RGB (height, width, 3).
        hidden: bool (height, width).
    """
    if not hidden.any():
        return pixels
    known = (~hidden).astype(np.float32)[..., None]
    filled = _pull_push(np.asarray(pixels * known, np.float32), known)
    return np.where(hidden[..., None], np.rint(filled.clip(0, 255)), pixels).astype(np.uint8)


def _pull_push(weighted: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours of all pixels: where the weight is 1 the pixel's own, elsewhere those of the same picture at half the size.

    Args:
        weighted: float32 (height, width, 3), the colours times their weights.
        weight: float32 (height, width, 1) in [0, 1].
    """
    height, width = weighted.shape[:2]
    colours = weighted / np.maximum(weight, 1e-6)
    if min(height, width) <= SMALLEST_LEVEL_PX or weight.min() == 1:
        total = max(float(weight.sum()), 1e-6)
        mean = weighted.sum(axis=(0, 1)) / total
        return np.asarray(weight * colours + (1 - weight) * mean, np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    small = cv2.resize(np.concatenate([weighted, weight], axis=2), half, interpolation=cv2.INTER_AREA)
    small_weight = np.minimum(small[..., 3:] * 4, 1)  # a quarter of known pixels is enough to trust their mean
    small_colours = np.asarray(small[..., :3] / np.maximum(small[..., 3:], 1e-6) * small_weight, np.float32)
    coarse = _pull_push(small_colours, np.asarray(small_weight, np.float32))
    enlarged = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(weight * colours + (1 - weight) * enlarged, np.float32)
