"""The commands and their flags. Parsing needs nothing but the standard library, so help and usage errors answer at once."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from covid19 import NOTICE, __version__
from covid19.errors import InputError
from covid19.settings import Settings

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None, prog: str = "covid19") -> int:
    """The `covid19` command.

    Returns:
        The exit code: 0 done, 1 failure, 2 usage or bad input, 130 interrupted.
    """
    parser = Parser(
        prog=prog, description=f"Fine-tune a new head on a frozen VGG16 on chest X-rays. {NOTICE}", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"covid19 {__version__}")
    commands = parser.add_subparsers(dest="job", required=True, metavar="COMMAND")
    text = "train a model on a folder of X-rays and report how far it can be believed"
    add_train_flags(commands.add_parser("train", help=text, description=f"{text}. {NOTICE}", allow_abbrev=False))
    text = "draw a sample data set of phantoms: no patients, for trying the program out"
    add_sample_flags(commands.add_parser("sample", help=text, description=text, allow_abbrev=False))
    return _run(parser.parse_args(argv), argv)


def main_train(argv: Sequence[str] | None = None) -> int:
    """`train_covid19.py`: the train command alone. Returns its exit code."""
    parser = Parser(description=f"Fine-tune a new head on a frozen VGG16 on chest X-rays. {NOTICE}", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"covid19 {__version__}")
    add_train_flags(parser)
    return _run(parser.parse_args(argv), argv)


def add_train_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the train command, their defaults from `Settings`."""
    parser.set_defaults(call=_train)
    add = parser.add_argument
    add("-d", "--dataset", type=Path, required=True, metavar="DIR", help="folder with one folder of images for each class")
    add(
        "-m",
        "--model",
        type=Path,
        default=Settings.model,
        metavar="FILE",
        help="model to write; HDF5 if it ends in .h5 or .hdf5, else a Keras archive (default %(default)s)",
    )
    add(
        "-p",
        "--plot",
        type=Path,
        default=Settings.plot,
        metavar="FILE",
        help="plot of loss and accuracy by epoch to write, PNG (default %(default)s)",
    )
    add(
        "-r",
        "--report",
        type=Path,
        default=Settings.report,
        metavar="FILE",
        help="metrics report to write, JSON (default %(default)s)",
    )
    add(
        "-lr",
        "--learning-rate",
        "--learning",
        type=rate,
        default=Settings.learning_rate,
        metavar="RATE",
        help="Adam's first learning rate; it decays to 0 over the epochs (default %(default)s)",
    )
    add(
        "-e",
        "--epochs",
        "--epoch",
        type=whole(1),
        default=Settings.epochs,
        metavar="N",
        help="passes over the training images (default %(default)s)",
    )
    add(
        "-bs",
        "--batch-size",
        "--batchsize",
        type=whole(1),
        default=Settings.batch_size,
        metavar="N",
        help="images in one training step of the head (default %(default)s)",
    )
    add(
        "--test-size",
        type=share,
        default=Settings.test_size,
        metavar="SHARE",
        help="share of each class held out for the test, between 0 and 1 (default %(default)s)",
    )
    add(
        "--seed",
        type=whole(0, 2**32 - 2),
        default=Settings.seed,
        metavar="N",
        help="seed of the split, the rotations and the training (default %(default)s)",
    )
    add(
        "--views",
        type=whole(0),
        default=Settings.views,
        metavar="N",
        help="rotated views of each training image beside the image itself; "
        "each costs one run of the base (default %(default)s)",
    )
    add(
        "--rotation",
        type=degrees,
        default=Settings.rotation,
        metavar="DEG",
        help="largest rotation of a view, degrees either way (default %(default)s)",
    )
    add(
        "--weights",
        default=Settings.weights,
        metavar="auto|imagenet|random|FILE",
        help="weights of the base: auto = ImageNet, or untrained with a warning where it cannot be had; "
        "imagenet = that or fail; random = untrained; or a file in the official VGG16 layout without top "
        "(default %(default)s)",
    )
    add(
        "--positive",
        metavar="CLASS",
        help="positive class, whose recall is the sensitivity (default: the one whose name contains 'covid', else the first)",
    )
    add(
        "--from",
        dest="start_from",
        type=Path,
        metavar="MODEL",
        help="start from the head of an earlier model of the same classes and base",
    )
    add(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="folder of the feature store, where what the base saw is kept between runs (default: the user's cache folder)",
    )
    add(
        "--cache-size",
        type=gigabytes,
        default=Settings.cache_size,
        metavar="GB",
        help="size of the feature store; the features used longest ago go first (default 2)",
    )
    add("--no-cache", dest="cache", action="store_false", help="neither use nor fill the feature store")


def add_sample_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the sample command."""
    parser.set_defaults(call=_sample)
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="folder to make; must not exist, or be empty")
    add("--count", type=whole(1), default=25, metavar="N", help="images of each class (default %(default)s)")
    add("--size", type=whole(64, 4096), default=256, metavar="PIXELS", help="mean side of an image (default %(default)s)")
    add("--seed", type=whole(0, 2**32 - 2), default=42, metavar="N", help="seed of all drawing (default %(default)s)")


def whole(low: int, high: float = math.inf) -> Callable[[str], int]:
    """A parser of whole numbers in [low, high]."""

    def parse(text: str) -> int:
        number = int(text) if text.lstrip("-").isdecimal() else low - 1
        if not low <= number <= high:
            limit = f"{low} or more" if high == math.inf else f"{low} to {high}"
            raise argparse.ArgumentTypeError(f"received '{text}', expected a whole number, {limit}: give such a number")
        return number

    return parse


def _real(low: float, high: float, expected: str) -> Callable[[str], float]:
    """A parser of real numbers between low and high, neither included."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low < number < high:
            raise argparse.ArgumentTypeError(f"received '{text}', expected {expected}: give such a number")
        return number

    return parse


rate = _real(0, math.inf, "a number above 0, such as 0.001")
share = _real(0, 1, "a share between 0 and 1, such as 0.2")


def gigabytes(text: str) -> int:
    """Parse a size in GB, above 0, to bytes."""
    return round(_real(0, 1e6, "a size in GB, such as 2")(text) * 1e9)


degrees = _real(-1e-9, 180.000001, "degrees from 0 to 180, such as 15")


def _run(arguments: argparse.Namespace, argv: Sequence[str] | None) -> int:
    """Run the chosen command; every expected failure becomes one line on standard error and an exit code."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # a file that cannot be read is reported by this program
    given = vars(arguments)
    call: Callable[..., None] = given.pop("call")
    given.pop("job", None)
    if call is _train:
        given["command"] = shlex.join([Path(sys.argv[0]).name, *(sys.argv[1:] if argv is None else argv)])
    try:
        call(**given)
    except InputError as error:
        return _say_error(str(error), BAD_INPUT)
    except OSError as error:
        return _say_error(f"failed: {error}", FAILED)
    except ModuleNotFoundError as error:
        return _say_error(
            f"package '{error.name}' is missing; install what this program needs: pip install -r requirements.txt", FAILED
        )
    except KeyboardInterrupt:
        return _say_error("interrupted; outputs that were not finished are as they were", INTERRUPTED)
    return DONE


def _say_error(text: str, code: int) -> int:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return code


def _train(**given: object) -> None:
    from covid19.train import train  # NumPy, OpenCV and scikit-learn: a second that --help need not pay

    train(Settings(**given))  # type: ignore[arg-type]  # argparse's types are those of the fields


def _sample(folder: Path, count: int, size: int, seed: int) -> None:
    from covid19.sample import write_sample

    write_sample(folder, count, size, seed)
