"""How answers are printed, one as soon as it is known: as a table, as JSON or as CSV, each with what is known of the model."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol, TextIO

import msgspec

from covid19.core.console import above_progress, printable, say, warn
from covid19.core.outputs import json_text
from covid19.inference.about import describe_model
from covid19.inference.answer import Answer, remark
from covid19.inference.comparison import Comparison, describe_comparison
from covid19.model.novelty import OUT_OF_DISTRIBUTION_PERCENTILE
from covid19.model.shift import ShiftResult

# By which spreadsheets know a formula, the full-width ones included, which some of them turn into the others.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Writer(Protocol):
    """Takes answers one by one, between a `begin` and an `end`."""

    def begin(self) -> None:
        """Write what stands above."""

    def answer(self, answer: Answer) -> None:
        """Write one answer."""

    def end(self, shift: ShiftResult | None, comparison: Comparison | None) -> None:
        """Write what stands below.

        Args:
            shift: whether the images look like the training images as a whole, if that is known.
            comparison: with the truth, if that is known.
        """


class TextWriter:
    """A table for a terminal, with what is known of the model above and the notice below.

    Args:
        classes: in the order of the model's outputs.
        about: from `Predictor.about`.
        files: all that will be answered for, for the width of the first column.
    """

    def __init__(self, classes: Sequence[str], about: dict[str, Any], files: Sequence[str]) -> None:
        self._classes, self._about = classes, about
        self._width = min(100, max(len("file"), *map(len, files)))
        self._label = max(len("label"), *map(len, classes))

    def begin(self) -> None:
        """Write what stands above."""
        about = self._about
        say(f"{about['status']}: {about['verdict']}\n{describe_model(about)}\n{about['decision']}")
        say(f"\n{'file':<{self._width}}  {'label':<{self._label}}  {'  '.join(self._classes)}  novelty  on lungs")

    def answer(self, answer: Answer) -> None:
        """Print one line."""
        line = f"{printable(answer.file):<{self._width}}  {answer.label or '-':<{self._label}}"
        for name in self._classes:
            probability = f"{answer.probabilities[name]:.3f}" if answer.probabilities else "-"
            line += f"  {probability:>{len(name)}}"
        percentile = "-" if answer.novelty_percentile is None else f"{answer.novelty_percentile:.1f}"
        on_lungs = "-" if answer.heat_on_lungs is None else f"{answer.heat_on_lungs:.2f}"
        say(f"{line}  {percentile:>7}  {on_lungs:>8}  {remark(answer)}".rstrip())

    def end(self, shift: ShiftResult | None, comparison: Comparison | None) -> None:
        """Write what stands below."""
        if comparison:
            say(f"\n{describe_comparison(comparison, self._about['status'], self._about['verdict'])}")
        if shift:
            say(f"\n{shift.words}")
        say(
            "\nNovelty: percentile of the distance to the training images; "
            f"beyond {OUT_OF_DISTRIBUTION_PERCENTILE:g} no label is given. On lungs: fraction of the heat map on them."
        )
        say(str(self._about["notice"]))


class JsonWriter:
    """One JSON object, written as the answers come, each on its own line: what is known of the model, then `answers`."""

    def __init__(self, classes: Sequence[str], about: dict[str, Any], files: Sequence[str]) -> None:
        self._about, self._ahead = about, len(files)

    def begin(self) -> None:
        """Write what stands above."""
        self._print(json_text({"model": self._about})[:-1] + ', "answers": [')

    def answer(self, answer: Answer) -> None:
        """Print one object of the list."""
        self._ahead -= 1
        self._print(json_text(asdict(answer)) + ("," if self._ahead else ""))

    def end(self, shift: ShiftResult | None, comparison: Comparison | None) -> None:
        """Write what stands below; the comparison has the model's verdict beside it."""
        verdict = {name: self._about[name] for name in ("status", "verdict")} if comparison else {}
        compared = verdict | msgspec.to_builtins(comparison) if comparison else None
        self._print(f'], "shift": {json_text(msgspec.to_builtins(shift))}, "comparison": {json_text(compared)}}}')

    def _print(self, line: str) -> None:
        with above_progress():
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


class CsvWriter:
    """A row for each answer; further columns carry the audit's verdict, the threshold, the model's numbers and the notice.

    Text cells are written as `csv_cell` has them: a file's name may hold anything, and the table may be opened in a spreadsheet
    or shown on a terminal.
    """

    def __init__(
        self, classes: Sequence[str], about: dict[str, Any], files: Sequence[str], output: TextIO | None = None
    ) -> None:
        self._classes = classes
        self._before, self._verdict = (about["status"],), about["verdict"]
        threshold = "" if about["threshold"] is None else about["threshold"]
        self._after = (threshold, f"{about['verdict']} {describe_model(about)}", about["notice"])
        self._output = output or sys.stdout
        self._writer = csv.writer(self._output, lineterminator="\n")

    def begin(self) -> None:
        """Write what stands above."""
        probabilities = [f"probability_{name}" for name in self._classes]
        self._write(
            "file", "verdict", "label", *probabilities, "novelty_percentile", "problem", "heat_on_lungs", "training_image",
            "threshold", "model", "notice",
        )  # fmt: skip

    def answer(self, answer: Answer) -> None:
        """Print one row."""
        probabilities = [answer.probabilities.get(name, "") for name in self._classes]
        percentile = "" if answer.novelty_percentile is None else answer.novelty_percentile
        on_lungs = "" if answer.heat_on_lungs is None else answer.heat_on_lungs
        own = (answer.label, *probabilities, percentile, answer.problem, on_lungs, answer.training_image)
        self._write(answer.file, *self._before, *own, *self._after)

    def end(self, shift: ShiftResult | None, comparison: Comparison | None) -> None:
        """Say the rest on standard error: a line that is no row would break the table."""
        if comparison:
            say(describe_comparison(comparison, *self._before, self._verdict), sys.stderr)
        if shift and shift.shifted:
            warn(shift.words)

    def _write(self, *cells: str | float) -> None:
        with above_progress():
            self._writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in cells])
            self._output.flush()


def csv_cell(text: str) -> str:
    r"""Text for a cell of a CSV table that neither a spreadsheet nor a terminal obeys.

    Control characters, and what is no text, become escapes such as `\x1b`. A cell that begins with a sign by which a
    spreadsheet knows a formula gets a `'` before it (OWASP, "CSV injection"). Numbers are not text: a negative one stays one.
    """
    return f"'{printable(text)}" if text.startswith(FORMULA_SIGNS) else printable(text)
