"""Read a model file without trusting it: bytes go in; arrays, text and the training images' features come out. No Keras here.

Nothing in a file is run, followed to elsewhere or unpacked under a name of its own choice, and its sizes are looked at before
anything is read. Time and memory grow with the file's size at most linearly. The file is read once: what was checked is what
is used.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from covid19.core.arrays import Float32Array
from covid19.core.errors import InputError
from covid19.core.hdf5 import check_index, list_arrays
from covid19.data.appearance import APPEARANCE_WIDTH
from covid19.features.backbone.description import BACKBONE
from covid19.features.backbone.magnitudes import bound_features, check_head
from covid19.features.backbone.weights import (
    IMAGENET,
    LARGEST_PIXEL,
    UNTRAINED,
    Weights,
    preprocessing_arrays,
    weights_of,
)
from covid19.model import head_layout
from covid19.model.info import BaseInfo, ModelInfo, parse_info
from covid19.model.novelty import MAX_REFERENCE_IMAGES, NoveltyDetector, checked_detector

INFO = "covid19.json"  # member of the archive, data set of an HDF5 file
FAMILIAR = "familiar"  # folder of the archive, group of an HDF5 file
WEIGHTS = "model.weights.h5"  # member of a Keras archive
FAMILIAR_ARRAYS = ("features", "groups", "appearance")  # of the training images; earlier versions wrote no appearance
MEMBERS = ("metadata.json", "config.json", WEIGHTS, INFO, *(f"{FAMILIAR}/{name}.npy" for name in FAMILIAR_ARRAYS))
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = b"PK\x03\x04"
ZIP_END, ZIP_END_SIZE = b"PK\x05\x06", 22  # the record that ends an archive; this program writes no comment after it
ZIP64_LOCATOR, ZIP64_LOCATOR_SIZE = b"PK\x06\x07", 20  # stands before it in an archive of more than 4 GB or 65,535 members
ENCRYPTED = 1  # flag of a member
MAX_DIRECTORY_BYTES = 4096  # of an archive's list of its seven members; it takes 459
MAX_RATIO = 100  # of a member's size to what it takes in the archive
MAX_TEXT_BYTES = 1 << 28  # of information: a million training images take 140 MB
MAX_CONFIG_BYTES = 1 << 20  # of what only Keras reads
MAX_FAMILIAR_BYTES = MAX_REFERENCE_IMAGES * (2 * BACKBONE.width + 8 + 4 * APPEARANCE_WIDTH) + 4096
MAX_ARRAY_BYTES = 4 * sum(map(math.prod, BACKBONE.array_shapes(True))) + (1 << 20) + MAX_FAMILIAR_BYTES
MAX_FILE_BYTES = MAX_TEXT_BYTES + MAX_ARRAY_BYTES
# The header of an array as NumPy writes it.
NPY_HEADER = re.compile(rb"\{'descr': '(<f2|<i8|<f4)', 'fortran_order': False, 'shape': \((\d{1,9}),(?: (\d{1,9}))?\), \} *\n")
TOO_LARGE = f"it is larger than the {MAX_FILE_BYTES / 1e6:.0f} MB that any model takes"
EXPECTED = "expected a file that 'covid19 train' wrote"


class ModelFile(NamedTuple):
    """A model file's content, all of it checked.

    Attributes:
        weights: of the base.
        head: mean, variance, hidden kernel and bias, output kernel and bias, float32, in the shapes of `head_layout`.
        info: what the file says beside the model.
        novelty_detector: compares images with the training images by their features.
    """

    weights: Weights
    head: tuple[Float32Array, ...]
    info: ModelInfo
    novelty_detector: NoveltyDetector


def read_model(source: Path | bytes, name: str = "") -> ModelFile:
    """Read what `covid19 train` wrote; the content counts, not the name.

    Args:
        source: path or content of a Keras archive or an HDF5 file.
        name: to call the file by in an error; '' takes the path.

    Raises:
        InputError: the file is missing, damaged, tampered with, or was not written by this program.
    """
    name = name or (str(source) if isinstance(source, Path) else "in memory")
    with _refusing(name):
        content = source if isinstance(source, bytes) else _read_bytes(source, name)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(TOO_LARGE)
        if content.startswith(HDF5_MAGIC):
            check_index(content)
            with h5py.File(io.BytesIO(content), "r") as file:
                arrays = list_arrays(file, MAX_FILE_BYTES)
                info = parse_info(_take_text(arrays))
                known = _familiar(lambda name: arrays.pop(f"{FAMILIAR}/{name}")[()])
                weights, head = _take_weights(arrays, _hdf5_names, info)
        elif content.startswith(ZIP_MAGIC):
            members = _open_archive(content)
            info = parse_info(members[INFO]())
            known = _familiar(lambda name: _parse_array(members[f"{FAMILIAR}/{name}.npy"]()))
            inner = members[WEIGHTS]()
            check_index(inner)
            with h5py.File(io.BytesIO(inner), "r") as file:
                weights, head = _take_weights(list_arrays(file, MAX_ARRAY_BYTES), _archive_names, info)
        else:
            raise InputError(f"model '{name}' is neither a Keras archive nor HDF5; {EXPECTED}: check the path")
        return ModelFile(weights, head, replace(info, base=BaseInfo(**weights.as_json())), known)


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn whatever a bad file makes its readers raise into one error that names the file."""
    try:
        yield
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"model '{name}' has no '{error.args[0]}' inside; {EXPECTED}: train it again") from error
    # What zipfile, zlib and h5py raise on damaged files.
    except (
        OSError, ValueError, TypeError, RuntimeError, EOFError, SystemError, OverflowError, struct.error, zipfile.BadZipFile,
        zlib.error,
    ) as error:  # fmt: skip
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"model '{name}' is damaged or was tampered with ({reason}); {EXPECTED}: train it again") from error


def read_content(path: Path) -> bytes:
    """The bytes of a model's file, which are still to be checked.

    Raises:
        InputError: it is no file, or larger than any model.
    """
    with _refusing(str(path)):
        return _read_bytes(path, str(path))


def _read_bytes(path: Path, name: str) -> bytes:
    if not path.is_file():
        raise InputError(f"model '{name}' is no file; {EXPECTED}: check the path")
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise ValueError(TOO_LARGE)
        return file.read()


def _open_archive(content: bytes) -> dict[str, Callable[[], bytes]]:
    """Look a zip archive's directory over; each member by name, still to be read.

    Raises:
        ValueError: it has other members than this program writes, or they are stored or packed in another way.
    """
    end = content[-ZIP_END_SIZE:]
    directory = int.from_bytes(end[12:16], "little")
    before = content[-ZIP_END_SIZE - ZIP64_LOCATOR_SIZE :]
    if not end.startswith(ZIP_END) or before.startswith(ZIP64_LOCATOR) or directory > MAX_DIRECTORY_BYTES:
        raise ValueError("its list of members is not what this program writes")
    archive = zipfile.ZipFile(io.BytesIO(content))
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    limits = {WEIGHTS: MAX_ARRAY_BYTES, INFO: MAX_TEXT_BYTES}
    for name in {member.filename for member in members}:
        if name not in MEMBERS or sum(member.filename == name for member in members) > 1:
            raise ValueError(f"it holds '{name[:60]}', which this program does not write so")
    free = 0
    for member in members:
        packed, size, name = member.compress_size, member.file_size, member.filename
        if member.flag_bits & ENCRYPTED:
            raise ValueError(f"'{name}' is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"'{name}' is packed by another method than deflate")
        most = limits.get(name, MAX_CONFIG_BYTES if name.endswith(".json") else MAX_FAMILIAR_BYTES)
        if size > most:
            raise ValueError(f"'{name}' would take more than the {most / 1e6:.0f} MB expected")
        if size > MAX_RATIO * packed:
            raise ValueError(f"'{name}' would take more than {MAX_RATIO} times its bytes in the archive")
        if member.header_offset < free:
            raise ValueError(f"'{name}' lies over another member")
        free = member.header_offset + packed
    return {member.filename: lambda member=member: _unpack(archive, member) for member in members}  # type: ignore[misc]


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member's bytes, piece by piece: in one, all that is packed would be unpacked, even beyond the size that is claimed."""
    with archive.open(member) as stream:
        content = b"".join(iter(lambda: stream.read(1 << 20), b""))
    if len(content) != member.file_size:
        raise ValueError(f"'{member.filename}' has another size than it says")
    return content


def _parse_array(content: bytes) -> NDArray[Any]:
    """An array out of NumPy's own format, its header compared with the one form that this program writes."""
    length = int.from_bytes(content[8:10], "little")
    header = NPY_HEADER.fullmatch(content[10 : 10 + length])
    if not content.startswith(b"\x93NUMPY\x01\x00") or header is None:
        raise ValueError("what its training images look like is no array that this program writes")
    shape = tuple(int(side) for side in header.groups()[1:] if side is not None)
    kind = np.dtype(header[1].decode())
    if math.prod(shape) * kind.itemsize != len(content) - 10 - length:
        raise ValueError("what its training images look like has another size than it says")
    return np.frombuffer(content, kind, offset=10 + length).reshape(shape)


def _familiar(take: Callable[[str], NDArray[Any]]) -> NoveltyDetector:
    """What a file keeps of the training images, given what takes one of `FAMILIAR_ARRAYS` out of it."""
    features, groups = take("features"), take("groups")
    try:
        return checked_detector(features, groups, take("appearance"))
    except KeyError:  # a file of an earlier version
        return checked_detector(features, groups, None)


def _take_text(arrays: dict[str, h5py.Dataset]) -> bytes:
    item = arrays.pop(INFO)
    if item.dtype.kind != "S" or item.dtype.itemsize > MAX_TEXT_BYTES:
        raise ValueError(f"'{INFO}' is no text of at most {MAX_TEXT_BYTES / 1e6:.0f} MB")
    return bytes(item[()])


def _archive_names(preprocessed: bool) -> list[str]:
    return [f"layers/{name}" for name in (*BACKBONE.archive_names(preprocessed), *head_layout.archive_names())]


def _hdf5_names(preprocessed: bool) -> list[str]:
    return [f"model_weights/{name}" for name in (*BACKBONE.hdf5_names(preprocessed), *head_layout.hdf5_names())]


def _take_weights(
    arrays: Mapping[str, h5py.Dataset], names_of: Callable[[bool], list[str]], info: ModelInfo
) -> tuple[Weights, tuple[Float32Array, ...]]:
    """The base and the head of a file, every array of every layer checked.

    Raises:
        ValueError: the file has other layers or shapes, weights that could give infinity, another base than it says, or another
            preprocessing than belongs to its base.
    """
    preprocessed = len(arrays) > len(names_of(False))
    names, outputs = names_of(preprocessed), len(info.classes)
    if strange := sorted(set(names) ^ set(arrays)):
        raise ValueError(f"its layers are not those of this program: '{strange[0][:60]}' is missing or too much")
    head_shapes = head_layout.array_shapes(BACKBONE.width, outputs)
    for name, shape in zip(names, [*BACKBONE.array_shapes(preprocessed), *head_shapes], strict=True):
        if arrays[name].shape != shape or (shape and arrays[name].dtype != np.float32):
            raise ValueError(f"'{name}' is not of float32 and shape {shape}")
    values: list[Float32Array] = [arrays[name][()] for name in names]
    own = [values.pop(0) for _ in range(2)] if preprocessed else []
    base, (mean, variance, _, *dense) = values[: -len(head_shapes)], values[-len(head_shapes) :]
    weights = weights_of(base, info.base.weights.removeprefix("file "))
    expected: Sequence[Float32Array] = preprocessing_arrays() if weights.trained else ()
    if len(own) != len(expected) or not all(map(np.array_equal, own, expected)):
        raise ValueError("its preprocessing is not the one that belongs to its base")
    if weights.digest != info.base.digest:
        raise ValueError("its base has other weights than it says")
    if info.base.weights in (IMAGENET, UNTRAINED) and info.base.weights != weights.origin:
        raise ValueError(f"its base is said to have the weights '{info.base.weights}', and has others")
    head = (mean, variance, *dense)
    check_head(head, bound_features(base, LARGEST_PIXEL))
    return weights, head
