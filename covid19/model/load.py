"""A model file as a Keras model: this program's own code builds the layers, and the file gives only numbers and text."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import keras

from covid19.core.errors import InputError
from covid19.features.backbone.network import build_base
from covid19.features.backbone.weights import Weights
from covid19.model.file import ModelFile, read_model
from covid19.model.head import Heads, head_model
from covid19.model.info import ModelInfo
from covid19.model.save import assemble


class Loaded(NamedTuple):
    """A model file's content.

    Attributes:
        model: takes RGB in [0, 1], float32 (n, 224, 224, 3), and gives probabilities, float32 (n, classes).
        info: see `ModelInfo`.
    """

    model: keras.Model
    info: ModelInfo


def load_model(path: str | Path) -> Loaded:
    """Read a model that `covid19 train` wrote; the content counts, not the name.

    Args:
        path: a Keras archive or an HDF5 file.

    Returns:
        The Keras model and its information.

    Raises:
        InputError: the file is missing, damaged, tampered with, or was not written by this program.
    """
    content = read_model(Path(path))
    return Loaded(assemble(build_base(content.weights), head_model(heads_in(content))), content.info)


def heads_in(content: ModelFile) -> Heads:
    """The head of a model file, as a stack of one."""
    return Heads(*(array[None] for array in content.head))


def load_head(path: Path, classes: tuple[str, ...], weights: Weights) -> tuple[Heads, ModelInfo]:
    """The head of an earlier model, its weights and its standardisation, and the model's information.

    Args:
        path: the earlier model's file.
        classes: of this run, in the order of the outputs.
        weights: of this run's base.

    Raises:
        InputError: the file is no model of this program, or its classes or its base are others.
    """
    content = read_model(path)
    info = content.info
    if info.classes != classes:
        raise InputError(
            f"--from '{path}' was trained for the classes {', '.join(info.classes)}; expected this data set's, "
            f"{', '.join(classes)}: give a model of the same classes"
        )
    if info.base.digest != weights.digest:
        raise InputError(
            f"--from '{path}' uses backbone weights '{info.base.weights}' (digest {info.base.digest[:12]}); "
            f"expected this run's '{weights.origin}' ({weights.digest[:12]}): set --weights to the model's"
        )
    return heads_in(content), info
