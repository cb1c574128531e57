"""How answers are printed, one as soon as it is known: as a table, as JSON or as CSV, each with what is known of the model."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TextIO

from covid19.audit.explanation import advise
from covid19.core.console import printable, say
from covid19.core.outputs import json_text
from covid19.model.novelty import OUT_OF_DISTRIBUTION_PERCENTILE

# By which spreadsheets know a formula, the full-width ones included, which some of them turn into the others.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True)
class Answer:
    """The answer for one image.

    Attributes:
        file: as given.
        label: the predicted class; '' for a file that cannot be read or is not like the training images.
        probabilities: calibrated, by class; empty for a file that cannot be read.
        novelty_percentile: percentile of its distance to the training images, 0 to 100; None for a file that cannot be read.
        problem: why there is no label, or ''.
        heat_on_lungs: fraction of the heat map for the predicted class that lies on the lungs; None where none were found or
            the model was trained without looking for them.
    """

    file: str
    label: str
    probabilities: dict[str, float]
    novelty_percentile: float | None
    problem: str
    heat_on_lungs: float | None = None


def unanswered(file: str, problem: str) -> Answer:
    """The answer for a file that cannot be read, or for which the model gives no number."""
    return Answer(file, "", {}, None, problem)


class Writer(Protocol):
    """Takes answers one by one, between a `begin` and an `end`."""

    def begin(self) -> None:
        """Write what stands above."""

    def answer(self, answer: Answer) -> None:
        """Write one answer."""

    def end(self) -> None:
        """Write what stands below."""


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
        say(describe_model(self._about))
        say(f"\n{'file':<{self._width}}  {'label':<{self._label}}  {'  '.join(self._classes)}  novelty  on lungs")

    def answer(self, answer: Answer) -> None:
        """Print one line."""
        line = f"{printable(answer.file):<{self._width}}  {answer.label or '-':<{self._label}}"
        for name in self._classes:
            probability = f"{answer.probabilities[name]:.3f}" if answer.probabilities else "-"
            line += f"  {probability:>{len(name)}}"
        percentile = "-" if answer.novelty_percentile is None else f"{answer.novelty_percentile:.1f}"
        on_lungs = "-" if answer.heat_on_lungs is None else f"{answer.heat_on_lungs:.2f}"
        say(f"{line}  {percentile:>7}  {on_lungs:>8}  {answer.problem}".rstrip())

    def end(self) -> None:
        """Write what stands below."""
        say(
            "\nNovelty: percentile of the distance to the training images; "
            f"beyond {OUT_OF_DISTRIBUTION_PERCENTILE:g} no label is given. On lungs: fraction of the heat map on them."
        )
        say(str(self._about["notice"]))


class JsonWriter:
    """One JSON object, written as the answers come: what is known of the model, then `answers`."""

    def __init__(self, classes: Sequence[str], about: dict[str, Any], files: Sequence[str]) -> None:
        self._about, self._first = about, True

    def begin(self) -> None:
        """Write what stands above."""
        sys.stdout.write(json_text({"model": self._about})[:-1] + ', "answers": [')

    def answer(self, answer: Answer) -> None:
        """Print one object of the list."""
        sys.stdout.write(("\n" if self._first else ",\n") + json_text(asdict(answer)))
        sys.stdout.flush()
        self._first = False

    def end(self) -> None:
        """Write what stands below."""
        say("\n]}")


class CsvWriter:
    """A row for each answer; the last columns carry the model's numbers, the audit's verdict and the notice.

    Text cells are written as `csv_cell` has them: a file's name may hold anything, and the table may be opened in a spreadsheet
    or shown on a terminal.
    """

    def __init__(
        self, classes: Sequence[str], about: dict[str, Any], files: Sequence[str], output: TextIO | None = None
    ) -> None:
        self._classes, self._about = classes, describe_model(about)
        self._notice = about["notice"]
        self._output = output or sys.stdout
        self._writer = csv.writer(self._output, lineterminator="\n")

    def begin(self) -> None:
        """Write what stands above."""
        probabilities = [f"probability_{name}" for name in self._classes]
        self._write("file", "label", *probabilities, "novelty_percentile", "problem", "heat_on_lungs", "model", "notice")

    def answer(self, answer: Answer) -> None:
        """Print one row."""
        probabilities = [answer.probabilities.get(name, "") for name in self._classes]
        percentile = "" if answer.novelty_percentile is None else answer.novelty_percentile
        on_lungs = "" if answer.heat_on_lungs is None else answer.heat_on_lungs
        self._write(answer.file, answer.label, *probabilities, percentile, answer.problem, on_lungs, self._about, self._notice)
        self._output.flush()

    def end(self) -> None:
        """Write what stands below."""
        self._output.flush()

    def _write(self, *cells: str | float) -> None:
        self._writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in cells])


def csv_cell(text: str) -> str:
    r"""Text for a cell of a CSV table that neither a spreadsheet nor a terminal obeys.

    Control characters, and what is no text, become escapes such as `\x1b`. A cell that begins with a sign by which a
    spreadsheet knows a formula gets a `'` before it (OWASP, "CSV injection"). Numbers are not text: a negative one stays one.
    """
    return f"'{printable(text)}" if text.startswith(FORMULA_SIGNS) else printable(text)


def describe_model(about: dict[str, Any]) -> str:
    """What is known of the model, in one line."""
    numbers, audit = about["cross_validation"], about["audit"]
    names = {"accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity", "AUC": "roc_auc"}
    parts = [f"{name} {_with_interval(numbers[key])}" for name, key in names.items()] if numbers else []
    measured = f"cross-validated {', '.join(parts)}" if parts else "not cross-validated"
    words = audit["words"] if audit else advise(None)
    return f"Model: base with weights '{about['base']}', {measured}. {words}"


def _with_interval(metric: dict[str, float | None]) -> str:
    value, low, high = ("undefined" if metric[key] is None else f"{metric[key]:.2f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
