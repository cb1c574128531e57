"""`covid19 prepare`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from covid19.cli.values import whole
from covid19.core.errors import InputError

SUMMARY = "build a data set from the ieee8023 collection and controls"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the prepare command."""
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="folder to make; must not exist, or be empty")
    add("--collection", type=Path, metavar="DIR", help="checkout of the ieee8023 covid-chestxray-dataset")
    add("--kaggle", type=Path, metavar="DIR", help="Kaggle's chest_xray folder, with train, val and test")
    add("--download", action="store_true", help="fetch what is not given: the collection with git, Kaggle's set with kagglehub")
    add(
        "--controls",
        choices=("same-source", "kaggle-normal", "kaggle-pneumonia", "kaggle"),
        default="same-source",
        help="where the other class comes from: the other findings of the same collection, so that the source cannot tell the "
        "class, or Kaggle's children (default %(default)s)",
    )
    add("--count", type=whole(2), metavar="N", help="images of each class at most (default: all, as many controls as COVID-19)")
    add("--one-per-patient", action="store_true", help="take one image of each patient")
    add("--link", action="store_true", help="make symbolic links rather than copies")
    add("--seed", type=whole(0, 2**32 - 2), default=42, metavar="N", help="seed of every choice (default %(default)s)")
    add("--dry-run", action="store_true", help="say how many images would be taken and write nothing")


def run(collection: Path | None, kaggle: Path | None, download: bool, controls: str, **given: Any) -> None:
    """Download what is missing, if asked to, and build the data set."""
    from covid19.core.sqlite_cache import default_folder
    from covid19.data.build.download import fetch_collection, fetch_kaggle
    from covid19.data.build.prepare import Recipe, prepare

    if download:
        collection = fetch_collection(collection or default_folder() / "covid-chestxray-dataset")
        kaggle = kaggle or (None if controls == "same-source" else fetch_kaggle())
    if collection is None:
        raise InputError("prepare was given no collection; expected --collection DIR, a checkout of it, or --download")
    prepare(Recipe(collection=collection, kaggle=kaggle, controls=controls, **given))
