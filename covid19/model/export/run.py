"""Writing a saved model in a format of other programs, with its class names and the notice inside."""

from __future__ import annotations

import logging
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np

from covid19.core.console import say
from covid19.core.errors import InputError
from covid19.core.keras_startup import without_chatter
from covid19.core.outputs import DRAFT_PREFIX, atomic_write, check_outputs, json_text
from covid19.features.backbone.description import BACKBONE
from covid19.model.export.export_format import ExportFormat
from covid19.model.export.registry import FORMATS
from covid19.model.file import INFO
from covid19.model.head import Heads, heads_of
from covid19.model.load import load_model

LEFT_OUT = ("settings", "trained_on", "trained_hashes")  # not needed to use a model


def export(model: Path, form: str, output: Path | None) -> Path:
    """Write a model for another program.

    The information in the model's file goes along, where the format has a place for it.

    Args:
        model: a file that `covid19 train` wrote.
        form: a name in `registry.FORMATS`.
        output: path to write; None takes the model's name with the format's ending.

    Returns:
        The path written. The model there takes RGB in [0, 1], float32 (n, 224, 224, 3), and gives probabilities.

    Raises:
        InputError: the model cannot be used, the output cannot be written or is a folder that exists, or a package is missing.
    """
    export_format = FORMATS[form]
    target = output or model.with_name(model.stem + export_format.ending)
    check_outputs((target,), (model,))
    _check_packages(export_format)
    loaded = load_model(model)
    info = {key: value for key, value in msgspec.to_builtins(loaded.info).items() if key not in LEFT_OUT}
    folded_model = _without_standardisation(loaded.model)
    with (
        atomic_write(target) as draft,
        tempfile.TemporaryDirectory(dir=target.parent, prefix=DRAFT_PREFIX) as folder,
    ):
        named = Path(folder) / f"model{export_format.ending}"  # the exporters take the format from the name
        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        with without_chatter(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters about NumPy and themselves
            export_format.write(folded_model, named)
        export_format.add_info(named, INFO, json_text(info))
        named.replace(draft)
    side = BACKBONE.side
    say(f"Wrote {target}: takes RGB in [0, 1], float32 (n, {side}, {side}, 3); gives {', '.join(info['classes'])}.")
    say(info["notice"])
    return target


def _check_packages(export_format: ExportFormat) -> None:
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"export was given the Keras backend {keras.backend.backend()}; expected tensorflow: unset KERAS_BACKEND"
        )
    name = export_format.name
    if missing := [package for package in export_format.packages if find_spec(package) is None]:
        raise InputError(f"--format {name} needs the package '{missing[0]}': pip install 'covid19-xray[{name}]'")


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
