"""What the flags' values may be: parsers for argparse, each with an error that says what was received and what is expected."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

from covid19.core.errors import InputError

MAX_COUNT = 1_000_000  # of what a flag counts, where nothing lower is right
MAX_FOLDS = 1000
MAX_QUOTED_CHARACTERS = 60  # of a value in an error


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[:MAX_QUOTED_CHARACTERS]}..."


def whole(low: int, high: int = MAX_COUNT) -> Callable[[str], int]:
    """A parser of whole numbers in [low, high]."""

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"-?\d{1,18}", text) else low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"received '{_shortened(text)}', expected a whole number, {low} to {high}: give such a number"
            )
        return number

    return parse


def _real(low: float, high: float, expected: str) -> Callable[[str], float]:
    """A parser of real numbers between low and high, neither included."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low < number < high:
            raise argparse.ArgumentTypeError(f"received '{_shortened(text)}', expected {expected}: give such a number")
        return number

    return parse


rate = _real(0, math.inf, "a number above 0, such as 0.001")
fraction = _real(0, 1, "a fraction between 0 and 1, such as 0.2")
degrees = _real(-1e-9, 180.000001, "degrees from 0 to 180, such as 15")
seconds = _real(0, 1e6, "a number of seconds above 0 and below a million, such as 60")
_size = _real(0, 1e6, "a size in GB, such as 2")


def box(text: str) -> tuple[float, float, float, float]:
    """Parse left, top, right, bottom as fractions of a picture."""
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        left, top, right, bottom = 1.0, 1.0, 0.0, 0.0
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise argparse.ArgumentTypeError(
            f"received '{_shortened(text)}', expected left,top,right,bottom as fractions of the picture, such as "
            "0.12,0.15,0.88,0.85: give such a box"
        )
    return left, top, right, bottom


def address(text: str) -> Path:
    """Parse a path, or an address that fsspec knows."""
    if "://" not in text:
        return Path(text)
    from covid19.core.addresses import as_path  # OpenCV and NumPy, which a path need not wait for

    try:
        return as_path(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def cluster(text: str) -> str:
    """Parse where to run: auto, local or ray://host:port."""
    if text in ("auto", "local") or re.fullmatch(r"ray://[^/\s:]+(:\d+)?", text):
        return text
    raise argparse.ArgumentTypeError(
        f"received '{_shortened(text)}', expected auto, local or ray://host:port: give one of these"
    )


def class_pair(text: str) -> str:
    """Parse a class of a data set and the model's name for it, with an equals sign between; the names may hold others."""
    if "=" in text[1:-1]:
        return text
    raise argparse.ArgumentTypeError(
        f"received '{_shortened(text)}', expected a class of the data set, an equals sign and a class of the model: give such "
        "a pair, as in other=normal"
    )


def folds(text: str) -> int:
    """Parse a number of folds: 0, or 2 and more."""
    number = whole(0, MAX_FOLDS)(text)
    if number == 1:
        raise argparse.ArgumentTypeError(f"received '1', expected 0 or a whole number, 2 to {MAX_FOLDS}: give such a number")
    return number


def threshold_rule(text: str) -> str:
    """Parse when the positive class is predicted: argmax, youden, sens=FRACTION or spec=FRACTION."""
    side, _, target = text.partition("=")
    if text in ("argmax", "youden") or (side in ("sens", "spec") and fraction(target)):
        return text
    raise argparse.ArgumentTypeError(
        f"received '{_shortened(text)}', expected argmax, youden, sens=0.95 or spec=0.95: give one of these"
    )


def gigabytes(text: str) -> int:
    """Parse a size in GB to bytes."""
    return round(_size(text) * 1e9)
