"""What a row of the feature store holds, and whether one can be believed: nothing in the file is, before it was checked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

import numpy as np

WIDTH = 512
LARGEST_FEATURE = 1e30  # see `magnitudes`
MAX_SIDE = 10**8  # pixels
MAX_SPREAD, MAX_COLOUR = 128, 400  # grey levels; see `Facts`
MAX_PROPERTIES = 20_000  # characters of JSON
BORDER_BYTES = 3 * (20**2 - 16**2)  # see `probes.border_ring`
THUMBNAIL_BYTES = 16**2
DIGITS = re.compile("[0-9a-f]{64}")
WORDS = {"format", "device"}  # of `probes.file_properties`, the rest are numbers
NUMBERS = {
    "width", "height", "aspect", "bytes", "bytes_per_pixel", "mean", "spread", "cast", "channels", "bits", "palette",
    "quantisation", "tags", "density", "kilovolts", "exposure",
}  # fmt: skip


def is_feature(feature: object) -> bool:
    """Whether a value is the bytes of 512 finite float32 of a size that the base can give."""
    if not isinstance(feature, bytes) or len(feature) != 4 * WIDTH:
        return False
    return bool((np.abs(np.frombuffer(feature, "<f4")) <= LARGEST_FEATURE).all())


def are_facts(facts: Sequence[object]) -> bool:
    """Whether values are those of `Facts`, each of its type and in its range."""
    width, height, digits, spread, colour = facts
    return (
        all(isinstance(side, int) and 0 < side <= MAX_SIDE for side in (width, height))
        and isinstance(digits, str)
        and DIGITS.fullmatch(digits) is not None
        and isinstance(spread, float)
        and 0 <= spread <= MAX_SPREAD
        and isinstance(colour, float)
        and 0 <= colour <= MAX_COLOUR
    )


def is_glimpse(glimpse: Sequence[object]) -> bool:
    """Whether values are those of `Glimpse`: JSON of known names, and bytes of the right length."""
    file, border, thumbnail = glimpse
    sizes = isinstance(border, bytes) and isinstance(thumbnail, bytes)
    if not sizes or (len(border), len(thumbnail)) != (BORDER_BYTES, THUMBNAIL_BYTES):  # type: ignore[arg-type]
        return False
    if not isinstance(file, str) or len(file) > MAX_PROPERTIES:
        return False
    try:
        properties = json.loads(file)
    except (ValueError, RecursionError):
        return False
    return isinstance(properties, dict) and all(
        isinstance(value, str)
        if name in WORDS
        else name in NUMBERS and isinstance(value, int | float) and -LARGEST_FEATURE <= value <= LARGEST_FEATURE
        for name, value in properties.items()
    )


def checksum(*row: object) -> bytes:
    """8 bytes of a hash over the values of a row, with their types."""
    return hashlib.blake2b(repr(row).encode(errors="backslashreplace"), digest_size=8).digest()


def is_row(row: Sequence[object]) -> bool:
    """Whether key, facts and glimpse are all as they should be."""
    return are_facts(row[1:6]) and is_glimpse(row[6:])
