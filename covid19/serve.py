"""A page to drop an X-ray on, and the same for programs: a saved model behind Gradio, on this machine alone unless told.

No telemetry, no tunnel, nothing from other machines, no file kept after its answer, no name of a file in a log.
"""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import closing, redirect_stderr
from importlib.util import find_spec
from pathlib import Path

from covid19 import NOTICE
from covid19.console import say
from covid19.errors import InputError
from covid19.worker import Worker

SHOWN = 6  # samples


def serve(model: Path, host: str, port: int, samples: Path | None) -> None:
    """Serve the page until it is stopped.

    Args:
        model: a file that `covid19 train` wrote.
        host: address to listen on.
        port: 0 takes a free one.
        samples: images or a folder of them, to click; None draws phantoms.

    Raises:
        InputError: the model or the samples cannot be used, the address is taken, or Gradio is missing.
    """
    if find_spec("gradio") is None:
        raise InputError("serve needs the package 'gradio': pip install 'covid19[serve]'")
    if not model.is_file():
        raise InputError(f"model '{model}' is no file; expected a file that 'covid19 train' wrote: check the path")
    with (
        _listen(host, port) as listening,
        closing(Worker(model)) as worker,
        tempfile.TemporaryDirectory(prefix="covid19-") as folder,
    ):
        # The worker loads the model while this process imports Gradio, which reads these: nothing is sent anywhere, and this is
        # where uploads go.
        uploads = Path(folder) / "uploads"
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(uploads)}
        import uvicorn

        from covid19.web import make_app

        app = make_app(worker, _samples(samples, Path(folder)), uploads)
        config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=3)
        say(f"Serving {model} at http://{host}:{listening.getsockname()[1]} (Ctrl+C ends). {NOTICE}")
        # Of a request that fails, Gradio prints all it holds: a log must not have the names of patients' files.
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
            uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Take the address before anything slow."""
    listening = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        if listening:
            listening.close()
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror}); expected an address of this machine and a free port: "
            "give others with --host and --port"
        ) from error
    return listening


def _samples(given: Path | None, folder: Path) -> tuple[str, list[tuple[str, str]]]:
    """What stands above the images to click, and these with their captions: those given, else phantoms."""
    from covid19.dataset import list_inputs
    from covid19.sample import write_sample

    if given:
        return "or click a sample", [(file, Path(file).name) for file in list_inputs([given])[:SHOWN]]
    write_sample(folder / "samples", count=SHOWN // 2, size=256, seed=0)
    drawn = [(file, Path(file).parent.name) for file in list_inputs([folder / "samples"])]
    return "or click a phantom, drawn by this program", drawn
