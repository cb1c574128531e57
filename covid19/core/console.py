"""What the user sees while a run goes on: a bar on a terminal, a few plain lines anywhere else."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

BOLD = "1"
# ANSI; by the audit's verdict, and by the status of a model on another data set.
COLOURS = {
    "explained": "1;31", "present": "1;33", "none-found": "1;32", "too-few": "1;33",
    "FAILS": "1;31", "WORSE": "1;33", "HOLDS": "1;32", "ONLY POSITIVES": "1;33", "ONLY NEGATIVES": "1;33",
}  # fmt: skip
MAX_LINES_OF_A_KIND = 20  # of one kind: of a large data set, a line for each file would bury everything else


def printable(text: str) -> str:
    """Text with escapes for what a terminal would obey or cannot show: a file's name may hold anything."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


@contextmanager
def above_progress() -> Iterator[None]:
    """Take a progress bar off the terminal while lines are written, so that they do not stand in one line with it."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)  # no bar is shown where it has not been imported
    if tqdm is None:
        yield
        return
    with tqdm.external_write_mode():
        yield


def _fitted(text: str, stream: TextIO) -> str:
    """Printable text, whose lines are broken between words where they are longer than the terminal is wide.

    Into a pipe or a file lines go as they are, so that they can be searched.
    """
    lines = [printable(line) for line in text.split("\n")]
    if not stream.isatty():
        return "\n".join(lines)
    width = shutil.get_terminal_size().columns
    broken = (line if len(line) <= width else _broken(line, width) for line in lines)
    return "\n".join(broken)


def _broken(line: str, width: int) -> str:
    margin = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print lines at once, also into a pipe; to standard output unless another stream is given."""
    with above_progress():
        print(_fitted(text, stream or sys.stdout), file=stream, flush=True)


def say_status(text: str, verdict: str | None) -> None:
    """Print a line with its first words, up to a colon, in the colour of a verdict or status on a terminal.

    Not if NO_COLOR is set, see https://no-color.org.
    """
    status, colon, rest = _fitted(printable(text), sys.stdout).partition(":")
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        status = f"\x1b[{COLOURS.get(verdict or '', BOLD)}m{status}\x1b[0m"
    print(f"\n{status}{colon}{rest}", flush=True)


def warn(text: str) -> None:
    """Print one line of warning on standard error."""
    with above_progress():
        print(_fitted(f"warning: {printable(text)}", sys.stderr), file=sys.stderr, flush=True)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of text: the first column flush left, the others flush right."""
    first, *others = (max(map(len, column)) for column in zip(head, *rows, strict=True))
    return [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))])
        for name, *cells in (head, *rows)
    ]


def shortened(lines: Sequence[str], more: str = "more") -> list[str]:
    """The first `MAX_LINES_OF_A_KIND` lines, and one that says how many were left out.

    Args:
        lines: of one kind.
        more: what the last line counts.
    """
    left_out = len(lines) - MAX_LINES_OF_A_KIND
    return [*lines[:MAX_LINES_OF_A_KIND], f"... and {left_out} {more}"] if left_out > 0 else list(lines)


class Progress:
    """Progress of one step; `with Progress("extracting", 150, "views") as progress: progress.advance(32)`.

    Args:
        name: of the step.
        total: what `advance` adds up to.
        unit: what is counted, in the plural.
        plain: whether to print lines where there is no terminal.
    """

    def __init__(self, name: str, total: int, unit: str, plain: bool = True) -> None:
        self._name, self._total, self._unit, self._plain = name, total, unit, plain
        self._done = 0
        from tqdm import tqdm  # takes 40 ms, which usage errors and `printable` need not wait for

        self._bar = tqdm(total=total, desc=name, unit=f" {unit}", leave=False, disable=None, dynamic_ncols=True)

    def advance(self, count: int, text: str = "") -> None:
        """Count on, with a text that says how it goes; plain output gets about ten lines in all."""
        before, self._done = self._done, self._done + count
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(count)
        if self._plain and self._bar.disable and self._done * 10 // self._total > before * 10 // self._total:
            say(f"{self._name}: {self._done}/{self._total} {self._unit}{'  ' + text if text else ''}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()


class Stopwatch:
    """Wall-clock seconds by step: `with watch("extract"): ...`, then `watch.seconds`."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time the block under a step's name."""
        begin = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - begin, 3)

    def total(self) -> dict[str, float]:
        """The seconds of each step, and `total` since the watch was made."""
        return {**self.seconds, "total": round(time.perf_counter() - self._start, 3)}
