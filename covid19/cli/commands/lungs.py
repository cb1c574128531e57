"""`covid19 lungs`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from covid19.cli.exit_codes import ExitCode
from covid19.cli.flags_data import add_cluster_flag, add_file_timeout_flag
from covid19.cli.values import address

SUMMARY = "write a mask of the lungs of each image; exit code 1 if a file cannot be read"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the lungs command."""
    add = parser.add_argument
    add("inputs", type=address, nargs="+", metavar="PATH", help="image or DICOM files, or folders of them")
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the masks, NAME_mask.png of each image's size, and the table lungs.csv",
    )
    add_cluster_flag(parser)
    add_file_timeout_flag(parser)


def run(**given: Any) -> ExitCode:
    """Find lungs and write their masks."""
    from covid19.inference.lung_masks import write_lung_masks

    return ExitCode.DONE if write_lung_masks(**given) else ExitCode.FAILED
