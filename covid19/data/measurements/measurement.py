"""What a measurement is: a name, a function of a decoded file, and a check of values that come back from the scan cache."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from covid19.data.images import Picture

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None


@dataclass(frozen=True)
class Measurement:
    """One measurement, taken once of each image and kept in the scan cache.

    Attributes:
        name: the key of its value; a measurement whose values change their meaning takes another name.
        measure: takes the file and its decoded picture, and returns a value that JSON can hold.
        is_valid: whether a value, as JSON gave it, is one that `measure` can return.
    """

    name: str
    measure: Callable[[Path, Picture], JsonValue]
    is_valid: Callable[[JsonValue], bool]


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
