"""The outer tenth of the picture on each side, with the lungs hidden."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from covid19.data.images import Picture
from covid19.data.measurements.measurement import JsonValue, Measurement, are_cells, cell_table, cells_to_text

GRID = 20  # the picture is reduced to 20x20 cells, of which the outer ones are kept
RING_WIDTH = 2  # cells on each side: a tenth of the picture
RING_VALUES = 3 * (GRID**2 - (GRID - 2 * RING_WIDTH) ** 2)  # three channels


def border_ring(_: Path, picture: Picture) -> str:
    """The 144 outer cells of the picture, uint8 RGB as Base64; the rest of the picture is not looked at."""
    small = cv2.resize(picture.pixels, (GRID, GRID), interpolation=cv2.INTER_AREA)
    ring = np.ones((GRID, GRID), bool)
    ring[RING_WIDTH:-RING_WIDTH, RING_WIDTH:-RING_WIDTH] = False
    return cells_to_text(np.asarray(small, np.uint8)[ring])


def is_border_ring(value: JsonValue) -> bool:
    """Whether a value is the Base64 text of a ring's cells."""
    return are_cells(value, RING_VALUES)


BORDER_RING = Measurement("border ring", border_ring, is_border_ring, cell_table)
