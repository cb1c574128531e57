"""Base and head as one Keras model, and the file that holds it with all that prediction needs; `load.py` reads it back."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import h5py
import keras
import msgspec
import numpy as np

from covid19.core.arrays import Float32Array
from covid19.core.errors import InputError
from covid19.core.outputs import DRAFT_PREFIX, json_text
from covid19.model.file import FAMILIAR, INFO
from covid19.model.info import ModelInfo
from covid19.model.novelty import NoveltyDetector

TOLERANCES = {"float32": 1e-3, "mixed_float16": 5e-2}  # of probabilities; features may differ by 1 % in the latter


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


def check_assembled(model: keras.Model, pixels: Float32Array, expected: Float32Array, precision: str = "float32") -> None:
    """Run the whole model on a few pictures and make sure that it says what the head said on their stored features.

    Args:
        model: from `assemble`.
        pixels: RGB in [0, 1], float32 (n, 224, 224, 3).
        expected: probabilities, float32 (n, classes).
        precision: in which the stored features were computed; the model itself computes in float32.

    Raises:
        InputError: they differ by more than `TOLERANCES` allows, so the stored features are not this base's.
    """
    difference = float(np.abs(np.asarray(model(pixels, training=False)) - expected).max())
    if difference > TOLERANCES[precision]:
        raise InputError(
            f"the assembled model's probabilities differ by {difference:.2g} from its head's on stored features; "
            f"expected at most {TOLERANCES[precision]}: the cache is stale, run with --no-cache"
        )


def save_model(path: Path, model: keras.Model, info: ModelInfo, known: NoveltyDetector) -> None:
    """Write the model and its information to exactly this path.

    Args:
        path: a draft, see `outputs.OutputTransaction`; HDF5 is written if it ends in .h5 or .hdf5, else the Keras archive,
            whatever its ending.
        model: from `assemble`.
        info: see `ModelInfo`.
        known: the training images as the base saw them.

    Raises:
        OSError: the file cannot be written.
    """
    text = json_text(msgspec.to_builtins(info), indent=1)
    hdf5 = path.suffix.lower() in (".h5", ".hdf5")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=DRAFT_PREFIX) as folder:
        # Keras takes the format from the name, so it writes under one that it knows.
        named = Path(folder) / ("model.h5" if hdf5 else "model.keras")
        try:
            model.save(named)
        except RuntimeError as error:  # h5py's at closing a file on a full disk
            raise OSError(f"the model cannot be written ({error})") from error
        if hdf5:
            with h5py.File(named, "a") as file:
                file[INFO] = np.bytes_(text.encode())
                for name, array in known.arrays().items():
                    file[f"{FAMILIAR}/{name}"] = array
        else:
            with zipfile.ZipFile(named, "a") as archive:
                archive.writestr(INFO, text)
                for name, array in known.arrays().items():
                    with archive.open(f"{FAMILIAR}/{name}.npy", "w") as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
        named.replace(path)
