"""`covid19 sample`."""

from __future__ import annotations

import argparse
from pathlib import Path

from covid19.cli.values import whole

SUMMARY = "draw a sample data set of phantoms: no patients, for trying the program out"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the sample command."""
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="folder to make; must not exist, or be empty")
    add("--count", type=whole(1), default=25, metavar="N", help="images of each class (default %(default)s)")
    add("--size", type=whole(64, 4096), default=256, metavar="PIXELS", help="mean side of an image (default %(default)s)")
    add("--seed", type=whole(0, 2**32 - 2), default=42, metavar="N", help="seed of all drawing (default %(default)s)")


def run(folder: Path, count: int, size: int, seed: int) -> None:
    """Draw the data set."""
    from covid19.core.console import say
    from covid19.data.build.phantoms import CLASSES, write_sample

    write_sample(folder, count, size, seed)
    say(f"Drew {count} phantoms of each class ({', '.join(CLASSES)}) in {folder}. They are no patients.")
