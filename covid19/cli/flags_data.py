"""The flags that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from covid19.cli.values import address, cluster, gigabytes, seconds
from covid19.core.settings import ComputeSettings, DataSettings


class Tables(argparse.Action):
    """Collects tables in a tuple, which settings can hold."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Add one; the first takes the place of the default, which a file of settings may have."""
        own = getattr(namespace, self.dest)
        setattr(namespace, self.dest, (*(() if own is parser.get_default(self.dest) else own), values))


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
        help="table of each image's patient and projection, CSV or Excel (default: --labels, else DATASET/metadata.csv)",
    )
    add_label_flags(
        parser, "table that has each image's class, where folders do not; may be given again, as for train.txt and test.txt"
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


def add_label_flags(parser: argparse.ArgumentParser, what: str) -> None:
    """The flags of every command that can take classes from a table.

    Args:
        parser: of the command.
        what: help text of `--labels`.
    """
    add = parser.add_argument
    add("--labels", type=address, action=Tables, default=(), metavar="FILE", help=what)
    add("--label-column", metavar="NAME", help="its column of labels (default: finding, label, class, ...)")
    add("--path-column", metavar="NAME", help="its column of the images' names or paths (default: filename, Path, ...)")


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


def add_model_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of every command that uses a saved model."""
    parser.add_argument("-m", "--model", type=Path, required=True, metavar="FILE", help="model that 'covid19 train' wrote")
