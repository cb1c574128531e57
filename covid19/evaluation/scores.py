"""A model's scores laid beside the images of a data set: which image has which score, and in which folds it was held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from covid19.core.arrays import BoolArray, Float64Array, IndexArray
from covid19.core.errors import InputError
from covid19.data.columns import Entry
from covid19.data.metadata import Metadata
from covid19.evaluation.folds import Fold
from covid19.evaluation.score_table import ScoreRow, ScoreTable

MAX_FOLDS = 50  # of one repeat: each is a regression for every probe


class Scores(NamedTuple):
    """The scores of some images of a data set.

    Attributes:
        at: the images' positions in the data set, sorted, (m,).
        values: their scores, the mean over the repeats, (m,).
        folds: of each repeat the fold of each image, where the table names folds and each repeat has every image; else empty.
        repeats: how many scores an image has at most.
        unmatched_rows: rows whose image is not in the data set.
    """

    at: IndexArray
    values: Float64Array
    folds: tuple[tuple[str, ...], ...]
    repeats: int
    unmatched_rows: int


def match_scores(table: ScoreTable, names: Sequence[str], flag: str) -> Scores:
    """Find the score of each image.

    Args:
        table: from `read_scores`.
        names: the images' paths, relative to the data set's root.
        flag: that named the table, for messages.

    Raises:
        InputError: no row, or fewer than half of the images, could be matched, or an image has two scores in one repeat.
    """
    by_image: dict[str, list[ScoreRow]] = defaultdict(list)
    for row in table.rows:
        by_image[row.image].append(row)
    keys = Metadata(table.path, len(table.rows), dict.fromkeys(by_image, Entry()), ()).match(names)
    at = [position for position, name in enumerate(names) if name in keys]
    if 2 * len(at) < len(names):
        raise InputError(
            f"{flag} '{table.path}' has scores of {len(at)} of {len(names)} images (a row is of '{table.rows[0].image}', an "
            f"image is '{next(iter(names), '')}'); expected one for each image, named by its path in the data set, or by its "
            "name where that is the only one: give the table of these images"
        )
    by_repeat = [_by_repeat(table.path, by_image[keys[names[position]]], flag) for position in at]
    values = [float(np.mean([row.score for row in rows.values()])) for rows in by_repeat]
    matched = set(keys.values())
    unmatched = sum(len(rows) for image, rows in by_image.items() if image not in matched)
    return Scores(np.array(at, np.intp), np.array(values), _folds(by_repeat), max(map(len, by_repeat)), unmatched)


def _by_repeat(path: Path, rows: Sequence[ScoreRow], flag: str) -> dict[str, ScoreRow]:
    """The rows of one image by their repeat."""
    found: dict[str, ScoreRow] = {}
    for row in rows:
        earlier = found.setdefault(row.repeat, row)
        if earlier != row:
            where = f"repeat '{row.repeat}'" if row.repeat else "the table"
            raise InputError(
                f"{flag} '{path}': '{row.image}' has two scores in {where}, {earlier.score:g} and {row.score:g}; expected one, "
                "out of fold: leave one out or, if they are of several cross-validations, number these in a column 'repeat'"
            )
    return found


def _folds(by_repeat: Sequence[dict[str, ScoreRow]]) -> tuple[tuple[str, ...], ...]:
    """Of each repeat the fold of each image; empty where one is missing."""
    repeats = sorted({repeat for rows in by_repeat for repeat in rows})
    if any(len(rows) < len(repeats) or not all(row.fold for row in rows.values()) for rows in by_repeat):
        return ()
    return tuple(tuple(rows[repeat].fold for rows in by_repeat) for repeat in repeats)


def given_divisions(folds: Sequence[Sequence[str]], positive: BoolArray) -> list[list[Fold]]:
    """The folds of a table as positions; empty where they cannot serve: one alone, too many, or one that trains on one side.

    Args:
        folds: of each repeat the fold of each image.
        positive: bool (m,), of the same images.
    """
    divisions = []
    for names in folds:
        member = np.unique(np.array(names), return_inverse=True)[1]
        count = int(member.max()) + 1
        division = [Fold(np.flatnonzero(member != fold), np.flatnonzero(member == fold)) for fold in range(count)]
        if not 2 <= count <= MAX_FOLDS or any(len(set(positive[fold.train].tolist())) < 2 for fold in division):
            return []
        divisions.append(division)
    return divisions


def shared_across(divisions: Sequence[Sequence[Fold]], groups: Sequence[int]) -> int:
    """How many images were held out, in some fold, from a training part that has others of their patient, or duplicates."""
    group = np.asarray(groups)
    shared = np.zeros(len(group), bool)
    for division in divisions:
        for fold in division:
            shared[fold.held_out] |= np.isin(group[fold.held_out], group[fold.train])
    return int(shared.sum())
