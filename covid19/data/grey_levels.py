"""Deep pixels to 8 bits, alike for training and prediction: what a few pixels have does not flatten the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Hot pixels, dust, a burned-in label: a fraction of the pixels, whose values may go on beyond those of the others by a part of
# their range; where they go on for many times of it, they are clipped to that.
FEW = 0.05
FAR = 3.0  # times the range of the others
REACH = 0.5  # of the range of the others
TAIL = 0.005  # of the pixels that are left out when a range is measured
# One value that fills the frame stands apart from all others by a gap of this part of the whole range.
MIN_GAP = 0.4
MIN_SHADES, SHADES_SAMPLE = 16, 10_000  # of the pixels that are left, which are then a picture and not a few flat shades
SAMPLE = 1 << 16  # pixels that are looked at for the range, evenly spread


def to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Map values of any depth linearly to 0 ... 255, the darkest to 0 and the brightest to 255; all equal becomes 0.

    Values far outside of what nearly all pixels have are clipped, see `display_range`.

    Raises:
        ValueError: a value is not finite.
    """
    if not np.isfinite(float(values.max()) - float(values.min())):
        raise ValueError("a pixel's value is not finite")
    low, high = display_range(values)
    scale = 255 / (high - low) if high > low else 0.0
    mapped = np.empty(values.shape, np.uint8)
    for row, own in zip(mapped, values, strict=True):  # one by one: the whole in float64 could take eight times the memory
        row[:] = np.rint((np.clip(own.astype(np.float64), low, high) - low) * scale)
    return mapped


def display_range(values: NDArray[Any]) -> tuple[float, float]:
    """The darkest and the brightest value to show.

    These are the least and the greatest value, unless few pixels lie far from all others: those are left out.
    """
    low, high = float(values.min()), float(values.max())
    flat = values.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLE)].astype(np.float64)
    for frame in (low, high):
        rest = sample[sample != frame]
        if len(rest) and _have_shades(rest) and np.abs(rest - frame).min() >= MIN_GAP * (high - low):
            sample = rest
            low, high = (float(rest.min()), high) if frame == low else (low, float(rest.max()))
    dark, few_dark, few_bright, bright = np.quantile(sample, (TAIL, FEW, 1 - FEW, 1 - TAIL))
    if high - few_bright > FAR * (few_bright - dark) > 0 and _have_shades(sample[sample <= few_bright]):
        high = float(few_bright + REACH * (few_bright - dark))
    if few_dark - low > FAR * (bright - few_dark) > 0 and _have_shades(sample[sample >= few_dark]):
        low = float(few_dark - REACH * (bright - few_dark))
    return low, high


def _have_shades(pixels: NDArray[np.float64]) -> bool:
    """Whether pixels are a picture rather than a few flat shades."""
    return len(np.unique(pixels[:: max(1, len(pixels) // SHADES_SAMPLE)])) >= MIN_SHADES


def is_grey(pixels: NDArray[np.uint8]) -> bool:
    """Whether all three channels of an RGB picture, uint8 (height, width, 3), are the same."""
    return np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2])
