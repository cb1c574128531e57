"""`covid19 predict`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from covid19.cli.exit_codes import ExitCode
from covid19.cli.flags_data import add_cluster_flag, add_file_timeout_flag, add_label_flags, add_model_flag
from covid19.cli.values import address

SUMMARY = "ask a model about images; exit code 1 if a file cannot be read"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the predict command."""
    add = parser.add_argument
    add("inputs", type=address, nargs="+", metavar="PATH", help="image or DICOM files, or folders of them")
    add_model_flag(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="output", action="store_const", const="json", default="text", help="print one JSON object")
    form.add_argument("--csv", dest="output", action="store_const", const="csv", help="print CSV")
    add_cluster_flag(parser)
    add_file_timeout_flag(parser)
    add(
        "--heatmaps",
        type=Path,
        metavar="DIR",
        help="write each image that gets a label with its Grad-CAM heat map laid over into this folder",
    )
    add(
        "--dicom-sr",
        type=Path,
        metavar="DIR",
        help="write a DICOM Structured Report on each DICOM file into this folder, for research alone and with the patient's "
        "identifiers (pip install 'covid19-xray[dicom]')",
    )
    add_label_flags(
        parser,
        "compare the answers with the true classes, which a table has, or, with 'folders', the names of the folders: prints a "
        "confusion matrix and numbers with intervals",
    )
    add(
        "--withhold-labels", action="store_true", help="give no label and no probability, only what else is known of each image"
    )


def run(**given: Any) -> ExitCode:
    """Predict and print the answers."""
    from covid19.core.console import say
    from covid19.core.keras_startup import import_keras
    from covid19.core.settings import PredictSettings

    settings = PredictSettings(**given)
    if sys.stderr.isatty():  # elsewhere nobody waits, and it would stand among warnings
        say(f"Loading {settings.model}, which takes some seconds ...", sys.stderr)
    import_keras()
    from covid19.inference.predict import predict  # imports Keras, which `import_keras` must have done before, quietly

    return ExitCode.DONE if predict(settings) else ExitCode.FAILED
