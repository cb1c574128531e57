"""Pictures with a part hidden: the lungs, for probes that must not see them, or all but the lungs, for `--region lungs`.

What is hidden is filled from the pixels around it, coarse to fine (pull-push; Gortler, Grzeszczuk, Szeliski, Cohen, SIGGRAPH
1996): the fill has no edge and no texture, so that it shows the outline of what it hides as little as a fill can.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.core.arrays import Float32Array
from covid19.data.grey_levels import is_grey
from covid19.data.images import PICTURE_SIDE_PX, Pixels
from covid19.lungs.masks import Mask, bounding_box, convex_hull, grown, unpacked, whole_lungs

SMALLEST_LEVEL_PX = 2
CROP_MARGIN_PX = 4  # around the box that holds the grown lungs, before it is enlarged to the whole picture
OCCLUSION_VERSION = 3  # counts up with every change of what is hidden or of how it is filled, for the caches


class Hides(Enum):
    """What is hidden of a picture. The values are part of the caches' keys."""

    LUNGS = "lungs"  # each lung, also behind the heart, grown by a margin; what lies between the lungs stays visible
    HULL = "hull"  # the convex hull of the grown lungs: nothing of the lungs, the hila, the heart or the mediastinum remains
    SURROUNDINGS = "surroundings"  # all but what LUNGS hides; the box that holds it is enlarged to the whole picture
    ALL_BUT_OUTLINE = "all but outline"  # as SURROUNDINGS, but the lungs are white and the rest is black


class Occlusion(NamedTuple):
    """What is hidden of a picture, complete in itself: it travels to other machines and names the result in the feature cache.

    Attributes:
        hides: which part.
        lungs: mask of the lungs, as `masks.packed` gives it.
        is_box: whether the mask is a box for want of anything better, which is neither grown nor completed.
    """

    hides: Hides
    lungs: bytes
    is_box: bool = False

    @property
    def key(self) -> str:
        """The same for occlusions that do the same to a picture."""
        identity = hashlib.blake2b(self.lungs, digest_size=8).hexdigest()
        return f"{self.hides.value}:{OCCLUSION_VERSION}:{'box' if self.is_box else 'mask'}:{identity}"

    def part(self) -> Mask:
        """The part of the picture that is hidden or, by SURROUNDINGS and ALL_BUT_OUTLINE, the part that is not."""
        lungs = unpacked(self.lungs)
        return lungs if self.is_box else hidden_part(self.hides, lungs)

    def apply(self, pixels: Pixels) -> Pixels:
        """The picture with its part hidden.

        Args:
            pixels: uint8 RGB (224, 224, 3).
        """
        part = self.part()
        if self.hides in (Hides.LUNGS, Hides.HULL):
            return fill(pixels, part)
        if self.hides is Hides.SURROUNDINGS:
            return enlarged(fill(pixels, ~part), part)
        return enlarged(np.repeat(np.uint8(255) * part[..., None], 3, axis=2), part)


def hidden_part(hides: Hides, lungs: Mask) -> Mask:
    """The part of a picture with such lungs that is hidden or, by SURROUNDINGS and ALL_BUT_OUTLINE, the part that is not."""
    return convex_hull(grown(lungs)) if hides is Hides.HULL else grown(whole_lungs(lungs))


def enlarged(pixels: Pixels, part: Mask) -> Pixels:
    """The box that holds a part, with a margin, enlarged to the whole picture: uint8 RGB (224, 224, 3)."""
    left, top, width, height = _crop(part)
    crop = pixels[top : top + height, left : left + width]
    return np.asarray(cv2.resize(crop, (PICTURE_SIDE_PX, PICTURE_SIDE_PX), interpolation=cv2.INTER_LINEAR), np.uint8)


def on_picture(heat: Float32Array, occlusion: Occlusion | None) -> Float32Array:
    """A heat map (rows, columns) of what a model is shown of a picture, as one of the whole picture.

    Args:
        heat: float32 (rows, columns).
        occlusion: None, which leaves the heat map as it is, or one that hides the SURROUNDINGS: then (224, 224) comes out.
    """
    if occlusion is None:
        return heat
    left, top, width, height = _crop(occlusion.part())
    whole = np.zeros((PICTURE_SIDE_PX, PICTURE_SIDE_PX), np.float32)
    whole[top : top + height, left : left + width] = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    return whole


def _crop(part: Mask) -> tuple[int, int, int, int]:
    """Left, top, width and height of the box that is enlarged."""
    return bounding_box(grown(part, CROP_MARGIN_PX))


def fill(pixels: Pixels, hidden: Mask) -> Pixels:
    """The picture with some pixels filled from those around them; black where nothing else remains.

    Args:
        pixels: uint8 RGB (height, width, 3).
        hidden: bool (height, width).
    """
    if not hidden.any():
        return pixels
    known = (~hidden).astype(np.float32)[..., None]
    colours = pixels[..., :1] if is_grey(pixels) else pixels  # one channel takes a third of the time
    filled = _pull_push(np.asarray(colours * known, np.float32), known)
    return np.where(hidden[..., None], np.rint(filled.clip(0, 255)), pixels).astype(np.uint8)


def _pull_push(weighted: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours of all pixels: where the weight is 1 the pixel's own, elsewhere those of the same picture at half the size.

    Args:
        weighted: float32 (height, width, channels), the colours times their weights.
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
    small_weight = np.minimum(small[..., -1:] * 4, 1)  # a quarter of known pixels is enough to trust their mean
    small_colours = np.asarray(small[..., :-1] / np.maximum(small[..., -1:], 1e-6) * small_weight, np.float32)
    coarse = _pull_push(small_colours, np.asarray(small_weight, np.float32))
    enlarged = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(weighted.shape)
    return np.asarray(weight * colours + (1 - weight) * enlarged, np.float32)
