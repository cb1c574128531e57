"""`covid19 export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from covid19.cli.flags_data import add_model_flag
from covid19.model.export.registry import FORMATS

SUMMARY = "write a model for other programs: ONNX, SavedModel, LiteRT"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the export command."""
    add = parser.add_argument
    add_model_flag(parser)
    add("--format", dest="form", choices=tuple(FORMATS), required=True, help="what to write")
    add("-o", "--output", type=Path, metavar="PATH", help="path to write (default: the model's name with the format's ending)")


def run(model: Path, form: str, output: Path | None) -> None:
    """Export the model."""
    from covid19.core.console import say
    from covid19.core.keras_startup import import_keras

    say(f"Loading {model} and writing it as {form}, which takes up to half a minute ...")
    import_keras()
    from covid19.model.export.run import export  # imports Keras, which `import_keras` must have done before, quietly

    export(model, form, output)
