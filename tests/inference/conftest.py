"""The page as a user starts it, once for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.runs import Run
from helpers.serving import CHROMIUM, CHROMIUM_FLAGS, Server


@pytest.fixture(scope="session")
def server(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`covid19 serve` with the trained model, which records its requests; it must end cleanly and leave nothing."""
    started = Server(run.model, tmp_path_factory.mktemp("server"), recorded=True)
    yield started
    processes = started.processes()
    assert len(processes) > 2
    assert started.stop(signal.SIGTERM) == (143, "error: terminated; outputs that were not finished are as they were\n")
    assert not list(started.folder.iterdir())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for which `evil.test` and the names below it lead to this machine."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        flags = [*CHROMIUM_FLAGS, "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP *.evil.test 127.0.0.1"]
        started = player.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()
