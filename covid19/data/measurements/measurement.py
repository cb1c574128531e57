"""What a measurement is: taken of a decoded image, kept in a cache, turned into numbers for the audit."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from covid19.data.images import Picture

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None


@dataclass(frozen=True)
class Measurement:
    """One measurement, taken once of each image and kept in a cache.

    Attributes:
        name: in words, for the audit; also the key of its value, so that one whose values change their meaning takes another.
        measure: takes the file and its decoded picture, and returns a value that JSON can hold. A lung-blind measurement of
            the pixels is given a picture whose lungs are hidden, and should not open the file, which may be elsewhere.
        is_valid: whether a value, as JSON gave it, is one that `measure` can return.
        as_numbers: takes the values of all images and returns what a classifier is given of them, float64 (n, numbers).
        lung_blind: whether it shows no lung, so that classes which it tells apart have a shortcut.
        sees_pixels: whether it comes from the pixels, which are all that a network is given.
    """

    name: str
    measure: Callable[[Path, Picture], JsonValue]
    is_valid: Callable[[JsonValue], bool]
    as_numbers: Callable[[Sequence[Any]], NDArray[np.float64]]
    lung_blind: bool = True
    sees_pixels: bool = True

    @property
    def needs_hidden_lungs(self) -> bool:
        """Whether it is taken of the picture with its lungs hidden: of the pixels, so that it sees nothing of the lungs."""
        return self.lung_blind and self.sees_pixels


def cells_to_text(cells: NDArray[np.uint8]) -> str:
    """Grey levels or colours as Base64, which JSON can hold."""
    return b64encode(np.ascontiguousarray(cells).tobytes()).decode("ascii")


def cells_from_text(value: JsonValue) -> NDArray[np.uint8]:
    """The opposite of `cells_to_text`, as a flat array.

    Raises:
        ValueError: the value is not Base64.
    """
    if not isinstance(value, str):
        raise ValueError("the value is not text")
    try:
        return np.frombuffer(b64decode(value, validate=True), np.uint8)
    except binascii.Error as error:
        raise ValueError(f"the value is not Base64: {error}") from error


def are_cells(value: JsonValue, count: int) -> bool:
    """Whether a value is the text of exactly so many cells."""
    try:
        return len(cells_from_text(value)) == count
    except ValueError:
        return False


def cell_table(values: Sequence[JsonValue]) -> NDArray[np.float64]:
    """The cells of each value as a row of numbers."""
    return np.stack([cells_from_text(value) for value in values]).astype(np.float64)
