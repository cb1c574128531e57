"""The flags of the commands that use a saved model, and their help texts."""

from __future__ import annotations

import argparse
from pathlib import Path

from covid19.cli.flags_data import add_cluster_flag, add_file_timeout_flag
from covid19.cli.values import address, whole
from covid19.model.export.registry import FORMATS


def add_predict_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the predict command."""
    add = parser.add_argument
    add("inputs", type=address, nargs="+", metavar="PATH", help="image or DICOM files, or folders of them")
    _add_model_flag(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="output", action="store_const", const="json", default="text", help="print one JSON object")
    form.add_argument("--csv", dest="output", action="store_const", const="csv", help="print CSV")
    add_cluster_flag(parser)
    add_file_timeout_flag(parser)
    add("--heatmaps", type=Path, metavar="DIR", help="write each image with its Grad-CAM heat map laid over into this folder")


def add_export_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the export command."""
    add = parser.add_argument
    _add_model_flag(parser)
    add("--format", dest="form", choices=tuple(FORMATS), required=True, help="what to write")
    add("-o", "--output", type=Path, metavar="PATH", help="path to write (default: the model's name with the format's ending)")


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the serve command."""
    add = parser.add_argument
    _add_model_flag(parser)
    add(
        "--host",
        default="127.0.0.1",
        metavar="HOST",
        help="address to listen on; one that others can reach also needs --api-token or --insecure (default %(default)s)",
    )
    add(
        "--port",
        type=whole(0, 65535),
        default=7860,
        metavar="N",
        help="port to listen on; 0 takes a free one (default %(default)s)",
    )
    add("--samples", type=Path, metavar="PATH", help="images, the first six of a folder, to click (default: phantoms)")
    add(
        "--api-token",
        metavar="TOKEN",
        help="every request for an answer must carry this token, from the page and from programs; better given in the "
        "environment variable COVID19_API_TOKEN, as other users of this machine can read a command line",
    )
    add_file_timeout_flag(parser)
    add("--insecure", action="store_true", help="let other machines ask without a token")
    add(
        "--allow-host",
        dest="allow_hosts",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name, or NAME:PORT, by which browsers and programs reach the page; may be given several times",
    )


def _add_model_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", type=Path, required=True, metavar="FILE", help="model that 'covid19 train' wrote")
