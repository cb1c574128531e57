"""Masks of lungs, bool (224, 224): cleaning, growing, the convex hull, and as few bytes as they can be kept in."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.data.images import PICTURE_SIDE_PX

Mask = NDArray[np.bool_]

PACKED_BYTES = PICTURE_SIDE_PX * PICTURE_SIDE_PX // 8
MIN_PART_FRACTION = 1 / 8  # of the largest part's area: what is smaller is no lung
MARGIN_PX = 9  # by which a found lung is grown so that what it misses is inside, see docs/lung-finder.md


def largest_parts(mask: Mask) -> tuple[Mask, int]:
    """The two largest connected parts, without holes and without specks, and how many parts of some size there were."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count == 1:
        return np.zeros_like(mask), 0
    parts = 1 + np.flatnonzero(areas >= MIN_PART_FRACTION * areas.max())
    kept = sorted(parts, key=lambda part: -areas[part - 1])[:2]
    outlines, _ = cv2.findContours(np.isin(labels, kept).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return filled.astype(bool), len(parts)


def grown(mask: Mask, margin: int = MARGIN_PX) -> Mask:
    """The mask and all pixels at most `margin` pixels away from it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


def convex_hull(mask: Mask) -> Mask:
    """The smallest convex shape that holds the mask: both lungs and all that lies between them."""
    points = cv2.findNonZero(mask.astype(np.uint8))
    filled = np.zeros(mask.shape, np.uint8)
    if points is not None:
        cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled.astype(bool)


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """Left, top, width and height of the smallest upright rectangle that holds the mask; the whole picture for an empty one."""
    if not mask.any():
        return 0, 0, mask.shape[1], mask.shape[0]
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return left, top, width, height


def packed(mask: Mask) -> bytes:
    """A mask as 6272 bytes, eight pixels in each."""
    return np.packbits(mask).tobytes()


def unpacked(content: bytes) -> Mask:
    """The opposite of `packed`.

    Raises:
        ValueError: there are not 6272 bytes.
    """
    if len(content) != PACKED_BYTES:
        raise ValueError(f"a packed mask has {len(content)} bytes; expected {PACKED_BYTES}")
    return np.unpackbits(np.frombuffer(content, np.uint8)).reshape(PICTURE_SIDE_PX, PICTURE_SIDE_PX).astype(bool)


def fraction_inside(maps: NDArray[np.float32], masks: Mask) -> NDArray[np.float64]:
    """How much of each heat map lies inside a mask.

    Args:
        maps: not negative, (n, height, width).
        masks: bool (n, 224, 224).

    Returns:
        Fractions in [0, 1], (n,); of a map that is 0 everywhere, the fraction of its area.
    """
    height, width = maps.shape[1:]
    areas = np.stack([cv2.resize(own.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) for own in masks])
    weights = np.where(maps.sum(axis=(1, 2), keepdims=True) > 0, maps, 1).astype(np.float64)
    return np.asarray((weights * areas).sum(axis=(1, 2)) / weights.sum(axis=(1, 2)))
