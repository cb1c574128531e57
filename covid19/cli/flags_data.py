"""The flags of the commands on data sets, those that all share, and their help texts."""

from __future__ import annotations

import argparse
from pathlib import Path

from covid19.cli.values import address, cluster, gigabytes, seconds, whole
from covid19.core.settings import ComputeSettings, DataSettings


def add_check_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the check command."""
    add = parser.add_argument
    add("dataset", type=Path, metavar="DATASET", help="folder with one folder of images for each class")
    add("--json", dest="as_json", action="store_true", help="print the findings as JSON")
    add_data_flags(parser)


def add_evaluate_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the evaluate command."""
    add = parser.add_argument
    add("-m", "--model", type=Path, required=True, metavar="FILE", help="model that 'covid19 train' wrote")
    add("-d", "--dataset", type=Path, required=True, metavar="DIR", help="another data set, with the model's class folders")
    add(
        "-r",
        "--report",
        type=Path,
        default=Path("evaluation.json"),
        metavar="FILE",
        help="report to write, JSON (default %(default)s)",
    )
    add_fail_flag(parser)
    add_data_flags(parser)


def add_fail_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of every command that audits."""
    parser.add_argument(
        "--fail-on",
        choices=("explained", "present"),
        help="exit with 3 if the audit's verdict is this or worse (present: either; explained: that alone)",
    )


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that reads a data set."""
    add = parser.add_argument
    add(
        "--metadata",
        type=address,
        metavar="FILE",
        help="table of each image's patient and projection, as in the ieee8023 collection (default: DATASET/metadata.csv)",
    )
    add(
        "--projection",
        "--view",
        choices=("PA", "any"),
        default=DataSettings.projection,
        help="PA leaves out images of another known projection (DICOM View Position); any keeps them (default %(default)s)",
    )
    add_file_timeout_flag(parser)
    add(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="folder of the feature cache and the scan cache, which are kept between runs (default: the user's cache folder)",
    )
    add(
        "--cache-size",
        type=gigabytes,
        default=ComputeSettings.cache_size,
        metavar="GB",
        help="size of both caches together; the features used longest ago go first (default 2)",
    )
    add("--no-cache", dest="cache", action="store_false", help="neither use nor fill the caches")


def add_file_timeout_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of every command that decodes images."""
    parser.add_argument(
        "--file-timeout",
        type=seconds,
        default=DataSettings.file_timeout,
        metavar="S",
        help="seconds that reading one image may take; one that takes longer is skipped and named (default %(default)g)",
    )


def add_cluster_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of every command that can use more than one machine."""
    parser.add_argument(
        "--cluster",
        type=cluster,
        metavar="WHERE",
        help="read files and run the base on a Ray cluster: auto = the one that this machine belongs to, else one started on "
        "it; local = one started on it; or ray://host:port (default: in this process)",
    )


def add_prepare_flags(parser: argparse.ArgumentParser) -> None:
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


def add_sample_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the sample command."""
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="folder to make; must not exist, or be empty")
    add("--count", type=whole(1), default=25, metavar="N", help="images of each class (default %(default)s)")
    add("--size", type=whole(64, 4096), default=256, metavar="PIXELS", help="mean side of an image (default %(default)s)")
    add("--seed", type=whole(0, 2**32 - 2), default=42, metavar="N", help="seed of all drawing (default %(default)s)")
