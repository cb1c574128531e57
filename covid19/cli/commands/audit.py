"""`covid19 audit`: a training run that writes neither model nor plot, with every probe."""

from __future__ import annotations

import argparse
from pathlib import Path

from covid19.cli.commands.train import run
from covid19.cli.flags import add_dataset_flag, add_run_flags

__all__ = ["SUMMARY", "add_flags", "run"]

SUMMARY = "look for shortcuts: can the classes be told apart without the lungs?"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the audit command: those of a training run, without model and plot."""
    add = parser.add_argument
    add_dataset_flag(parser)
    add(
        "-r",
        "--report",
        type=Path,
        default=Path("audit.json"),
        metavar="FILE",
        help="report to write, JSON; the page is written beside it (default %(default)s)",
    )
    parser.set_defaults(audit="full", model=None, plot=None)
    add_run_flags(parser)
