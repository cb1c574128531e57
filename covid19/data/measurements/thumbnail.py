"""The whole picture, very small: it shows the lungs, so its probe serves as context and proves no shortcut."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from covid19.data.images import Picture
from covid19.data.measurements.measurement import JsonValue, Measurement, are_cells, cell_table, cells_to_text

THUMBNAIL_SIDE_CELLS = 16


def thumbnail(_: Path, picture: Picture) -> str:
    """The picture as 16x16 grey cells, uint8 as Base64."""
    grey = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (THUMBNAIL_SIDE_CELLS, THUMBNAIL_SIDE_CELLS), interpolation=cv2.INTER_AREA)
    return cells_to_text(np.asarray(small, np.uint8))


def is_thumbnail(value: JsonValue) -> bool:
    """Whether a value is the Base64 text of a thumbnail's cells."""
    return are_cells(value, THUMBNAIL_SIDE_CELLS**2)


THUMBNAIL = Measurement("thumbnail", thumbnail, is_thumbnail, cell_table, lung_blind=False)
