"""The measurements that are taken of every image. A new one is added to `MEASUREMENTS`; nothing else needs to know it.

Those that may see the lungs, or none of the pixels, are taken when a file is first decoded and kept in the scan cache. Those
that must not see the lungs are taken when these have been found, of the picture with its lungs hidden, and kept in the lung
cache. Either cache keeps the values as one JSON object by name. An entry that lacks a measurement registered since then counts
as missing, so its image is decoded and measured again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from covid19.data.images import Picture
from covid19.data.measurements.border_ring import BORDER_RING
from covid19.data.measurements.brightness import BRIGHTNESS
from covid19.data.measurements.file_properties import FILE_PROPERTIES
from covid19.data.measurements.measurement import JsonValue, Measurement
from covid19.data.measurements.thumbnail import THUMBNAIL

ProbeMeasurements: TypeAlias = dict[str, JsonValue]  # values by the measurement's name

MEASUREMENTS: tuple[Measurement, ...] = (FILE_PROPERTIES, BORDER_RING, BRIGHTNESS, THUMBNAIL)


def take_measurements(path: Path, picture: Picture, lungs_hidden: bool = False) -> ProbeMeasurements:
    """Measure an image that was just decoded.

    Args:
        path: of the file.
        picture: the image.
        lungs_hidden: whether the picture's lungs are hidden, which decides what is measured.

    Raises:
        OSError: the file cannot be opened any more.
    """
    return {measurement.name: measurement.measure(path, picture) for measurement in _taken(lungs_hidden)}


def valid_measurements(value: JsonValue, lungs_hidden: bool = False) -> ProbeMeasurements | None:
    """What `take_measurements` can have returned, in a JSON value that was read from a file; None if any of it is missing."""
    if not isinstance(value, dict):
        return None
    taken = _taken(lungs_hidden)
    if any(own.name not in value or not own.is_valid(value[own.name]) for own in taken):
        return None
    return {own.name: value[own.name] for own in taken}


def _taken(lungs_hidden: bool) -> list[Measurement]:
    return [measurement for measurement in MEASUREMENTS if measurement.needs_hidden_lungs == lungs_hidden]
