"""Read a model file without trusting it: this program's own code builds the layers, and the file gives only numbers and text.

Nothing in a file is run, followed to elsewhere or unpacked under a name of its own choice, and its sizes are looked at before
anything is read.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from covid19.base import base_arrays, empty_base
from covid19.errors import InputError
from covid19.hdf5 import check_attributes, check_hdf5
from covid19.head import HIDDEN, Heads, head_model, heads_of
from covid19.model import FAMILIAR, INFO, assemble
from covid19.model_info import check_info
from covid19.novelty import KEPT, Familiar
from covid19.weights import SHAPES, UNTRAINED, Weights, weights_of

WIDTH = 512
WEIGHTS = "model.weights.h5"  # member of a Keras archive
MEMBERS = {"metadata.json", "config.json", WEIGHTS, INFO, f"{FAMILIAR}/features.npy", f"{FAMILIAR}/groups.npy"}
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = b"PK\x03\x04"
MOST_TEXT = 1 << 28  # bytes of information: a million training images take 90 MB
MOST_FAMILIAR = KEPT * (2 * WIDTH + 8) + 4096
MOST_ARRAYS = 4 * sum(int(np.prod(shape)) + shape[3] for shape in SHAPES) + (1 << 20) + MOST_FAMILIAR
EXPECTED = "expected a file that 'covid19 train' wrote"


class Loaded(NamedTuple):
    """A model file's content.

    Attributes:
        model: takes RGB in [0, 1], float32 (n, 224, 224, 3), and gives probabilities, float32 (n, classes).
        info: see `model_info.model_info`.
    """

    model: keras.Model
    info: dict[str, Any]


def load_model(path: str | Path) -> Loaded:
    """Read a model that `covid19 train` wrote; the content counts, not the name.

    Args:
        path: a Keras archive or an HDF5 file.

    Returns:
        The Keras model and its information.

    Raises:
        InputError: the file is missing, damaged, tampered with, or was not written by this program.
    """
    path = Path(path)
    with _refusing(path), tempfile.TemporaryDirectory() as folder:
        weights, info = unpack(path, Path(folder))
        return Loaded(_rebuild(weights, info), info)


def unpack(path: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Copy a model's weights into a folder, looked over, in a file whose name tells Keras its form; and read its information.

    Raises:
        InputError: the file is missing, damaged, tampered with, or was not written by this program.
    """
    with _refusing(path):
        with path.open("rb") as file:
            magic = file.read(8)
        if path.stat().st_size > MOST_TEXT + MOST_ARRAYS:
            raise ValueError(f"it is larger than the {(MOST_TEXT + MOST_ARRAYS) / 1e6:.0f} MB that any model takes")
        if magic == HDF5_MAGIC:
            # A copy, so that what is looked over is what is read.
            weights = Path(shutil.copyfile(path, folder / "model.h5"))
            with h5py.File(weights, "r") as opened:
                check_hdf5(opened, MOST_ARRAYS)
                text = _read_array(opened, INFO)
                check_attributes(opened)
        elif magic.startswith(ZIP_MAGIC):
            weights = folder / WEIGHTS
            with zipfile.ZipFile(path) as archive:
                text = _read_member(archive, INFO, MOST_TEXT)
                with _open_member(archive, WEIGHTS, MOST_ARRAYS) as member, weights.open("wb") as copy:
                    shutil.copyfileobj(member, copy)
            with h5py.File(weights, "r") as opened:
                check_hdf5(opened, MOST_ARRAYS)
                check_attributes(opened)
        else:
            raise InputError(f"model '{path}' is neither a Keras archive nor HDF5; {EXPECTED}: check the path")
        return weights, check_info(json.loads(text))


def load_familiar(path: Path) -> Familiar:
    """The training images of a model's file, as the base saw them.

    Args:
        path: a file that `load_model` could read.

    Raises:
        InputError: it holds none.
    """
    names = ("features", "groups")
    with _refusing(path):
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                check_hdf5(file, MOST_ARRAYS)
                features, groups = (_read_array(file, f"{FAMILIAR}/{name}") for name in names)
        else:
            with zipfile.ZipFile(path) as archive:
                members = [_read_member(archive, f"{FAMILIAR}/{name}.npy", MOST_FAMILIAR) for name in names]
            features, groups = map(_parse_array, members)
        if (features.ndim, features.dtype, groups.dtype) != (2, np.float16, np.int64) or features.shape[1] != WIDTH:
            raise ValueError("what its training images look like has another shape")
        if len(features) != len(groups) or len(features) < 2 or not np.isfinite(features).all():
            raise ValueError("what its training images look like is no list of features")
        return Familiar(features.astype(np.float32), groups)


def load_head(path: Path, classes: tuple[str, ...], weights: Weights) -> tuple[Heads, dict[str, Any]]:
    """The head of an earlier model, its weights and its standardisation, and the model's information.

    Args:
        path: the earlier model's file.
        classes: of this run, in the order of the outputs.
        weights: of this run's base.

    Raises:
        InputError: the file is no model of this program, or its classes or its base are others.
    """
    model, info = load_model(path)
    if tuple(info["classes"]) != classes:
        raise InputError(
            f"--from '{path}' tells {', '.join(info['classes'])} apart; expected this data set's classes "
            f"{', '.join(classes)}: give a model of the same classes"
        )
    if info["base"]["digest"] != weights.digest:
        theirs = info["base"]
        raise InputError(
            f"--from '{path}' stands on a base with weights '{theirs['weights']}' (digest {theirs['digest'][:12]}); "
            f"expected this run's '{weights.origin}' ({weights.digest[:12]}): set --weights to the model's"
        )
    return heads_of(model), info


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn whatever a bad file makes its readers raise into one error that names the file."""
    if not path.is_file():
        raise InputError(f"model '{path}' is no file; {EXPECTED}: check the path")
    try:
        yield
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"model '{path}' has no '{error.args[0]}' inside; {EXPECTED}: train it again") from error
    # What zipfile, zlib, h5py (SystemError: an error inside one of its visits) and Keras raise on damaged files.
    except (OSError, ValueError, TypeError, RuntimeError, EOFError, SystemError, zipfile.BadZipFile, zlib.error) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"model '{path}' is damaged or was tampered with ({reason}); {EXPECTED}: train it again") from error


def _open_member(archive: zipfile.ZipFile, name: str, most: int) -> Any:
    """Open a member of a size that may be believed: a member never gives more bytes than its header says.

    Raises:
        KeyError: there is no such member.
        ValueError: the archive has others than this program writes, or the member is too large.
    """
    names = archive.namelist()
    if strange := sorted(set(names) - MEMBERS) or sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"it holds '{strange[0][:60]}', which this program does not write so")
    if name not in names:
        raise KeyError(name)
    if archive.getinfo(name).file_size > most:
        raise ValueError(f"'{name}' would take more than the {most / 1e6:.0f} MB expected")
    return archive.open(name)


def _read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    with _open_member(archive, name, most) as member:
        return bytes(member.read())


def _parse_array(content: bytes) -> NDArray[Any]:
    """An array out of NumPy's own format, which is looked at first: NumPy would take the memory that the header claims."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array is of another version of NumPy's format")
    shape, _, kind = np.lib.format.read_array_header_1_0(stream, max_header_size=1000)
    if kind.hasobject or math.prod(shape) * kind.itemsize != len(content) - stream.tell():
        raise ValueError("an array has another size than it says")
    return np.frombuffer(content, kind, offset=stream.tell()).reshape(shape)


def _read_array(file: h5py.File, name: str) -> Any:
    if name not in file:
        raise KeyError(name)
    return file[name][()]


def _rebuild(weights: Path, info: dict[str, Any]) -> keras.Model:
    """The layers as `covid19 train` builds them, with the numbers of a file that was looked over.

    Raises:
        ValueError: the file has other layers or shapes, values that are not finite, or another base than it says.
    """
    outputs = len(info["classes"])
    shapes = ((WIDTH,), (WIDTH,), (WIDTH, HIDDEN), (HIDDEN,), (HIDDEN, outputs), (outputs,))
    empty = Heads(*(np.ones((1, *shape), np.float32) for shape in shapes))
    said = info["base"]
    base = empty_base(trained=said["weights"] != UNTRAINED)
    model = assemble(base, head_model(empty))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that are missing, which is an error as well
        model.load_weights(weights)
    if weights_of(base_arrays(base), said["weights"]).digest != said["digest"]:
        raise ValueError("its base has other weights than it says")
    if not all(np.isfinite(array).all() for array in model.get_weights()):
        raise ValueError("a weight is not finite")
    return model
