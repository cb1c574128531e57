"""The page as a user starts it, once for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from helpers.runs import Run
from helpers.serving import Server


@pytest.fixture(scope="session")
def server(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`covid19 serve` with the trained model, which records its requests; it must end cleanly and leave nothing."""
    started = Server(run.model, tmp_path_factory.mktemp("server"), recorded=True)
    yield started
    processes = started.processes()
    assert len(processes) > 2
    assert started.stop(signal.SIGTERM) == (143, "error: terminated; outputs that were not finished are as they were\n")
    assert not list(started.folder.iterdir())
