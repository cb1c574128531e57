"""Films as other machines and other hands would have left them: a picture and its lungs go in, both changed come out."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.data.images import PICTURE_SIDE_PX, Pixels
from covid19.lungs.masks import Mask

Change = Callable[[Pixels, Mask], tuple[Pixels, Mask]]


def moved(degrees: float, scale: float) -> Change:
    """Turned about the middle and made smaller, on black."""
    half = PICTURE_SIDE_PX / 2
    matrix = cv2.getRotationMatrix2D((half, half), degrees, scale)

    def change(pixels: Pixels, mask: Mask) -> tuple[Pixels, Mask]:
        size = mask.shape
        return cv2.warpAffine(pixels, matrix, size), cv2.warpAffine(mask.astype(np.uint8), matrix, size) > 0  # type: ignore[return-value]

    return change


def exposed(curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Change:
    """With other grey values; the curve takes and gives values from 0 to 1."""
    return lambda pixels, mask: ((255 * curve(pixels / 255).clip(0, 1)).astype(np.uint8), mask)


def filled_lung(pixels: Pixels, mask: Mask) -> tuple[Pixels, Mask]:
    """One lung as bright as the tissue around it: consolidated as a whole."""
    half = mask & (np.arange(PICTURE_SIDE_PX) < PICTURE_SIDE_PX // 2)
    share = 0.85 * cv2.GaussianBlur(half.astype(np.float32), (0, 0), 3)[..., None]
    return ((1 - share) * pixels + share * np.percentile(pixels[~mask], 80)).astype(np.uint8), mask


def noise(deviation: float) -> NDArray[np.float64]:
    """Normal noise of a picture, the same in its channels."""
    return np.random.default_rng(3).normal(0, deviation, (PICTURE_SIDE_PX, PICTURE_SIDE_PX, 1))


CHANGES: dict[str, Change] = {
    "none": lambda pixels, mask: (pixels, mask),
    "mirrored": lambda pixels, mask: (pixels[:, ::-1], mask[:, ::-1]),
    "inverted": lambda pixels, mask: (255 - pixels, mask),
    "turned by 20 degrees": moved(20, 1),
    "65 % of the size, on black": moved(0, 0.65),
    "inverted, 80 % of the size, on black": lambda pixels, mask: moved(0, 0.8)(255 - pixels, mask),
    "gamma 0.4": exposed(lambda values: values**0.4),
    "gamma 2.5": exposed(lambda values: values**2.5),
    "overexposed": exposed(lambda values: 1.7 * values),
    "a tenth of the contrast": exposed(lambda values: 0.45 + 0.1 * values),
    "noise": lambda pixels, mask: ((pixels + noise(30)).clip(0, 255).astype(np.uint8), mask),
    "blurred": lambda pixels, mask: (np.asarray(cv2.GaussianBlur(pixels, (0, 0), 4), np.uint8), mask),
    "one lung consolidated as a whole": filled_lung,
}
