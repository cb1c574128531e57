"""`covid19 train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from covid19.cli.exit_codes import ExitCode, verdict_exit_code
from covid19.cli.flags import add_dataset_flag, add_run_flags
from covid19.core.settings import AuditSettings, OutputSettings, Settings

SUMMARY = "train a model on a folder of X-rays and report how far it can be believed"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the train command."""
    add = parser.add_argument
    add_dataset_flag(parser)
    add(
        "-m",
        "--model",
        type=Path,
        default=OutputSettings.model,
        metavar="FILE",
        help="model to write; HDF5 if it ends in .h5 or .hdf5, else a Keras archive (default %(default)s)",
    )
    add(
        "-p",
        "--plot",
        type=Path,
        default=OutputSettings.plot,
        metavar="FILE",
        help="plot of loss and accuracy by epoch to write, PNG (default %(default)s)",
    )
    add(
        "-r",
        "--report",
        type=Path,
        default=OutputSettings.report,
        metavar="FILE",
        help="metrics report to write, JSON (default %(default)s)",
    )
    add_run_flags(parser)
    add(
        "--no-audit",
        dest="audit",
        action="store_const",
        const="none",
        default=AuditSettings.level,
        help="leave out the probes that look for shortcuts",
    )


def run(fail_on: str | None, **given: Any) -> ExitCode:
    """Train and report, or audit alone where the settings name no model."""
    from covid19.train import train

    return verdict_exit_code(train(Settings.from_flags(**given)), fail_on)
