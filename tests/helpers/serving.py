"""A running page for tests: `covid19 serve` as a user starts it, or its application around a model that needs no Keras."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np

import covid19
from covid19.core.executor.processes import run_here
from covid19.inference.answer import Answer
from covid19.inference.server.app import Sample, Samples, make_app
from covid19.inference.server.connection import make_server
from covid19.inference.server.guard import Access
from covid19.inference.server.uploads import Reply
from helpers.paths import PROJECT

ABOUT = {
    "status": "NONE FOUND",
    "verdict": "Audit: none-found.",
    "positive": "covid",
    "threshold": 0.5,
    "decision": "covid is predicted if its probability is 0.500 or more.",
    "base": "random",
    "cross_validation": None,
    "audit": None,
    "notice": covid19.NOTICE,
}
# `covid19 serve`, with every request and the status of its response written down outside of everything else that it does.
RECORDING = """
import os, sys

from covid19.cli.main import main
from covid19.inference.server import app as application
make_app = application.make_app
def make_recorded(*arguments):
    app = make_app(*arguments)
    async def record(scope, receive, send):
        async def told(message):
            if message["type"] == "http.response.start":
                with open(os.environ["RECORD"], "a") as file:
                    file.write(f"{scope['method']} {scope['path']} {message['status']}\\n")
            await send(message)
        await app(scope, receive, told)
    return record
application.make_app = make_recorded
sys.exit(main(sys.argv[1:]))
"""


class Server:
    """`covid19 serve` on a free port, with a temporary folder of its own."""

    def __init__(self, model: Path, folder: Path, *flags: str, recorded: bool = False, **environment: str) -> None:
        self.folder, self.record = folder, folder.parent / f"{folder.name}.requests"
        self.record.touch()
        program = ["-c", RECORDING] if recorded else ["-m", "covid19"]
        alone = () if "BROWSER" in environment else ("--no-browser",)
        command = [sys.executable, *program, "serve", "-m", str(model), "--port", "0", *alone, *flags]
        environment = {
            **os.environ,
            "TMPDIR": str(folder),
            "PYTHONPATH": str(PROJECT),
            "RECORD": str(self.record),
            **environment,
        }
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.greeting = self.process.stdout.readline()
        self.url = re.search(r"http://[^ ]+:\d+", self.greeting)[0]
        self.port = int(self.url.rpartition(":")[2])
        self.loading, self.ready = self.process.stdout.readline(), self.process.stdout.readline()

    def requests(self) -> list[tuple[str, str, int]]:
        """Method, path and status of each, where they are recorded."""
        lines = (line.rsplit(" ", 1) for line in self.record.read_text().splitlines())
        return [(*request.split(" ", 1), int(status)) for request, status in lines]

    def files(self) -> list[Path]:
        """Everything in its temporary folder that is a file."""
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def processes(self) -> set[int]:
        """Its process and those that it started, and so on."""
        found, ahead = set(), [self.process.pid]
        while ahead:
            found.add(number := ahead.pop())
            for children in Path(f"/proc/{number}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    ahead += map(int, children.read_text().split())
        return found

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and wait; the exit code and what was said on standard error."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=30)[1]
        return self.process.returncode, said


def wait_until(done: Any, seconds: float = 15.0) -> bool:
    """Wait until a function returns something true."""
    limit = time.monotonic() + seconds
    while not (found := done()) and time.monotonic() < limit:
        time.sleep(0.05)
    return bool(found)


def is_alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def token_of(url: str) -> str:
    """The token in the page's HTML."""
    return re.search(r'name="page-token" content="([^"]+)"', httpx.get(url).text)[1]


def ask(url: str, *paths: Path, **options: Any) -> httpx.Response:
    """Send files as a program does."""
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    return httpx.post(f"{url}/api/predict", files=files, timeout=120, **options)


class Stub:
    """A model that needs no Keras; counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, image: Any) -> Reply:
        """Always the same."""
        self.asked += 1
        return Reply(Answer("", "covid", {"covid": 0.75, "normal": 0.25}, 10.0, "", 0.5), b"heat", np.zeros(512, np.float32))


@contextlib.contextmanager
def serving(
    model: Any,
    pool: Any = None,
    about: dict[str, Any] = ABOUT,
    samples: Sequence[Sample] = (),
    withhold_labels: bool = False,
    **access: Any,
) -> Iterator[SimpleNamespace]:
    """The application around a model, in a thread of this process."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        allowed = Access(
            **{"host": "127.0.0.1", "port": port, "names": (), "api_token": None, "page_token": secrets.token_hex()} | access
        )
        decoder, shown = pool or SimpleNamespace(run=run_here), Samples("Or choose a sample", samples)
        app = make_app(model, decoder, ["covid", "normal"], about, shown, allowed, withhold_labels)
        server = make_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert wait_until(lambda: server.started)
            yield SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port, access=allowed, server=server, model=model)
        finally:
            server.should_exit = True
            thread.join(20)
