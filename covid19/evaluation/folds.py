"""The folds of a cross-validation: labels and groups in, positions of training and held-out images out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from covid19.core.arrays import IndexArray
from covid19.core.console import warn

MAX_DIVISIONS = 20  # drawn for each repeat until every class is in each training part


class Fold(NamedTuple):
    """Positions of the training and of the held-out images, intp, disjoint."""

    train: IndexArray
    held_out: IndexArray


def make_folds(labels: Sequence[int], groups: Sequence[int], folds: int, repeats: int, seed: int) -> list[list[Fold]]:
    """Divide the images into folds, several times: stratified by class, no group in both parts of a fold.

    Args:
        labels: class of each image.
        groups: of each image; images of one number stay together.
        folds: parts; fewer, with a warning, where a class has fewer groups.
        repeats: divisions.
        seed: of all divisions.

    Returns:
        For each repeat its folds; empty where a class has a single group, or every division leaves a class untrained.
    """
    label, group = np.asarray(labels), np.asarray(groups)
    fewest = min(len(np.unique(group[label == number])) for number in np.unique(label))
    if fewest < folds:
        warn(f"cross-validation with {fewest} folds, not {folds}: a class has {fewest} patients")
    if fewest < 2:
        return []
    divisions = []
    for repeat in range(repeats):
        for attempt in range(MAX_DIVISIONS):
            state = int(np.random.default_rng((seed, repeat, attempt)).integers(2**31))
            divider = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=state)
            division = [Fold(*fold) for fold in divider.split(label, label, group)]
            if all(len(np.unique(label[fold.train])) == len(np.unique(label)) and len(fold.held_out) for fold in division):
                divisions.append(division)
                break
    return divisions


def folds_within(divisions: Sequence[Sequence[Fold]], at: IndexArray, count: int) -> list[list[Fold]]:
    """The same folds among some of the images.

    Args:
        divisions: of all images.
        at: positions of those to keep, sorted.
        count: of all images.
    """
    place = np.full(count, -1)
    place[at] = np.arange(len(at))
    return [[Fold(*(own[own >= 0] for own in (place[fold.train], place[fold.held_out]))) for fold in one] for one in divisions]
