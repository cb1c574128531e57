"""What the tests share: small data sets made on the spot, one trained run, and the project's commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import h5py
import numpy as np
import pytest

from covid19.core.keras_startup import import_keras

import_keras()

from covid19.core.executor.local import LocalExecutor  # noqa: E402
from covid19.core.executor.processes import RunTask, run_here  # noqa: E402
from covid19.core.settings import Settings  # noqa: E402
from covid19.data.build.phantoms import write_sample  # noqa: E402
from covid19.data.dataset import Dataset, Record, list_classes  # noqa: E402
from covid19.data.images import read_picture  # noqa: E402
from covid19.data.reader import Filter, read_dataset  # noqa: E402
from covid19.data.scan_cache import ScanCache  # noqa: E402
from covid19.features.backbone.weights import FILE_NAME, LAYERS, untrained_arrays  # noqa: E402
from covid19.train import train  # noqa: E402

PROJECT = Path(__file__).parent.parent
SHARED = PROJECT.parent / "shared" / "data"

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that begins the tests in the background has it ignored


class Run(NamedTuple):
    """A finished training run."""

    settings: Settings
    report: dict[str, Any]


def write_image(path: Path, pixels: np.ndarray) -> Path:
    """Write RGB or grey pixels in the format of the path's ending, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = cv2.imwrite(str(path), pixels if pixels.ndim == 2 else pixels[:, :, ::-1])
    assert done
    return path


def write_noise(root: Path, counts: dict[str, int], side: int = 24) -> Path:
    """A data set of small noise images, `counts` of each class, each of other content."""
    generator = np.random.default_rng(7)
    for label, count in counts.items():
        for index in range(count):
            write_image(root / label / f"{index:03d}.png", generator.integers(0, 256, (side, side), np.uint8))
    return root


def run_command(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python3 ARGUMENTS...` as a user would and return what it printed and its exit code."""
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "XDG_CACHE_HOME": str(cwd.parent / "cache"), **environment}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def read_records(root: Path) -> tuple[Record, ...]:
    """The records of a data set whose files are all images."""
    return read(root).records


def read(root: Path, scans: ScanCache | None = None, run: RunTask = run_here, **wanted: Any) -> Dataset:
    """Read a data set with a scan cache of its own; `wanted` are fields of `Filter`."""
    cache, decode = scans or ScanCache(None, 10**9), partial(read_picture, run=run)
    return read_dataset(root, list_classes(root), Filter(**wanted), cache, LocalExecutor(run), decode)


def reasons(dataset: Dataset) -> dict[str, str]:
    """Why each file was left out, by path."""
    return {skipped.path: skipped.reason for skipped in dataset.skipped}


def settings_in(folder: Path, dataset: Path, **changes: Any) -> Settings:
    """Settings of a small run on the untrained base that writes into a folder."""
    outputs = {"model": folder / "covid19.model", "plot": folder / "plot.png", "report": folder / "metrics.json"}
    small = {"weights": "random", "views": 1, "epochs": 5, "repeats": 2, "cache": False}
    return replace(Settings(dataset), **(outputs | small | changes))


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantoms of each class, smaller than the base's input."""
    folder = tmp_path_factory.mktemp("phantoms") / "dataset"
    write_sample(folder, count=6, size=96, seed=1)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> Run:
    """One training run on the phantoms; its files are not to be changed."""
    settings = settings_in(tmp_path_factory.mktemp("run"), phantoms)
    train(settings)
    return Run(settings, json.loads(settings.report.read_text()))


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the layout of the official one, holding the untrained arrays doubled."""
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
