"""The scores that any model gave images, as a table has them: a CSV file or an Excel workbook in, rows of numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from covid19.core.errors import InputError
from covid19.data.columns import MEANINGS, plain_name
from covid19.data.metadata import comparable
from covid19.data.tables import open_table

# What the column of the positive class's score may be called, without case, spaces and signs.
SCORE_COLUMNS = ("score", "probability", "prob", "prediction", "pred", "yscore", "yprob", "ypred", "logit", "output")
CLASS_PREFIXES = ("", "probability", "prob", "score", "p", "logit")  # of a class's name as a column
FOLD_COLUMNS, REPEAT_COLUMNS = ("fold", "cvfold", "split"), ("repeat", "repetition", "run")
SHOWN_CHARACTERS = 200  # of a table's header in a message


class ScoreRow(NamedTuple):
    """One score of one image.

    Attributes:
        image: path or name of the image, in lower case, with '/' between folders.
        score: finite, higher for the positive class.
        fold: the part of the cross-validation in which the image was held out; '' without such a column.
        repeat: the cross-validation; '' without such a column.
    """

    image: str
    score: float
    fold: str
    repeat: str


@dataclass(frozen=True)
class ScoreTable:
    """A table read.

    Attributes:
        path: the file.
        columns: those that the scores come from.
        rows: in the order of the file.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[ScoreRow, ...]


def read_scores(path: Path, classes: Sequence[str], positive: str, flag: str) -> ScoreTable:
    """Read the scores of images.

    A table has a column of the images' paths or names, and one score, or one for each class: then the positive class's column
    counts if all lie in [0, 1], as probabilities do, and otherwise its softmax against the others, as of logits.

    Args:
        path: of the table, see `data.tables`.
        classes: of the data set.
        positive: the positive class.
        flag: that named the table, for messages.

    Raises:
        InputError: it cannot be read, lacks a column, or has a cell that is no number.
    """
    with open_table(path) as (header, rows):
        columns = _Columns(path, header, classes, positive, flag)
        read, numbers, problems = [], [], []
        for line, row in enumerate(rows, 2):
            if not any(cell.strip() for cell in row):
                continue
            image, texts = columns.image(row), [_cell(row, at) for at in columns.scores]
            values = [_number(text) for text in texts]
            if not image:
                problems.append(f"row {line} names no image")
            elif not all(map(math.isfinite, values)):
                odd = next(text for text, value in zip(texts, values, strict=True) if not math.isfinite(value))
                problems.append(f"row {line} has '{odd[:40]}' as a score")
            else:
                read.append((image, columns.fold(row), columns.repeat(row)))
                numbers.append(values)
    if problems:
        raise InputError(
            f"{flag} '{path}': {problems[0]} ({len(problems)} such rows in all); expected an image and a finite number in "
            "each: mend these rows, or leave them out"
        )
    if not read:
        raise InputError(f"{flag} '{path}' has no rows; expected a score for each image: give another table")
    scores = _positive_scores(np.array(numbers, np.float64), columns.positive_at)
    found = tuple(
        ScoreRow(image, score, fold, repeat) for (image, fold, repeat), score in zip(read, scores.tolist(), strict=True)
    )
    return ScoreTable(path, tuple(header[at] for at in columns.scores), found)


def _positive_scores(values: np.ndarray, positive: int) -> np.ndarray:
    """One score for each row of one column, or of a column for each class."""
    own = values[:, positive]
    if values.shape[1] == 1 or (values.min() >= 0 and values.max() <= 1):
        return own
    return np.asarray(own - logsumexp(np.delete(values, positive, axis=1), axis=1))


class _Columns:
    """Which column of a table is what.

    Args:
        path, header: of the table.
        classes, positive, flag: as `read_scores` takes them.

    Raises:
        InputError: the table names no image or has no score.
    """

    def __init__(self, path: Path, header: Sequence[str], classes: Sequence[str], positive: str, flag: str) -> None:
        plain = [plain_name(name) for name in header]
        shown = ", ".join(header)[:SHOWN_CHARACTERS] or "nothing"
        self._image = _first(plain, MEANINGS["file"])
        if self._image is None:
            raise InputError(
                f"{flag} '{path}' has no column that names the image (it has: {shown}); expected one called image, file or "
                "path: name it so"
            )
        twice = sorted({name for name in plain if name and plain.count(name) > 1})
        if twice:
            raise InputError(f"{flag} '{path}' has the column '{twice[0]}' twice; expected each once: leave one out")
        by_class = {name: _first(plain, [prefix + plain_name(name) for prefix in CLASS_PREFIXES]) for name in classes}
        given = {name: at for name, at in by_class.items() if at is not None and at != self._image}
        single = _first(plain, SCORE_COLUMNS)
        if len(given) == len(classes) or (positive in given and single is None):
            kept = given if len(given) == len(classes) else {positive: given[positive]}
            self.scores, self.positive_at = tuple(kept.values()), list(kept).index(positive)
        elif single is not None:
            self.scores, self.positive_at = (single,), 0
        else:
            raise InputError(
                f"{flag} '{path}' has no score that is known (it has: {shown}); expected a column 'score', higher for "
                f"'{positive}', or one for each class, named {', '.join(classes)}: name the columns so, or "
                "choose the class of the score with --positive"
            )
        self._fold, self._repeat = _first(plain, FOLD_COLUMNS), _first(plain, REPEAT_COLUMNS)

    def image(self, row: Sequence[str]) -> str:
        """The image's path with '/' between folders, in lower case; '' if the row names none."""
        path = comparable(_cell(row, self._image).replace("\\", "/"))
        return "/".join(part for part in path.split("/") if part not in ("", "."))

    def fold(self, row: Sequence[str]) -> str:
        """The fold; '' without such a column."""
        return _cell(row, self._fold)

    def repeat(self, row: Sequence[str]) -> str:
        """The repeat; '' without such a column."""
        return _cell(row, self._repeat)


def _first(plain: Sequence[str], names: Sequence[str]) -> int | None:
    """The position of the first of some names that is a column."""
    return next((plain.index(name) for name in names if name in plain), None)


def _cell(row: Sequence[str], at: int | None) -> str:
    return row[at].strip() if at is not None and at < len(row) else ""


def _number(text: str) -> float:
    """A number, also with a comma for the decimal point; NaN for what is none."""
    try:
        return float(text if "." in text else text.replace(",", ".", 1))
    except ValueError:
        return math.nan
