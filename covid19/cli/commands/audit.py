"""`covid19 audit`: a training run that writes neither model nor plot, with every probe."""

from __future__ import annotations

import argparse
from pathlib import Path

from covid19.cli.commands.train import run
from covid19.cli.flags import add_dataset_flag, add_run_flags
from covid19.cli.values import box
from covid19.core.settings import AuditSettings

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
    add(
        "--lung-box",
        type=box,
        default=AuditSettings.lung_box,
        metavar="L,T,R,B",
        help="left, top, right and bottom of the box that is hidden where no lungs are found, as fractions of the "
        "picture (default 0.12,0.15,0.88,0.85)",
    )
    add(
        "--lung-masks",
        type=Path,
        metavar="DIR",
        help="masks of the lungs, named as their image and _mask, used instead of found ones",
    )
    parser.set_defaults(audit="full", model=None, plot=None)
    add_run_flags(parser)
