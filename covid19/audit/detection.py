"""The detection limit: the smallest shortcut that an audit of this data set would have found, by simulation.

A marker, as technicians leave in a corner, is planted into the border rings that were measured, in more and more of one class
and less and less of the other, and the border ring's probe is tested as in the audit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covid19.audit.probes import LabelledFolds, aucs_of, permuted, ridge_scores
from covid19.audit.result import DetectionLimit
from covid19.core.arrays import BoolArray, Float64Array, IndexArray
from covid19.data.measurements.border_ring import BORDER_RING, GRID
from covid19.data.measurements.measurement import JsonValue
from covid19.evaluation.bootstrap import roc_auc
from covid19.evaluation.folds import folds_within

POWER = 0.8
PLANTINGS = 20  # at each share
PERMUTATIONS = 200
MAX_IMAGES = 2000  # that are simulated: of more, the limit of so many is one that holds for all
SHARES = tuple(percent / 100 for percent in range(55, 101, 5))  # of one class; the other has the rest
# A letter of a fifteenth of the side, grey level 200, fills about a sixth of each of these two cells, see `border_ring`.
MARKER_GREY_LEVEL = 200
MARKER_OPACITY = 1 / 6
MARKER_CELLS = (0, GRID)  # the corner and the cell below it, in the order of the ring


def detection_limit(rings: Sequence[JsonValue], folds: LabelledFolds, level: float) -> DetectionLimit:
    """Find the smallest share of marked patients at which the audit finds the marker in 80 % of the plantings.

    Of the run's repeats of the cross-validation one is used, which has a little less power than all of them.

    Args:
        rings: the border ring of each image, as it was measured.
        folds: labels, patients and folds.
        level: at which the probe must be significant, after correction for the number of probes.
    """
    at, once = _sampled(folds._replace(divisions=folds.divisions[:1]))
    table = BORDER_RING.as_numbers([rings[i] for i in at])
    labels = permuted(once)[:, :PERMUTATIONS]
    by_chance = aucs_of(ridge_scores(table, labels, once.divisions), labels)[1:]
    critical = float(np.quantile(by_chance, 1 - level))
    generator = np.random.default_rng(folds.seed)
    low, high = 0, len(SHARES)  # the first share that is enough lies in [low, high]; `high` past the end is none
    while low < high:
        middle = (low + high) // 2
        found = [_finds(table, once, SHARES[middle], critical, generator) for _ in range(PLANTINGS)]
        low, high = (low, middle) if np.mean(found) >= POWER else (middle + 1, high)
    return DetectionLimit(SHARES[low] if low < len(SHARES) else None, POWER, PLANTINGS)


def _sampled(folds: LabelledFolds) -> tuple[IndexArray, LabelledFolds]:
    """The positions of the images to simulate, all or those of patients drawn by the seed, and the folds among them."""
    groups = np.asarray(folds.groups)
    if len(groups) <= MAX_IMAGES:
        return np.arange(len(groups)), folds
    patients, sizes = np.unique(groups, return_counts=True)
    order = np.random.default_rng(folds.seed).permutation(len(patients))
    at = np.flatnonzero(np.isin(groups, patients[order[sizes[order].cumsum() <= MAX_IMAGES]]))
    divisions = folds_within(folds.divisions, at, len(groups))
    return at, LabelledFolds(folds.positive[at], groups[at].tolist(), divisions, folds.seed)


def _finds(table: Float64Array, folds: LabelledFolds, share: float, critical: float, generator: np.random.Generator) -> bool:
    """Whether the marker is found when a share of the positive patients, and the rest of the others, have it."""
    marked = table.copy()
    rows = np.flatnonzero(_marked(folds, share, generator))[:, None]
    cells = np.array([3 * cell + channel for cell in MARKER_CELLS for channel in range(3)])
    marked[rows, cells] += MARKER_OPACITY * (MARKER_GREY_LEVEL - marked[rows, cells])
    scores = ridge_scores(marked, folds.positive[:, None].astype(float), folds.divisions)[:, 0]
    return roc_auc(scores, folds.positive) >= critical


def _marked(folds: LabelledFolds, share: float, generator: np.random.Generator) -> BoolArray:
    """Which images have the marker: all of a patient's or none; a patient of both classes counts to that of the first image."""
    _, first, member = np.unique(np.asarray(folds.groups), return_index=True, return_inverse=True)
    positive = folds.positive[first]
    has_marker = np.zeros(len(first), bool)
    for side, fraction in ((positive, share), (~positive, 1 - share)):
        own = np.flatnonzero(side)
        has_marker[generator.permutation(own)[: round(fraction * len(own))]] = True
    return np.asarray(has_marker[member])
