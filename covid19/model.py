"""The model file: base and head as one Keras model, saved with all that prediction needs, and read back."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from covid19 import NOTICE, __version__
from covid19.errors import InputError
from covid19.head import Heads, heads_of
from covid19.judge import explain_verdict
from covid19.novelty import KEPT, Familiar
from covid19.outputs import written_whole
from covid19.report import Outcome, environment
from covid19.settings import Settings
from covid19.weights import Weights

PREPROCESSING = (
    "decode as RGB, apply the EXIF orientation; resize to 224x224 ignoring aspect ratio, by area where an axis shrinks "
    "and linearly where it grows; divide by 255; the model does the rest"
)
Array = NDArray[np.float32]
INFO = "covid19.json"  # member of the archive, data set of an HDF5 file
FAMILIAR = "familiar"  # folder of the archive, group of an HDF5 file
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = b"PK\x03\x04"


class Loaded(NamedTuple):
    """A model file's content.

    Attributes:
        model: takes RGB in [0, 1], float32 (n, 224, 224, 3), and gives probabilities, float32 (n, classes).
        info: `classes` in the order of the outputs, `positive`, `preprocessing`, `base` {name, weights, digest},
            `settings`, `versions`, `trained_on` and `trained_hashes` (of the training images), `notice`, `threshold` (the
            probability from which the positive class is called, None for the likeliest class), `temperature` (folded into the
            last layer already), `cross_validation` (accuracy, sensitivity, specificity and AUC with intervals, or None),
            `audit` (verdict, margin, model_auc, words, or None).
    """

    model: keras.Model
    info: dict[str, Any]


def assemble(base: keras.Model, head: keras.Model) -> keras.Model:
    """Base, global average pooling and head as one model; the layers are shared, not copied.

    Returns:
        A model from RGB in [0, 1], float32 (n, 224, 224, 3), to probabilities, float32 (n, classes).
    """
    xray = keras.Input(base.input_shape[1:], name="xray")
    output = keras.layers.GlobalAveragePooling2D(name="global_average_pooling")(base(xray))
    for layer in head.layers:
        output = layer(output)
    return keras.Model(xray, output, name="covid19")


def model_info(settings: Settings, found: Outcome) -> dict[str, Any]:
    """What the file says beside the model; see `Loaded`."""
    numbers = found.estimate.numbers
    kept = ("folds", "repeats", "grouped_by", "accuracy", "sensitivity", "specificity", "roc_auc")
    return {
        "program": "covid19",
        "notice": NOTICE,
        "classes": list(found.dataset.classes),
        "positive": found.test["positive"],
        "preprocessing": PREPROCESSING,
        "base": found.weights.as_json(),
        "settings": settings.as_json(),
        "versions": {"covid19": __version__, **environment()},
        "trained_on": [found.dataset.records[i].digest for i in found.split.train],
        "trained_hashes": [found.dataset.records[i].facts.hash for i in found.split.train],
        "threshold": found.estimate.threshold,
        "temperature": found.estimate.temperature,
        "cross_validation": {key: numbers[key] for key in kept} if numbers else None,
        "audit": found.audit
        and {key: found.audit[key] for key in ("verdict", "margin", "model_auc")} | {"words": explain_verdict(found.audit)},
    }


def check_assembled(model: keras.Model, pixels: Array, expected: Array) -> None:
    """Run the whole model on a few pictures and make sure that it says what the head said on their stored features.

    Args:
        model: from `assemble`.
        pixels: RGB in [0, 1], float32 (n, 224, 224, 3).
        expected: probabilities, float32 (n, classes).

    Raises:
        InputError: they differ by more than 0.001, so the stored features are not this base's.
    """
    difference = float(np.abs(np.asarray(model(pixels, training=False)) - expected).max())
    if difference > 1e-3:
        raise InputError(
            f"the assembled model's probabilities differ by {difference:.2g} from its head's on stored features; "
            "expected at most 0.001: the store is stale, run with --no-cache"
        )


def familiar(found: Outcome, seed: int) -> Familiar:
    """The training images as the base saw them, at most `novelty.KEPT`, drawn by a seed."""
    train = np.array(found.split.train)
    kept = np.sort(np.random.default_rng(seed).permutation(train)[:KEPT])
    groups = np.array([found.dataset.records[i].group for i in kept])
    return Familiar(found.features[kept], groups)


def save_model(path: Path, model: keras.Model, info: dict[str, Any], known: Familiar) -> None:
    """Write the model and its information to exactly this path, whole or not at all.

    Args:
        path: HDF5 is written if it ends in .h5 or .hdf5, else the Keras archive, whatever its ending.
        model: from `assemble`.
        info: JSON values, see `Loaded`.
        known: the training images as the base saw them.

    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps(info, indent=1)
    hdf5 = path.suffix.lower() in (".h5", ".hdf5")
    with written_whole(path) as draft, tempfile.TemporaryDirectory(dir=path.parent, prefix=".covid19-") as folder:
        # Keras takes the format from the name, so it writes under one that it knows.
        named = Path(folder) / ("model.h5" if hdf5 else "model.keras")
        model.save(named)
        if hdf5:
            with h5py.File(named, "a") as file:
                file[INFO] = text
                for name, array in known.arrays().items():
                    file[f"{FAMILIAR}/{name}"] = array
        else:
            with zipfile.ZipFile(named, "a") as archive:
                archive.writestr(INFO, text)
                for name, array in known.arrays().items():
                    with archive.open(f"{FAMILIAR}/{name}.npy", "w") as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
        named.replace(draft)


def load_model(path: str | Path) -> Loaded:
    """Read a model that `covid19 train` wrote; the content counts, not the name.

    Args:
        path: a Keras archive or an HDF5 file.

    Returns:
        The Keras model, loaded in safe mode, and its information.

    Raises:
        InputError: the file is missing, damaged, or was not written by this program.
    """
    path = Path(path)
    expected = "expected a file that 'covid19 train' wrote"
    if not path.is_file():
        raise InputError(f"model '{path}' is no file; {expected}: check the path")
    with path.open("rb") as file:
        magic = file.read(8)
    hdf5 = magic == HDF5_MAGIC
    if not hdf5 and not magic.startswith(ZIP_MAGIC):
        raise InputError(f"model '{path}' is neither a Keras archive nor HDF5; {expected}: check the path")
    try:
        info = _read_info(path, hdf5)
    except KeyError as error:
        raise InputError(f"model '{path}' has no '{INFO}' inside; {expected}: train it again") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"model '{path}' is damaged ({error}); {expected}: train it again") from error
    return Loaded(_load_keras(path, hdf5), info)


def load_familiar(path: Path) -> Familiar:
    """The training images of a model's file, as the base saw them.

    Args:
        path: a file that `load_model` could read.

    Raises:
        InputError: it holds none.
    """
    names = ("features", "groups")
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return Familiar(*(file[f"{FAMILIAR}/{name}"][()] for name in names))
        with zipfile.ZipFile(path) as archive:
            parts = [archive.read(f"{FAMILIAR}/{name}.npy") for name in names]
            return Familiar(*(np.lib.format.read_array(io.BytesIO(part), allow_pickle=False) for part in parts))
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"model '{path}' does not hold what its training images look like ({error}); expected a file that 'covid19 train' "
            "wrote: train it again"
        ) from error


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


def _read_info(path: Path, hdf5: bool) -> dict[str, Any]:
    if hdf5:
        with h5py.File(path, "r") as file:
            text = file[INFO][()]
    else:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(INFO)
    info: dict[str, Any] = json.loads(text)
    return info


def _load_keras(path: Path, hdf5: bool) -> keras.Model:
    """Load under a name whose ending tells Keras the format."""
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / ("model.h5" if hdf5 else "model.keras")
        try:
            known.symlink_to(path.resolve())
        except OSError:  # Windows without the right to make links
            shutil.copyfile(path, known)
        try:
            return keras.models.load_model(known, compile=False)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"model '{path}' is damaged ({reason}); expected a whole file: train it again") from error
