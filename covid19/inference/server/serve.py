"""A page to drop an X-ray on, and the same for programs: a saved model on this machine alone unless told otherwise.

What is sent is held in memory only, and no name of a file is ever written into a log.

The modules that answer requests need an extra and take 1470 ms to import (`python3 -X importtime`, two shared cores), so they
are imported while the process of the model starts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from covid19 import NOTICE
from covid19.core.console import say, warn
from covid19.core.errors import InputError
from covid19.inference.server.model_process import ModelProcess

if TYPE_CHECKING:
    from covid19.data.decoding import DecodingPool
    from covid19.inference.server.app import Samples

MAX_SAMPLES = 6


def serve(
    model: Path,
    host: str,
    port: int,
    samples: Path | None,
    file_timeout: float,
    api_token: str | None = None,
    insecure: bool = False,
    allow_hosts: Sequence[str] = (),
    withhold_labels: bool | None = None,
    browser: bool = False,
) -> None:
    """Serve the page until it is stopped.

    Args:
        model: a file that `covid19 train` wrote.
        host: address to listen on.
        port: 0 takes a free one.
        samples: images or a folder of them, to click; None draws phantoms.
        file_timeout: seconds that decoding one file may take.
        api_token: that every request of the API must carry, or None.
        insecure: whether other machines may ask without a token.
        allow_hosts: names by which others reach the page, beside those that it knows.
        withhold_labels: whether a label is shown only when somebody asks for it; None does so if the audit found a shortcut.
        browser: whether to open the page in the user's browser.

    Raises:
        InputError: the model or the samples cannot be used, the address is taken or not safe to listen on, or a package is
            missing.
    """
    if find_spec("uvicorn") is None or find_spec("starlette") is None:
        raise InputError("serve needs the packages 'uvicorn' and 'starlette': pip install 'covid19-xray[serve]'")
    _check_token(api_token)
    with (
        _listen(host, port, open_to_all=insecure or api_token is not None) as listening,
        closing(ModelProcess(model)) as process,
    ):
        port = listening.getsockname()[1]
        from covid19.inference.server.guard import in_address

        listening.listen()  # who comes before the model is loaded waits
        address = f"http://{in_address(host)}:{port}"
        say(f"Serving {model} at {address} (Ctrl+C ends). {NOTICE}\nLoading the model, which takes some seconds ...")
        # The other process loads the model while this one imports the rest.
        from covid19.data.decoding import DecodingPool
        from covid19.inference.about import SHORTCUT
        from covid19.inference.server.app import make_app
        from covid19.inference.server.connection import make_server
        from covid19.inference.server.guard import Access

        with DecodingPool(file_timeout) as pool:
            shown = _read_samples(samples, pool)
            classes, about = process.wait()
            withheld = about["status"] == SHORTCUT if withhold_labels is None else withhold_labels
            access = Access(host, port, {name.lower() for name in allow_hosts}, api_token, secrets.token_urlsafe())
            server = make_server(make_app(process, pool, classes, about, shown, access, withheld))
            # The libraries below log pieces of what they cannot parse: a log must not have the names of patients' files.
            logging.disable()
            say(f"Ready. {about['status']}: {about['verdict']}")
            if browser:
                _open_browser(address)
            with closing(server.serve(sockets=[listening])) as serving:  # a signal may come before it runs
                asyncio.run(serving)


def _open_browser(address: str) -> None:
    """Open the page where a browser with windows is at hand; a browser in the terminal would take that over."""
    has_windows = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    if has_windows:
        # In a thread, as some browsers return only when they are closed.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _check_token(api_token: str | None) -> None:
    if api_token is not None and not (api_token and api_token.isascii() and api_token.isprintable() and " " not in api_token):
        raise InputError(
            "the API token is empty or has other characters than visible ASCII; expected one that a header can carry: make one "
            "with python3 -c 'import secrets; print(secrets.token_urlsafe())'"
        )


def _listen(host: str, port: int, open_to_all: bool) -> socket.socket:
    """Take the address before anything slow.

    Raises:
        InputError: other machines could reach it and nobody said that they may, or it cannot be had.
    """
    from covid19.inference.server.guard import is_loopback

    listening = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if not open_to_all and not is_loopback(str(address[0])):
            raise InputError(
                f"--host {host} lets other machines ask, without a password or encryption; expected --api-token TOKEN (or "
                "COVID19_API_TOKEN in the environment), which they must then send, or --insecure: add one of them"
            )
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


def _read_samples(given: Path | None, pool: DecodingPool) -> Samples:
    """The pictures to click: those given, else phantoms. They are read once; one that cannot be is left out with a warning."""
    from covid19.data.build.phantoms import write_sample
    from covid19.data.dataset import list_inputs
    from covid19.data.images import check_regular, why_unreadable
    from covid19.inference.server.app import Sample, Samples
    from covid19.inference.server.multipart import MAX_FILE_BYTES
    from covid19.inference.server.uploads import read_upload

    if given is None:
        with tempfile.TemporaryDirectory(prefix="covid19-") as drawn:
            write_sample(Path(drawn), count=MAX_SAMPLES // 2, size=256, seed=0)
            contents = [(path.name, path.parent.name, path.read_bytes()) for path in map(Path, list_inputs([Path(drawn)]))]
        title = "Or choose a phantom, drawn by this program"
    else:
        contents, title = [], "Or choose a sample"
        for path in map(Path, list_inputs([given])[:MAX_SAMPLES]):
            try:
                if check_regular(path) > MAX_FILE_BYTES:
                    raise ValueError(f"it is larger than {MAX_FILE_BYTES / 1e6:.0f} MB")
                contents.append((path.name, path.name, path.read_bytes()))
            except (OSError, ValueError) as error:
                warn(f"the sample '{path}' is left out: {why_unreadable(error)}")
    items = []
    for name, caption, content in contents:
        try:
            items.append(Sample(name, caption, content, pool.run(read_upload, content).preview))
        except (OSError, ValueError) as error:
            warn(f"the sample '{name}' is left out: {why_unreadable(error)}")
    return Samples(title, items)
