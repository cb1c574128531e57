"""How a picture looks beside what is on it: brightness, contrast and sharpness as a few numbers. Pixels in, numbers out.

A backbone is trained to see the same in a darker or a paler picture, so its features tell little of that.
"""

from __future__ import annotations

import cv2
import numpy as np

from covid19.core.arrays import Float32Array
from covid19.data.images import Pixels

GREY_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
BLUR_SIGMAS_PX = (1.0, 4.0, 16.0)  # details smaller than these are what the picture differs by from itself when blurred
NEARLY_BLACK, NEARLY_WHITE = 3, 252  # grey levels
APPEARANCE_WIDTH = len(GREY_PERCENTILES) + len(BLUR_SIGMAS_PX) + 2
APPEARANCE_VERSION = 1  # counts up with every change of what the numbers are, for the cache


def appearance(pixels: Pixels) -> Float32Array:
    """The brightness, contrast and sharpness of a picture as the backbone is given it.

    Args:
        pixels: uint8 RGB (height, width, 3).

    Returns:
        Finite float32 (14,): nine percentiles of the grey levels, 0 to 255; the logarithm of 1 + the mean absolute difference
        in grey levels from the picture blurred, for three blurs; the fractions of the pixels that are nearly black and white.
    """
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
    details = [np.log1p(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), sigma)).mean()) for sigma in BLUR_SIGMAS_PX]
    extremes = [(grey <= NEARLY_BLACK).mean(), (grey >= NEARLY_WHITE).mean()]
    return np.array([*np.percentile(grey, GREY_PERCENTILES), *details, *extremes], np.float32)
