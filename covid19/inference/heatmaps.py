"""Grad-CAM heat maps as pictures: their colours, and the pictures that carry them."""

from __future__ import annotations

import cv2
import numpy as np

from covid19.core.arrays import Float32Array
from covid19.data.images import PICTURE_SIDE_PX, Pixels

OVERLAY_SIDE_PX = 448
OVERLAY_OPACITY = 0.4  # where the heat map is strongest
OVERLAY_ENDING = "_heatmap.png"


def overlay(pixels: Pixels, heat: Float32Array) -> Pixels:
    """A picture, uint8 RGB (224, 224, 3), enlarged, with a heat map (7, 7) laid over: uint8 RGB (448, 448, 3)."""
    colours, strength = _colour(heat, OVERLAY_SIDE_PX)
    opacity = OVERLAY_OPACITY * strength[..., None]
    large = cv2.resize(pixels, (OVERLAY_SIDE_PX, OVERLAY_SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray((1 - opacity) * large + opacity * colours, np.uint8)


def transparent_heat_map(heat: Float32Array) -> Pixels:
    """A heat map (7, 7) as uint8 RGBA (224, 224, 4); the more a cell speaks for the class, the more opaque it is."""
    colours, strength = _colour(heat, PICTURE_SIDE_PX)
    return np.dstack([colours, np.asarray(255 * strength, np.uint8)])


def _colour(heat: Float32Array, side: int) -> tuple[Pixels, Float32Array]:
    """A heat map (7, 7) enlarged to a side in pixels: its colours, uint8 RGB, and its strength, float32 from 0 to 1."""
    relative = heat / max(float(heat.max()), 1e-9)
    strength = np.clip(cv2.resize(relative, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    colours = cv2.applyColorMap((255 * strength).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.asarray(colours, np.uint8), np.asarray(strength, np.float32)
