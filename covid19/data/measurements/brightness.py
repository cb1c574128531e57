"""How bright the picture is outside the lungs, how much that varies, and whether it has a tint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covid19.data.images import Picture
from covid19.data.measurements.measurement import JsonValue, Measurement

MAX_LEVEL = 255.0


def brightness(_: Path, picture: Picture) -> list[JsonValue]:
    """Mean and standard deviation of the grey levels, and the mean of red less blue, each in [-255, 255]."""
    pixels = picture.pixels.astype(np.float64)
    return [float(pixels.mean()), float(pixels.std()), float((pixels[..., 0] - pixels[..., 2]).mean())]


def is_brightness(value: JsonValue) -> bool:
    """Whether a value is three numbers that grey levels can give."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(number, float) and -MAX_LEVEL <= number <= MAX_LEVEL for number in value)
    )


def brightness_table(values: Sequence[list[float]]) -> NDArray[np.float64]:
    """A row of three numbers for each image."""
    return np.array(values, np.float64)


BRIGHTNESS = Measurement("brightness and tint", brightness, is_brightness, brightness_table)
