"""The measurements that are taken of every image. A new one is added to `MEASUREMENTS`; nothing else needs to know it.

The scan cache keeps their values as one JSON object by name. An entry of a cache that lacks a measurement registered since then
counts as missing, so its image is decoded and measured again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from covid19.data.images import Picture
from covid19.data.measurements.border_ring import BORDER_RING
from covid19.data.measurements.file_properties import FILE_PROPERTIES
from covid19.data.measurements.measurement import JsonValue, Measurement
from covid19.data.measurements.thumbnail import THUMBNAIL

ProbeMeasurements: TypeAlias = dict[str, JsonValue]  # values by the measurement's name

MEASUREMENTS: tuple[Measurement, ...] = (FILE_PROPERTIES, BORDER_RING, THUMBNAIL)


def take_measurements(path: Path, picture: Picture) -> ProbeMeasurements:
    """Measure an image that was just decoded.

    Raises:
        OSError: the file cannot be opened any more.
    """
    return {measurement.name: measurement.measure(path, picture) for measurement in MEASUREMENTS}


def valid_measurements(value: JsonValue) -> ProbeMeasurements | None:
    """The registered measurements in a JSON object that was read from a file, or None if one is missing or invalid."""
    if not isinstance(value, dict):
        return None
    for measurement in MEASUREMENTS:
        if measurement.name not in value or not measurement.is_valid(value[measurement.name]):
            return None
    return {measurement.name: value[measurement.name] for measurement in MEASUREMENTS}
