"""A saved model for other programs: ONNX, TensorFlow's SavedModel or LiteRT, with class names and notice inside."""

from __future__ import annotations

import logging
import tempfile
import warnings
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from covid19.core.console import say
from covid19.core.errors import InputError
from covid19.core.keras_startup import without_chatter
from covid19.core.outputs import DRAFT_PREFIX, atomic_write, check_outputs, json_text
from covid19.features.backbone.description import BACKBONE
from covid19.model.file import INFO
from covid19.model.head import Heads, heads_of
from covid19.model.load import load_model

ENDINGS = {"onnx": ".onnx", "savedmodel": "_savedmodel", "litert": ".tflite"}
KERAS_FORMATS = {"onnx": "onnx", "savedmodel": "tf_saved_model", "litert": "litert"}
LEFT_OUT = ("settings", "trained_on", "trained_hashes")  # not needed to use a model


def export(model: Path, form: str, output: Path | None) -> Path:
    """Write a model for another program.

    What the model's file says goes along: in ONNX's `metadata_props`; in `assets.extra/covid19.json` of a SavedModel; in a zip
    archive behind a LiteRT model, where TensorFlow Lite's metadata keep associated files.

    Args:
        model: a file that `covid19 train` wrote.
        form: 'onnx', 'savedmodel' (a folder) or 'litert'.
        output: path to write; None takes the model's name with the format's ending.

    Returns:
        The path written. The model there takes RGB in [0, 1], float32 (n, 224, 224, 3), and gives probabilities.

    Raises:
        InputError: the model cannot be used, the output cannot be written or is a folder that exists, or a package is missing.
    """
    target = output or model.with_name(model.stem + ENDINGS[form])
    check_outputs((target,), (model,))
    _check_packages(form)
    loaded = load_model(model)
    info = {key: value for key, value in loaded.info.items() if key not in LEFT_OUT}
    folded_model = _without_standardisation(loaded.model)
    with (
        atomic_write(target) as draft,
        tempfile.TemporaryDirectory(dir=target.parent, prefix=DRAFT_PREFIX) as folder,
    ):
        named = Path(folder) / f"model{ENDINGS[form]}"  # the exporters take the format from the name
        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        with without_chatter(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters about NumPy and themselves
            folded_model.export(named, format=KERAS_FORMATS[form], verbose=False)
        _add_info(named, form, info)
        named.replace(draft)
    side = BACKBONE.side
    say(f"Wrote {target}: takes RGB in [0, 1], float32 (n, {side}, {side}, 3); gives {', '.join(info['classes'])}.")
    say(info["notice"])
    return target


def _check_packages(form: str) -> None:
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"export was given the Keras backend {keras.backend.backend()}; expected tensorflow: unset KERAS_BACKEND"
        )
    if form == "onnx":
        missing = [name for name in ("onnx", "tf2onnx") if find_spec(name) is None]
        if missing:
            raise InputError(f"--format onnx needs the package '{missing[0]}': pip install 'covid19[onnx]'")


def _without_standardisation(model: keras.Model) -> keras.Model:
    """The same function with the standardisation folded into the hidden layer.

    Keras 3.15 writes the constants of a Normalization layer into an ONNX file as inputs that nobody could give.
    """
    heads = heads_of(model)
    deviation = np.sqrt(heads.variance[0])
    kernel = heads.hidden[0] / deviation[:, None]
    bias = heads.hidden_bias[0] - (heads.mean[0] / deviation) @ heads.hidden[0]
    return _chain(model.get_layer(BACKBONE.layer), heads, kernel, bias)


def _chain(base: keras.Model, heads: Heads, kernel: Any, bias: Any) -> keras.Model:
    hidden = keras.layers.Dense(len(bias), activation="relu", name="hidden")
    output = keras.layers.Dense(heads.output.shape[2], activation="softmax", name="probabilities")
    xray = keras.Input(base.input_shape[1:], name="xray")
    folded_model = keras.Model(xray, output(hidden(keras.layers.GlobalAveragePooling2D()(base(xray)))), name="covid19")
    hidden.set_weights([kernel, bias])
    output.set_weights([heads.output[0], heads.output_bias[0]])
    folded_model(np.zeros((1, *base.input_shape[1:]), np.float32))  # the exporter to ONNX takes only a model that was called
    return folded_model


def _add_info(path: Path, form: str, info: dict[str, Any]) -> None:
    text = json_text(info)
    if form == "onnx":
        import onnx

        graph = onnx.load(path)
        for key, value in info.items():
            as_text = value if isinstance(value, str) else json_text(value)
            graph.metadata_props.add(key=key, value=as_text.encode(errors="backslashreplace").decode())  # UTF-8 alone
        onnx.save(graph, path)
    elif form == "litert":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(INFO, text)
    else:
        extra = path / "assets.extra"
        extra.mkdir()
        (extra / INFO).write_text(text, encoding="utf-8")
