"""What can be told of an image without seeing a lung: its file, its border, and, for context, a thumbnail. Numbers come out.

A probe that tells the classes apart from these has found a shortcut, and a network may have found it too (DeGrave, Janizek,
Lee, Nature Machine Intelligence 3:610, 2021).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid19.data.dataset import Glimpse
from covid19.data.dicom import acquisition, is_dicom_file
from covid19.data.images import ODD_HEADER, Picture
from covid19.data.lungs import LUNG_BOX, box_mask

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

CELLS = 20  # the border is kept as the outer cells of a picture of 20x20
RING = 2  # cells on each side: a tenth
THUMBNAIL = 16
LOGARITHMS = ("width", "height", "aspect", "bytes", "bytes_per_pixel", "quantisation")
CATEGORIES = ("format", "device")
JPEG = ("JPEG", "MPO")


def file_properties(path: Path, picture: Picture) -> str:
    """What a file says of itself, as JSON: numbers by name, and its `format` and `device` as words.

    `mean`, `spread` and `cast` (red less blue) are of the pixels outside the default lung box. `quantisation` is the mean of a
    JPEG's tables: the coarser, the lower the quality.
    """
    size = path.stat().st_size
    outside = picture.pixels[~box_mask(LUNG_BOX)].astype(np.float64)
    facts: dict[str, Any] = {
        "width": picture.width,
        "height": picture.height,
        "aspect": picture.width / picture.height,
        "bytes": size,
        "bytes_per_pixel": size / (picture.width * picture.height),
        "mean": outside.mean(),
        "spread": outside.std(),
        "cast": (outside[:, 0] - outside[:, 2]).mean(),
    }
    facts |= acquisition(path) if is_dicom_file(path) else _header(path)
    for name, value in facts.items():
        if isinstance(value, float) and not np.isfinite(value):
            facts[name] = 0.0  # as if the file did not say; JSON has no word for it
    return json.dumps(facts)


def _header(path: Path) -> dict[str, Any]:
    """What Pillow reads of an image file without decoding it; nothing of one that it does not know."""
    try:
        with Image.open(path) as image:
            tags = image.getexif()
            tables = getattr(image, "quantization", None) if image.format in JPEG else None
            return {
                "format": image.format,
                "channels": len(image.getbands()),
                "bits": 16 if image.mode.startswith("I") else 1 if image.mode == "1" else 8,
                "palette": int(image.mode == "P"),
                "quantisation": float(np.mean([np.mean(table) for table in tables.values()])) if tables else 0.0,
                "tags": len(tags),
                "density": float(np.max(image.info.get("dpi", 0))),
                "device": " ".join(str(tags[tag]).strip() for tag in (271, 272, 305) if tag in tags),  # make, model, software
            }
    except (*ODD_HEADER, Image.DecompressionBombError):
        return {}


def border_ring(pixels: Pixels) -> bytes:
    """The outer tenth of a picture on each side as uint8 cells, 144 x 3 channels; the rest is not looked at."""
    small = cv2.resize(pixels, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    ring = np.ones((CELLS, CELLS), bool)
    ring[RING:-RING, RING:-RING] = False
    return np.asarray(small, np.uint8)[ring].tobytes()


def thumbnail(pixels: Pixels) -> bytes:
    """The whole picture as 16x16 grey uint8 cells."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8).tobytes()


def probe_inputs(glimpses: Sequence[Glimpse]) -> dict[str, Floats]:
    """What each cheap probe sees of each image, float64 (n, numbers), by the probe's name."""
    return {
        "file properties": _table([json.loads(glimpse.file) for glimpse in glimpses]),
        "border ring": _bytes([glimpse.border for glimpse in glimpses]),
        "thumbnail": _bytes([glimpse.thumbnail for glimpse in glimpses]),
    }


def _bytes(cells: Sequence[bytes]) -> Floats:
    return np.frombuffer(b"".join(cells), np.uint8).reshape(len(cells), -1).astype(np.float64)


def _table(facts: Sequence[dict[str, Any]]) -> Floats:
    """Numbers or their logarithms, 0 where a file says nothing or nonsense; a column for each word that two files share."""
    names = sorted({name for fact in facts for name in fact} - set(CATEGORIES))
    columns = [np.array([float(fact.get(name, 0)) for fact in facts]) for name in names]
    columns = [np.log1p(column) if name in LOGARITHMS else column for name, column in zip(names, columns, strict=True)]
    for category in CATEGORIES:
        words = [fact.get(category, "") for fact in facts]
        columns += [
            np.array([word == common for word in words], float)
            for common, count in sorted(Counter(words).items())
            if 1 < count < len(words)
        ]
    return np.asarray(np.nan_to_num(np.stack(columns, axis=1), posinf=0, neginf=0))
