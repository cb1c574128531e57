"""Fixtures that several tests share: phantoms, one trained model, a file in the layout of the official weights."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.runs import Run, settings_in, train

CallCommand = Callable[..., subprocess.CompletedProcess[str]]

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that begins the tests in the background has it ignored


class SlowTestCounter:
    """Counts the slow tests that a run leaves out and says at its end how to run them."""

    def __init__(self) -> None:
        self.left_out = 0

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.left_out += sum(item.get_closest_marker("slow") is not None for item in items)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.left_out:
            terminalreporter.write_line(
                f"{self.left_out} slow tests were left out. To run all tests: python3 -m pytest -m 'slow or not slow'"
            )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SlowTestCounter())
    # No test uses, fills or sets aside the caches of whoever runs them.
    folder = tempfile.TemporaryDirectory(prefix="covid19-tests-")
    config.add_cleanup(folder.cleanup)
    os.environ["XDG_CACHE_HOME"] = folder.name


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantoms of each class, smaller than the base's input."""
    from covid19.data.build.phantoms import write_sample

    folder = tmp_path_factory.mktemp("phantoms") / "dataset"
    write_sample(folder, count=6, size=96, seed=1)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> Run:
    """One training run on the phantoms; its files are not to be changed, its cache may grow."""
    import helpers.keras_start  # noqa: F401  # seconds that only tests of a model have to pay

    cache = {"cache": True, "cache_dir": tmp_path_factory.mktemp("features")}
    settings = settings_in(tmp_path_factory.mktemp("run"), phantoms, **cache)
    return Run(settings, train(settings))


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the layout of the official one, holding the untrained arrays doubled."""
    import h5py

    from covid19.features.backbone.description import BACKBONE
    from covid19.features.backbone.weights import FILE_NAME, untrained_arrays

    path = tmp_path_factory.mktemp("official") / FILE_NAME
    arrays = [2 * array for array in untrained_arrays()]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in ("input_1", *BACKBONE.convolutions)]
        file.create_group("input_1").attrs["weight_names"] = []
        for layer, kernel, bias in zip(BACKBONE.convolutions, arrays[::2], arrays[1::2], strict=True):
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}_W_1:0".encode(), f"{layer}_b_1:0".encode()]
            group[f"{layer}_W_1:0"], group[f"{layer}_b_1:0"] = kernel, bias
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for which `evil.test` and the names below it lead to this machine."""
    from helpers.browsing import CHROMIUM, CHROMIUM_FLAGS

    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        flags = [*CHROMIUM_FLAGS, "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP *.evil.test 127.0.0.1"]
        started = player.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@pytest.fixture
def call_command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CallCommand:
    """Call `covid19 ARGUMENTS...` in this interpreter, in a folder and with a cache of its own beside that.

    For tests of what a command does; `helpers.commands.run_command` is for those that need an interpreter of their own.
    """
    from covid19.cli.main import main

    def call(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(cwd)
        monkeypatch.setenv("XDG_CACHE_HOME", str(cwd.parent / "cache"))
        capfd.readouterr()
        words = [str(argument) for argument in arguments]
        try:
            code = main(words)
        except SystemExit as stop:
            code = int(stop.code or 0)
        return subprocess.CompletedProcess(words, code, *capfd.readouterr())

    return call
