"""What a file says of itself: its size, its format, how it was compressed, and the device that made it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, cast, get_type_hints

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid19.data.dicom import acquisition, is_dicom_file
from covid19.data.images import ODD_HEADER, Picture
from covid19.data.measurements.measurement import JsonValue, Measurement

JPEG_FORMATS = ("JPEG", "MPO")
MAX_MAGNITUDE = 1e30  # of a number: larger ones would overflow when the probes square them


class FileProperties(TypedDict, total=False):
    """The properties by name; those that a file does not state are missing.

    `quantisation` is the mean of a JPEG's tables: the coarser, the lower the quality. `device` joins maker, model and software.
    """

    width: float
    height: float
    aspect: float
    bytes: float
    bytes_per_pixel: float
    format: str
    device: str
    channels: float
    bits: float
    palette: float
    quantisation: float
    tags: float
    density: float
    kilovolts: float
    exposure: float


# Properties that vary over orders of magnitude, so that their logarithm tells more.
LOGARITHMIC = frozenset({"width", "height", "aspect", "bytes", "bytes_per_pixel", "quantisation"})
_TYPES = get_type_hints(FileProperties)


def file_properties(path: Path, picture: Picture) -> dict[str, JsonValue]:
    """The properties of one file, see `FileProperties`."""
    size = path.stat().st_size
    properties: FileProperties = {
        "width": picture.width,
        "height": picture.height,
        "aspect": picture.width / picture.height,
        "bytes": size,
        "bytes_per_pixel": size / (picture.width * picture.height),
    }
    stated: dict[str, Any] = {**properties, **(acquisition(path) if is_dicom_file(path) else _image_header(path))}
    # A number that is not finite counts as 0, as if the file did not state it: JSON has no word for it.
    return {name: 0.0 if isinstance(value, float) and not math.isfinite(value) else value for name, value in stated.items()}


def are_file_properties(value: JsonValue) -> bool:
    """Whether a value has known names only, text where a property is text, and finite numbers elsewhere."""
    return isinstance(value, dict) and all(_is_property(name, stated) for name, stated in value.items())


def _is_property(name: str, value: JsonValue) -> bool:
    if _TYPES.get(name) is str:
        return isinstance(value, str)
    return name in _TYPES and isinstance(value, int | float) and -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE


def _image_header(path: Path) -> FileProperties:
    """What Pillow reads in an image file without decoding it; nothing where it does not know the file."""
    try:
        with Image.open(path) as image:
            tags = image.getexif()
            tables = getattr(image, "quantization", None) if image.format in JPEG_FORMATS else None
            return {
                "format": cast("str", image.format),
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


def property_table(properties: Sequence[dict[str, Any]]) -> NDArray[np.float64]:
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


# A network is given pixels: what the file tells is a warning about the data, no explanation of a network's score.
FILE_PROPERTIES = Measurement("file properties", file_properties, are_file_properties, property_table, sees_pixels=False)
