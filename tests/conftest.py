"""Fixtures that several tests share: phantoms, one trained model, a file in the layout of the official weights."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from helpers.runs import Run, settings_in

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that begins the tests in the background has it ignored


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantoms of each class, smaller than the base's input."""
    from covid19.data.build.phantoms import write_sample

    folder = tmp_path_factory.mktemp("phantoms") / "dataset"
    write_sample(folder, count=6, size=96, seed=1)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> Run:
    """One training run on the phantoms; its files are not to be changed."""
    import helpers.keras_start  # noqa: F401  # seconds that only tests of a model have to pay

    from covid19.train import train

    settings = settings_in(tmp_path_factory.mktemp("run"), phantoms)
    train(settings)
    return Run(settings, json.loads(settings.report.read_text()))


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the layout of the official one, holding the untrained arrays doubled."""
    import h5py

    from covid19.features.backbone.weights import FILE_NAME, LAYERS, untrained_arrays

    path = tmp_path_factory.mktemp("official") / FILE_NAME
    arrays = [2 * array for array in untrained_arrays()]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in ("input_1", *LAYERS)]
        file.create_group("input_1").attrs["weight_names"] = []
        for layer, kernel, bias in zip(LAYERS, arrays[::2], arrays[1::2], strict=True):
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}_W_1:0".encode(), f"{layer}_b_1:0".encode()]
            group[f"{layer}_W_1:0"], group[f"{layer}_b_1:0"] = kernel, bias
    return path
