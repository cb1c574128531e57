"""The entry point: parses the command line, runs a command and turns its failures into one line and an exit code."""

from __future__ import annotations

import argparse
import atexit
import errno
import io
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from covid19 import NOTICE, __version__
from covid19.cli.config import add_config_flag, apply_config
from covid19.cli.exit_codes import ExitCode
from covid19.cli.registry import COMMANDS, load_command
from covid19.core.console import printable
from covid19.core.errors import InputError


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
        self.exit(ExitCode.BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None, prog: str = "covid19") -> int:
    """The `covid19` command.

    Returns:
        The exit code: 0 done, 1 failure or an unsound data set, 2 usage or bad input, 3 a verdict that --fail-on names,
        129 hung up (SIGHUP), 130 interrupted (SIGINT), 143 terminated (SIGTERM).
    """
    parser = _parser(prog)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    parsers: dict[str, argparse.ArgumentParser] = {}
    for name in COMMANDS:
        command = load_command(name)
        description = f"{command.SUMMARY}. {NOTICE}"
        subparser = commands.add_parser(name, help=command.SUMMARY, description=description, allow_abbrev=False)
        command.add_flags(subparser)
        add_config_flag(subparser)
        subparser.set_defaults(run=command.run)
        parsers[name] = subparser
    return _parse_and_run(parser, parsers, sys.argv[1:] if argv is None else argv)


def main_train(argv: Sequence[str] | None = None) -> int:
    """`train_covid19.py`: the train command alone. Returns its exit code."""
    parser = _parser(None)
    command = load_command("train")
    command.add_flags(parser)
    add_config_flag(parser)
    parser.set_defaults(run=command.run)
    return _parse_and_run(parser, {"train": parser}, sys.argv[1:] if argv is None else argv, "train")


def _parse_and_run(
    parser: argparse.ArgumentParser, parsers: Mapping[str, argparse.ArgumentParser], argv: Sequence[str], command: str = ""
) -> int:  # fmt: skip
    """Complete the line for a shell that asks so; else parse it, with the settings of a file that it names, and run it."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete  # sets that variable, and is there only if it was installed

        argcomplete.autocomplete(parser)
    command = command or next((word for word in argv if word in parsers), "")
    try:
        if command:
            apply_config(parsers, command, argv)
    except InputError as error:
        return _print_error(str(error), ExitCode.BAD_INPUT)
    arguments = parser.parse_args(argv)
    del arguments.config
    return _run(arguments, argv)


def _parser(prog: str | None) -> Parser:
    description = f"Fine-tune a new head on a frozen VGG16 on chest X-rays. {NOTICE}"
    parser = Parser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"covid19 {__version__}")
    return parser


def _run(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    """Run the chosen command; every expected failure becomes one line on standard error and an exit code."""
    _prepare_process()
    flags = vars(arguments)
    run: Callable[..., int | None] = flags.pop("run")
    if "command" in flags:
        flags["command"] = shlex.join([Path(sys.argv[0]).name, *argv])
    try:
        return run(**flags) or ExitCode.DONE
    except InputError as error:
        return _print_error(str(error), ExitCode.BAD_INPUT)
    except BrokenPipeError:  # the reader, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as error:
        advice = "; outputs are as they were: make room, or write to another disk" if error.errno == errno.ENOSPC else ""
        return _print_error(f"failed: {error}{advice}", ExitCode.FAILED)
    except ModuleNotFoundError as error:
        remedy = "install what this program needs: pip install -r requirements.txt"
        return _print_error(f"package '{error.name}' is missing; {remedy}", ExitCode.FAILED)
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Terminated) else signal.SIGINT
        verb = "interrupted" if number == signal.SIGINT else "terminated"
        return _print_error(f"{verb}; outputs that were not finished are as they were", ExitCode.SIGNALLED + number)


def _prepare_process() -> None:
    """Prepare the streams, the environment and the signal handlers that every command relies on."""
    _open_closed_streams()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # a file that cannot be read is reported by this program
    # About odd files, which this program reports itself; of some, highdicom would print the patient's name.
    warnings.filterwarnings("ignore", module=r"(PIL|pydicom|highdicom)\.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    _ensure_home_folder()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup has it ignored
            signal.signal(signal.SIGHUP, _terminate)


def _open_closed_streams() -> None:
    """Open standard streams that were closed before the start: else the next file, a model, would get what is printed."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is the stream's own
            setattr(sys, name, os.fdopen(handle, "r" if name == "stdin" else "w"))


def _ensure_home_folder() -> None:
    """Give a user without a home folder one for this run: the libraries that keep caches there fail in ways of their own."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.mkdtemp(prefix="covid19-")
        atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
        print(
            "warning: this user has no home folder, so nothing is kept for the next run; expected HOME to be set: set it, or "
            "give a folder with --cache-dir",
            file=sys.stderr,
        )


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated(number)


def _print_error(text: str, code: int) -> int:
    """Print one line of error and return the exit code."""
    with suppress(OSError):  # where the line cannot be printed, the exit code still tells
        print(f"error: {printable(' '.join(text.split()))}", file=sys.stderr, flush=True)
    return code
