"""Data as Python has it, for commands that read folders and tables: records of files or arrays in, a temporary folder out."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from covid19.core.errors import InputError
from covid19.data.columns import MEANINGS, plain_name
from covid19.data.images import encode_image

IMAGES, TABLE = "images", "records.csv"
# What a table of records may say of an image beside its file and its class, and what the written column is called.
FURTHER = {"patient": "patientid", "projection": "view", "source": "source", "part": "split", "age": "age"}
COLOURS = 3


class TemporaryFolder:
    """A folder that lives as long as this; unlike `tempfile.TemporaryDirectory` it ends without a warning."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="covid19-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class WrittenRecords(NamedTuple):
    """Records as files: the folder of the images, the table of their labels, and their names in the order of the records."""

    folder: Path
    table: Path
    names: list[str]


def is_records(data: object) -> bool:
    """Whether data are columns by name, as a mapping or a DataFrame has them."""
    return isinstance(data, Mapping) or hasattr(data, "columns")


def write_records(data: Any, folder: Path) -> WrittenRecords:
    """Write records as a folder of images and a table of their labels.

    Args:
        data: columns by name: `image` (paths, or arrays (height, width) or (height, width, 3), RGB), `label`, and perhaps
            `patient`, `view`, `source`, `split` and `age`; other names that a table may have do as well.
        folder: to write in.

    Raises:
        InputError: a column is missing, columns differ in length, or an image is neither a file nor an array.
    """
    columns = {plain_name(str(name)): list(data[name]) for name in _names(data)}
    images, labels = _column(columns, "file"), _column(columns, "finding")
    if images is None or labels is None:
        raise InputError(
            f"the records have the columns {', '.join(map(str, _names(data)))}; expected 'image' (paths or arrays) and "
            "'label': name them so"
        )
    if len(images) != len(labels) or not images:
        raise InputError(f"the records have {len(images)} images and {len(labels)} labels; expected one label for each image")
    root = folder / IMAGES
    names = _write_images(images, root)
    further = {name: values for meaning, name in FURTHER.items() if (values := _column(columns, meaning)) is not None}
    rows = zip(names, labels, *further.values(), strict=True)
    table = _write_table(folder / TABLE, ["filename", "label", *further], rows)
    return WrittenRecords(root, table, names)


def write_scores(scores: Any, names: Sequence[str] | None, path: Path) -> Path:
    """Write scores as a table, and return its path.

    Args:
        scores: columns by name, as a table of scores has them, or numbers in the order of the records.
        names: of the records' images, in their order; None if the data set was given as a folder.
        path: to write to.

    Raises:
        InputError: these are numbers without records, or not as many as these.
    """
    if is_records(scores):
        columns = _names(scores)
        return _write_table(path, columns, zip(*(list(scores[column]) for column in columns), strict=True))
    values = np.asarray(scores)
    if names is None or values.shape not in ((len(names),), (len(names), 1)):
        what = "a folder" if names is None else f"{len(names)} records"
        raise InputError(
            f"received scores of shape {values.shape} for {what}; expected one for each record, or columns 'image' and "
            "'score': give these as a mapping or a DataFrame"
        )
    return _write_table(path, ["image", "score"], zip(names, values.ravel().tolist(), strict=True))


def _names(data: Any) -> list[Any]:
    return list(data.columns if hasattr(data, "columns") else data)


def _column(columns: Mapping[str, list[Any]], meaning: str) -> list[Any] | None:
    """The first column of a meaning."""
    return next((columns[name] for name in MEANINGS[meaning] if name in columns), None)


def _write_images(images: Sequence[Any], root: Path) -> list[str]:
    """Write arrays as files, and links to files; return their names in the folder."""
    paths = [Path(image).absolute() if isinstance(image, str | os.PathLike) else None for image in images]
    files = [path for path in paths if path is not None]
    if missing := next((path for path in files if not path.is_file()), None):
        raise InputError(f"the records name '{missing}', which is no file; expected paths of images: check the path")
    shared = Path(os.path.commonpath([path.parent for path in files])) if files else Path()
    names = []
    for number, (image, path) in enumerate(zip(images, paths, strict=True)):
        name = path.relative_to(shared).as_posix() if path else f"{number:06d}{'.tif' if _is_float(image) else '.png'}"
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path and not target.is_symlink():
            target.symlink_to(path)
        elif path is None:
            target.write_bytes(_encoded(image, number))
        names.append(name)
    return names


def _is_float(image: Any) -> bool:
    return np.asarray(image).dtype.kind == "f"


def _encoded(image: Any, number: int) -> bytes:
    """An array as the bytes of an image file."""
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    grey, kinds = pixels.ndim == 2, (np.uint8, np.uint16)
    coloured = pixels.ndim == 3 and pixels.shape[2] == COLOURS
    if not ((grey and (pixels.dtype in kinds or _is_float(image))) or (coloured and pixels.dtype in kinds)) or not pixels.size:
        raise InputError(
            f"image {number} of the records has shape {pixels.shape} and type {pixels.dtype}; expected (height, width), or "
            "(height, width, 3) of RGB, of type uint8 or uint16, or grey floats: convert it"
        )
    if _is_float(image):
        return cv2.imencode(".tif", pixels.astype(np.float32))[1].tobytes()
    return encode_image(np.asarray(pixels), ".png")


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(cell) for cell in row] for row in rows)
    return path


def _cell(value: Any) -> str:
    """A value as a table has it: nothing for None and for NaN, which pandas puts where nothing is."""
    return "" if value is None or value != value else str(value)  # noqa: PLR0124  # only NaN differs from itself
