"""What can be told of an image without seeing a lung: its file, its border, and, for context, a thumbnail. Numbers come out.

A probe that tells the classes apart from these has found a shortcut, and a network may have found it too (DeGrave, Janizek,
Lee, Nature Machine Intelligence 3:610, 2021). The measurements are taken when a file is decoded, see `data/measurements`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid19.data.measurements.border_ring import BORDER_RING
from covid19.data.measurements.file_properties import FILE_PROPERTIES, LOGARITHMIC
from covid19.data.measurements.measurement import JsonValue, cells_from_text
from covid19.data.measurements.registry import ProbeMeasurements
from covid19.data.measurements.thumbnail import THUMBNAIL

Floats = NDArray[np.float64]


def probe_inputs(measured: Sequence[ProbeMeasurements]) -> dict[str, Floats]:
    """What each cheap probe sees of each image, float64 (n, numbers), by the probe's name."""

    def values(name: str) -> list[Any]:
        return [measurements[name] for measurements in measured]

    return {
        "file properties": _property_table(values(FILE_PROPERTIES.name)),
        "border ring": _cell_table(values(BORDER_RING.name)),
        "thumbnail": _cell_table(values(THUMBNAIL.name)),
    }


def _cell_table(values: Sequence[JsonValue]) -> Floats:
    """A row of cells for each image."""
    return np.stack([cells_from_text(value) for value in values]).astype(np.float64)


def _property_table(properties: Sequence[dict[str, Any]]) -> Floats:
    """Numbers or their logarithms, 0 where a file says nothing or nonsense; a column for each word that two files share."""
    names = {name for own in properties for name in own}
    texts = {name for own in properties for name, value in own.items() if isinstance(value, str)}
    columns = []
    for name in sorted(names - texts):
        column = np.array([float(own.get(name, 0)) for own in properties])
        columns.append(np.log1p(column) if name in LOGARITHMIC else column)
    for name in sorted(texts):
        words = [own.get(name, "") for own in properties]
        columns += [
            np.array([word == common for word in words], float)
            for common, count in sorted(Counter(words).items())
            if 1 < count < len(words)
        ]
    return np.asarray(np.nan_to_num(np.stack(columns, axis=1), posinf=0, neginf=0))
