"""`covid19 evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from covid19.cli.exit_codes import ExitCode, verdict_exit_code
from covid19.cli.flags import add_lung_flags
from covid19.cli.flags_data import add_data_flags, add_fail_flag, add_model_flag
from covid19.cli.values import address, class_pair
from covid19.core.settings import ComputeSettings, DataSettings, LungSettings, take

SUMMARY = "test a model on another data set, as it is"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the evaluate command."""
    add = parser.add_argument
    add_model_flag(parser)
    add(
        "-d",
        "--dataset",
        type=address,
        required=True,
        metavar="DIR",
        help="another data set, with the model's classes or some of them",
    )
    add(
        "-r",
        "--report",
        type=Path,
        default=Path("evaluation.json"),
        metavar="FILE",
        help="report to write, JSON; the page is written beside it (default %(default)s)",
    )
    add(
        "--map",
        dest="class_pairs",
        type=class_pair,
        action="append",
        default=[],
        metavar="THEIRS=OURS",
        help="take a class of the data set for one of the model's, as in other=normal; may be given again, also for the same "
        "class of the model",
    )
    add_lung_flags(parser, None, "as the model was trained")
    add_fail_flag(parser)
    add_data_flags(parser)
    parser.set_defaults(command="")  # the line as typed, which `cli.main` fills in


def run(fail_on: str | None, **given: Any) -> ExitCode:
    """Evaluate the model and report."""
    from covid19.evaluate import evaluate_model

    data, lungs, compute = take(DataSettings, given), take(LungSettings, given), take(ComputeSettings, given)
    return verdict_exit_code(evaluate_model(data=data, lungs=lungs, compute=compute, **given), fail_on)
