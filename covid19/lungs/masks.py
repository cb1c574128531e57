"""Masks of lungs, bool (224, 224): cleaning, growing, the convex hull, and as few bytes as they can be kept in."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.data.images import PICTURE_SIDE_PX

Mask = NDArray[np.bool_]

BITS_BYTES = PICTURE_SIDE_PX * PICTURE_SIDE_PX // 8
MIN_PART_FRACTION = 1 / 8  # of the largest part's area: what is smaller is no lung
TILTS_DEGREES = range(-20, 21, 2)  # of the body in the picture
MARGIN_PX = 7  # by which whole lungs are grown so that what the finder misses is inside, see docs/lung-finder.md


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


def convex_hull(mask: Mask, *further: NDArray[np.float64]) -> Mask:
    """The smallest convex shape that holds the mask, and further points (x, y) if any."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros(mask.shape, np.uint8)
    if outlines:
        points = (outline.reshape(-1, 2) for outline in outlines)
        corners = np.concatenate([*points, *(point[None] for point in further)]).astype(np.int32)
        cv2.fillConvexPoly(filled, cv2.convexHull(corners), 1)
    return filled.astype(bool)


def whole_lungs(mask: Mask) -> Mask:
    """Each lung with what of it lies behind the heart and the dome of the diaphragm, which the finder leaves out.

    A lung becomes the smallest convex shape that holds it and one more point: as low as it reaches, and as near to the body's
    axis as either lung comes, as the heart covers more of one of them.
    """
    centre, tilt = body_axis(mask)
    across, down = (np.cos(tilt), np.sin(tilt)), (-np.sin(tilt), np.cos(tilt))
    lungs = [(lung, side, np.argwhere(lung)[:, ::-1] - centre) for lung, side in _left_and_right(mask) if lung.any()]
    nearest = min((points @ across * side).min() for _, side, points in lungs) if lungs else 0.0
    whole = np.zeros_like(mask)
    for lung, side, points in lungs:
        corner = centre + side * nearest * np.array(across) + (points @ down).max() * np.array(down)
        whole |= convex_hull(lung, np.rint(corner))
    return whole


def body_axis(mask: Mask) -> tuple[NDArray[np.float64], float]:
    """A point (x, y) of the line that parts the body in halves, and by how much that is turned clockwise, in radians.

    The convex hull of both lungs is nearly the same on either side of that line, which passes through its centre: the line is
    that of the best mirror image, at most 20 degrees from the vertical.
    """
    hull = convex_hull(mask).astype(np.uint8)
    moments = cv2.moments(hull, binaryImage=True)
    centre = np.array([moments["m10"], moments["m01"]]) / max(moments["m00"], 1)

    def mirrored_overlap(tilt: float) -> int:
        mirror = np.array([[-np.cos(2 * tilt), -np.sin(2 * tilt)], [-np.sin(2 * tilt), np.cos(2 * tilt)]])
        matrix = np.column_stack((mirror, centre - mirror @ centre))
        mirrored = cv2.warpAffine(hull, matrix, hull.shape[::-1], flags=cv2.INTER_NEAREST)
        return int(np.count_nonzero(mirrored * hull))

    return centre, float(max(np.deg2rad(TILTS_DEGREES), key=lambda tilt: (mirrored_overlap(tilt), -abs(tilt))))


def _left_and_right(mask: Mask) -> list[tuple[Mask, int]]:
    """Each lung, two connected parts or else the halves of the mask; with -1 for the one at the left of the picture, else 1."""
    count, labels, _, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count == 3:
        leftmost = 1 if centres[1, 0] <= centres[2, 0] else 2
        return [(labels == leftmost, -1), (labels == 3 - leftmost, 1)]
    left, _, width, _ = bounding_box(mask)
    in_left_half = np.arange(mask.shape[1]) < left + width // 2
    return [(mask & in_left_half, -1), (mask & ~in_left_half, 1)]


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """Left, top, width and height of the smallest upright rectangle that holds the mask; the whole picture for an empty one."""
    if not mask.any():
        return 0, 0, mask.shape[1], mask.shape[0]
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return left, top, width, height


def packed(mask: Mask) -> bytes:
    """A mask as a few hundred bytes: a bit for each pixel, deflated."""
    return zlib.compress(np.packbits(mask).tobytes())


def unpacked(content: bytes) -> Mask:
    """The opposite of `packed`.

    Raises:
        ValueError: these are not the bytes of a packed mask.
    """
    unpacker = zlib.decompressobj()
    try:
        bits = unpacker.decompress(content, BITS_BYTES + 1)
    except zlib.error as error:
        raise ValueError(f"no packed mask: {error}") from error
    if len(bits) != BITS_BYTES or not unpacker.eof:
        raise ValueError(f"no packed mask: {len(bits)} bytes of pixels; expected {BITS_BYTES}")
    return np.unpackbits(np.frombuffer(bits, np.uint8)).reshape(PICTURE_SIDE_PX, PICTURE_SIDE_PX).astype(bool)


def fraction_inside(heat: NDArray[np.float32], mask: Mask) -> float:
    """How much of a heat map, not negative, (height, width), lies inside a mask: a fraction in [0, 1].

    Of a map that is 0 everywhere it is the fraction of the area.
    """
    height, width = heat.shape
    area = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
    weights = (heat if heat.sum() > 0 else np.ones_like(heat)).astype(np.float64)
    return float(((weights * area).sum() / weights.sum()).clip(0, 1))
