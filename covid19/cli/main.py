"""The commands. Parsing needs nothing but the standard library, so help and usage errors answer at once."""

from __future__ import annotations

import argparse
import errno
import io
import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from covid19 import NOTICE, __version__
from covid19.cli.flags import add_audit_flags, add_train_flags
from covid19.cli.flags_data import add_check_flags, add_evaluate_flags, add_prepare_flags, add_sample_flags
from covid19.cli.flags_model import add_export_flags, add_predict_flags, add_serve_flags
from covid19.core.errors import InputError
from covid19.core.settings import Settings

DONE, FAILED, BAD_INPUT, FLAGGED, INTERRUPTED = 0, 1, 2, 3, 130
STOPPED_BY = 128  # and the signal's number, as shells say it


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, as an exception, so that what is open is closed and no half file is left.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None, prog: str = "covid19") -> int:
    """The `covid19` command.

    Returns:
        The exit code: 0 done, 1 failure or an unsound data set, 2 usage or bad input, 3 a verdict that --fail-on names,
        129 hung up (SIGHUP), 130 interrupted (SIGINT), 143 terminated (SIGTERM).
    """
    parser = _parser("Fine-tune a new head on a frozen VGG16 on chest X-rays.", prog)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text, add_flags, call in (
        ("train", "train a model on a folder of X-rays and report how far it can be believed", add_train_flags, _train),
        ("audit", "look for shortcuts: can the classes be told apart without the lungs?", add_audit_flags, _train),
        ("predict", "ask a model about images; exit code 1 if a file cannot be read", add_predict_flags, _predict),
        ("serve", "open a page to drop X-rays on, and an API for programs", add_serve_flags, _serve),
        ("export", "write a model for other programs: ONNX, SavedModel, LiteRT", add_export_flags, _export),
        ("evaluate", "test a model on another data set, as it is", add_evaluate_flags, _evaluate),
        (
            "prepare",
            "build a data set from the ieee8023 collection and controls",
            add_prepare_flags,
            _prepare,
        ),
        ("check", "look a data set over without training; exit code 1 if a run would be unsound", add_check_flags, _check),
        ("sample", "draw a sample data set of phantoms: no patients, for trying the program out", add_sample_flags, _sample),
    ):
        command = commands.add_parser(name, help=text, description=f"{text}. {NOTICE}", allow_abbrev=False)
        add_flags(command)
        command.set_defaults(call=call)
    return _run(parser.parse_args(argv), argv)


def main_train(argv: Sequence[str] | None = None) -> int:
    """`train_covid19.py`: the train command alone. Returns its exit code."""
    parser = _parser("Fine-tune a new head on a frozen VGG16 on chest X-rays.", None)
    add_train_flags(parser)
    parser.set_defaults(call=_train)
    return _run(parser.parse_args(argv), argv)


def _parser(description: str, prog: str | None) -> Parser:
    parser = Parser(prog=prog, description=f"{description} {NOTICE}", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"covid19 {__version__}")
    return parser


def _run(arguments: argparse.Namespace, argv: Sequence[str] | None) -> int:
    """Run the chosen command; every expected failure becomes one line on standard error and an exit code."""
    _open_closed_streams()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # a file that cannot be read is reported by this program
    warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\.")  # odd files, of which this program says itself what is wrong
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    _have_a_home()
    given = vars(arguments)
    call: Callable[..., int | None] = given.pop("call")
    if call in (_train, _evaluate):
        given["command"] = shlex.join([Path(sys.argv[0]).name, *(sys.argv[1:] if argv is None else argv)])
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup has it ignored
            signal.signal(signal.SIGHUP, _terminate)
    try:
        return call(**given) or DONE
    except InputError as error:
        return _say_error(str(error), BAD_INPUT)
    except BrokenPipeError:  # the reader, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        advice = "; outputs are as they were: make room, or write to another disk" if error.errno == errno.ENOSPC else ""
        return _say_error(f"failed: {error}{advice}", FAILED)
    except ModuleNotFoundError as error:
        return _say_error(
            f"package '{error.name}' is missing; install what this program needs: pip install -r requirements.txt", FAILED
        )
    except KeyboardInterrupt as error:
        code = STOPPED_BY + error.number if isinstance(error, Terminated) else INTERRUPTED
        word = "interrupted" if code == INTERRUPTED else "terminated"
        return _say_error(f"{word}; outputs that were not finished are as they were", code)


def _open_closed_streams() -> None:
    """Open standard streams that were closed before the start: else the next file, a model, would get what is printed."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is the stream's own
            setattr(sys, name, os.fdopen(handle, "r" if name == "stdin" else "w"))


def _have_a_home() -> None:
    """Give a user without a home folder one for this run: the libraries that keep caches there fail in ways of their own."""
    try:
        Path.home()
    except RuntimeError:
        import atexit
        import shutil
        import tempfile

        os.environ["HOME"] = tempfile.mkdtemp(prefix="covid19-")
        atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
        print(
            "warning: this user has no home folder, so nothing is kept for the next run; expected HOME to be set: set it, or "
            "give a folder with --cache-dir",
            file=sys.stderr,
        )


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated(number)


def _say_error(text: str, code: int) -> int:
    escaped = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in " ".join(text.split()))
    with suppress(OSError):  # where nobody can be told, the exit code still tells
        print(f"error: {escaped}", file=sys.stderr, flush=True)
    return code


def _train(fail_on: str | None, **given: object) -> int:
    from covid19.train import train  # NumPy, OpenCV and scikit-learn: a second that --help need not pay

    return _flag(train(Settings(**given)), fail_on)  # type: ignore[arg-type]  # argparse's types are those of the fields


def _evaluate(fail_on: str | None, **given: Any) -> int:
    from covid19.evaluate import evaluate_model

    return _flag(evaluate_model(**given), fail_on)


def _predict(**given: Any) -> int:
    from covid19.core.keras_startup import import_keras

    import_keras()
    from covid19.inference.predictor import predict

    return DONE if predict(**given) else FAILED


def _serve(api_token: str | None, **given: Any) -> None:
    from covid19.inference.server.serve import serve

    serve(api_token=os.environ.get("COVID19_API_TOKEN") if api_token is None else api_token, **given)


def _export(model: Path, form: str, output: Path | None) -> None:
    from covid19.core.keras_startup import import_keras

    import_keras()
    from covid19.model.export.run import export

    export(model, form, output)


def _flag(report: dict[str, Any], fail_on: str | None) -> int:
    """The exit code that the verdict of a report's audit asks for."""
    verdict = report["audit"] and report["audit"]["verdict"]
    return FLAGGED if fail_on and verdict in {"explained", fail_on} else DONE


def _sample(folder: Path, count: int, size: int, seed: int) -> None:
    from covid19.core.console import say
    from covid19.data.build.phantoms import CLASSES, write_sample

    write_sample(folder, count, size, seed)
    say(f"Drew {count} phantoms of each class ({', '.join(CLASSES)}) in {folder}. They are no patients.")


def _prepare(collection: Path | None, kaggle: Path | None, download: bool, controls: str, **given: Any) -> None:
    from covid19.core.sqlite_cache import default_folder
    from covid19.data.build.download import fetch_collection, fetch_kaggle
    from covid19.data.build.prepare import Recipe, prepare

    if download:
        collection = fetch_collection(collection or default_folder() / "covid-chestxray-dataset")
        kaggle = kaggle or (None if controls == "same-source" else fetch_kaggle())
    if collection is None:
        raise InputError("prepare was given no collection; expected --collection DIR, a checkout of it, or --download")
    prepare(Recipe(collection=collection, kaggle=kaggle, controls=controls, **given))


def _check(dataset: Path, as_json: bool, metadata: Path | None, projection: str, file_timeout: float, **cache: Any) -> int:
    from covid19.core.console import say
    from covid19.core.outputs import json_text
    from covid19.data.check import check, describe
    from covid19.data.reader import Filter
    from covid19.features.cache import open_caches

    with open_caches(**cache) as caches:
        findings = check(dataset, Filter(metadata, projection), caches.scans, file_timeout)
    say(json_text(findings, indent=2) if as_json else describe(findings))
    return DONE if findings["sound"] else FAILED
