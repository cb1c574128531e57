"""`covid19 serve`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from covid19.cli.flags_data import add_file_timeout_flag, add_model_flag
from covid19.cli.values import whole

SUMMARY = "open a page to drop X-rays on, and an API for programs"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the serve command."""
    add = parser.add_argument
    add_model_flag(parser)
    add(
        "--host",
        default="127.0.0.1",
        metavar="HOST",
        help="address to listen on; one that others can reach also needs --api-token or --insecure (default %(default)s)",
    )
    add(
        "--port",
        type=whole(0, 65535),
        default=7860,
        metavar="N",
        help="port to listen on; 0 takes a free one (default %(default)s)",
    )
    add("--samples", type=Path, metavar="PATH", help="images, the first six of a folder, to click (default: phantoms)")
    add(
        "--api-token",
        metavar="TOKEN",
        help="every request for an answer must carry this token, from the page and from programs; better given in the "
        "environment variable COVID19_API_TOKEN, as other users of this machine can read a command line",
    )
    add_file_timeout_flag(parser)
    add("--insecure", action="store_true", help="let other machines ask without a token")
    add(
        "--allow-host",
        dest="allow_hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name, or NAME:PORT, by which browsers and programs reach the page; may be given several times",
    )
    add(
        "--withhold-labels",
        action=argparse.BooleanOptionalAction,
        help="show a label and its probabilities only when somebody asks for them, by a click or by labels=true (default: if "
        "the audit found that a shortcut explains the model)",
    )
    add("--no-browser", dest="browser", action="store_false", help="do not open the page in a browser")


def run(api_token: str | None, **given: Any) -> None:
    """Serve the page until a signal ends it."""
    from covid19.inference.server.serve import serve

    serve(api_token=os.environ.get("COVID19_API_TOKEN") if api_token is None else api_token, **given)
