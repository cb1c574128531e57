"""Intervals by resampling patients: images and their groups in, percentiles of any weighted number out.

A resample gives each image a weight, how many times its patient was drawn. ROC AUC, average precision and the curves are
computed here for many resamples at once, and everywhere else by the same code: scikit-learn's `roc_auc_score` takes about a
millisecond a call, and a report with its permutation tests needs tens of thousands; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import t as student

from covid19.core.arrays import BoolArray, Float64Array
from covid19.evaluation.proportions import proportion

Name = TypeVar("Name", bound=Hashable)
Statistics = Callable[[Float64Array], Mapping[Name, Float64Array]]

RESAMPLES = 2000
MAX_WEIGHTS = 2_000_000  # held at once, 16 MB
BINS = 10  # of the reliability diagram and the calibration error
INTERVAL_ENDS = (0.025, 0.975)  # quantiles
ELLIPSE_POINTS = 721  # of half a degree
NO_SPREAD = 1e-9  # a number that differs by less between resamples is constant, but for rounding
CALIBRATED_DATA_SETS = 400  # drawn from the probabilities themselves


@dataclass(frozen=True)
class Resampled(Generic[Name]):
    """Numbers in (0, 1) by name, and their values in the resamples of a bootstrap of whole groups; from `resample`.

    Attributes:
        measured: each number.
        drawn: its values in the resamples, (resamples,).
        groups: number of groups.
        smallest: groups of the class that has the fewest.
        quantile: Student's, for 95 % intervals.
    """

    measured: dict[Name, float]
    drawn: dict[Name, Float64Array]
    groups: int
    smallest: int
    quantile: float

    def intervals(self) -> dict[Name, tuple[float, float]]:
        """95 % intervals of the numbers: low and high end by name.

        Symmetric on the logit's scale, where such numbers are nearer to normal: the logit interval of Boyd, Eng and Page (ECML
        2013), with Student's quantile; simulated, it covers in 88 to 99 % where percentiles cover in 82 to 100. The spread of
        the resamples' own logits would make it up to twice as wide: a resample without errors is far out. A number that is 0 or
        1 is so in every resample, whose spread is 0: then Wilson's limits for the smallest class's groups, all right or all
        wrong.
        """
        return {name: self._interval(name, self.smallest) for name in self.measured}

    def differences(self, minuend: Name) -> dict[Name, tuple[float, float]]:
        """95 % intervals of one number less each of the others: low and high end by the name of what is subtracted.

        Both numbers move by the arms of their own intervals, along the ellipse of their correlation in the resamples; the
        limits are the extremes of their difference. Where each moves towards the other, this is the recovery of variances (Zou
        and Donner, Statistics in Medicine 27:1693, 2008). Simulated, it covers in 92 to 99 %
        (`benchmarks/results/coverage.md`), also where a number is near 1, where the spread of the resamples' differences alone
        gives too narrow an interval. A number that is 0 or 1 has Wilson's limits for all groups, right or wrong: the smallest
        class's alone, as `intervals` has them, are so wide that no difference would be shown.

        Args:
            minuend: the name of the number that the others are subtracted from.
        """
        measured, drawn = self.measured, self.drawn
        arms = {name: np.subtract(self._interval(name, self.groups), value) for name, value in measured.items()}
        angles = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS)
        limits = {}
        for name in (name for name in measured if name != minuend):
            spread = min(drawn[minuend].std(), drawn[name].std())
            alike = float(np.corrcoef(drawn[minuend], drawn[name])[0, 1]) if spread > NO_SPREAD else 0.0
            other = alike * np.cos(angles) + np.sqrt(max(0.0, 1 - alike**2)) * np.sin(angles)
            moved = measured[minuend] - measured[name] + _move(np.cos(angles), arms[minuend]) - _move(other, arms[name])
            limits[name] = max(-1.0, float(moved.min())), min(1.0, float(moved.max()))
        return limits

    def _interval(self, name: Name, trials: int) -> tuple[float, float]:
        value = self.measured[name]
        if value in (0, 1):
            limits = proportion(round(value * trials), trials)
            return limits.low, limits.high
        error = self.quantile * self.drawn[name].std() / (value * (1 - value))
        return float(expit(logit(value) - error)), float(expit(logit(value) + error))


def resample(statistics: Statistics[Name], groups: Sequence[int], strata: Sequence[int], seed: int = 0) -> Resampled[Name]:
    """Resample numbers by a bootstrap of whole groups (Davison and Hinkley, Bootstrap Methods, 1997, ch. 5).

    Args:
        statistics: from weights (resamples, n) to numbers by name, each (resamples,).
        groups: of each of the n images; images of one number are drawn together.
        strata: of each image; groups are drawn within the stratum of their first image, so that no class is ever missing.
        seed: of the draws.
    """
    group, stratum = np.asarray(groups), np.asarray(strata)
    measured = {name: float(value[0]) for name, value in statistics(np.ones((1, len(group)))).items()}
    blocks = [statistics(weights) for weights in _resamples(group, stratum, seed)]
    drawn = {name: np.concatenate([block[name] for block in blocks]) for name in measured}
    quantile = float(student.ppf(INTERVAL_ENDS[1], max(len(set(groups)) - len(set(strata)), 1)))
    return Resampled(measured, drawn, len(set(groups)), smallest_class(groups, strata), quantile)


def _move(steps: Float64Array, arms: Float64Array) -> Float64Array:
    """Deviations of a number: at a step of -1 its interval's lower arm, which is negative, at 1 the upper arm."""
    return np.asarray(np.where(steps < 0, -steps * arms[0], steps * arms[1]))


def smallest_class(groups: Sequence[int], strata: Sequence[int]) -> int:
    """Groups of the class that has the fewest."""
    return min(len(set(np.asarray(groups)[np.asarray(strata) == stratum])) for stratum in set(strata))


def curve_bands(
    curve: Callable[[Float64Array], Float64Array], groups: Sequence[int], strata: Sequence[int], seed: int = 0
) -> tuple[Float64Array, Float64Array]:
    """Pointwise 95 % band of a curve, by the same bootstrap.

    Args:
        curve: from weights (resamples, n) to heights (resamples, points).
        groups, strata, seed: as `resample` takes them.

    Returns:
        Low and high end, (points,) each.
    """
    heights = np.concatenate([curve(weights) for weights in _resamples(np.asarray(groups), np.asarray(strata), seed)])
    low, high = np.quantile(heights, INTERVAL_ENDS, axis=0)
    return low, high


def _resamples(groups: NDArray[np.intp], strata: NDArray[np.intp], seed: int) -> Iterator[Float64Array]:
    """Weights (up to RESAMPLES, n), in blocks."""
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    generator = np.random.default_rng(seed)
    block = max(1, MAX_WEIGHTS // len(groups))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        counts = np.empty((size, len(first)))
        for stratum in np.unique(strata):
            own = np.flatnonzero(strata[first] == stratum)
            if own.size:
                counts[:, own] = generator.multinomial(own.size, np.full(own.size, 1 / own.size), size)
        yield counts[:, member]


class Ranking:
    """Scores in order, for numbers that depend on nothing but the order.

    Args:
        scores: (n,), higher for the positive class.
        positive: bool (n,).
    """

    def __init__(self, scores: Float64Array, positive: BoolArray) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._positive = positive[self._order]

    def _by_score(self, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Weight of the positives and of the negatives at each distinct score, ascending."""
        ordered = weights[:, self._order]
        positive, negative = (
            np.add.reduceat(ordered * flags, self._starts, axis=1) for flags in (self._positive, ~self._positive)
        )
        return positive, negative

    def roc_auc(self, weights: Float64Array) -> Float64Array:
        """Probability that a positive scores above a negative, ties half (Hanley and McNeil, Radiology 143:29, 1982)."""
        positive, negative = self._by_score(weights)
        below = negative.cumsum(axis=1) - negative / 2
        return np.asarray((positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1)))

    def average_precision(self, weights: Float64Array) -> Float64Array:
        """Precision at each positive's score, averaged; as scikit-learn defines it."""
        positive, negative = (weight[:, ::-1] for weight in self._by_score(weights))
        hits = positive.cumsum(axis=1)
        predicted = hits + negative.cumsum(axis=1)
        return np.asarray((positive * hits / np.where(predicted > 0, predicted, 1)).sum(axis=1) / positive.sum(axis=1))

    def roc_curve(self, weights: Float64Array, at: Float64Array) -> Float64Array:
        """True positive rate at given false positive rates, (resamples, len(at)), between the steps on straight lines."""
        return self._curves(weights, at, precision=False)

    def precision_curve(self, weights: Float64Array, at: Float64Array) -> Float64Array:
        """Precision at given recalls, (resamples, len(at)): of the highest threshold that reaches the recall."""
        return self._curves(weights, at, precision=True)

    def _curves(self, weights: Float64Array, at: Float64Array, precision: bool) -> Float64Array:
        positive, negative = (np.cumsum(weight[:, ::-1], axis=1) for weight in self._by_score(weights))
        rows = []
        for hits, misses in zip(positive, negative, strict=True):
            if precision:
                reached = np.searchsorted(hits / hits[-1], at - 1e-12).clip(0, len(hits) - 1)
                rows.append(hits[reached] / (hits[reached] + misses[reached]))
            else:
                rows.append(np.interp(at, np.r_[0, misses / misses[-1]], np.r_[0, hits / hits[-1]]))
        return np.array(rows)


def roc_auc(scores: Float64Array, positive: BoolArray) -> float:
    """ROC AUC of scores (n,), higher for the positive class, by labels (n,); both classes occur."""
    return float(Ranking(scores, positive).roc_auc(np.ones((1, len(scores))))[0])


def calibration_error(weights: Float64Array, probability: Float64Array, positive: BoolArray) -> Float64Array:
    """Expected calibration error over ten equal bins of the positive class's probability (Naeini et al., AAAI 2015).

    Args:
        weights: (resamples, n).
        probability: of the positive class, (n,).
        positive: whether it is true, (n,).
    """
    difference = _in_bins(probability) * (positive - probability)[:, None]
    return np.asarray(np.abs(weights @ difference).sum(axis=1) / weights.sum(axis=1))


def calibration_interval(
    probability: Float64Array, positive: BoolArray, groups: Sequence[int], seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the calibration error, which is above 0 on few images even if the probabilities are right.

    The upper end is the measured error, or the basic bootstrap's end if that is higher; the lower end takes off what a
    perfectly calibrated model would show by chance. Simulated, it covers in 92 to 100 %, but in 88 to 97 % where patients have
    several images that are strongly alike; percentiles cover in 0 to 50.
    """
    value = float(calibration_error(np.ones((1, len(positive))), probability, positive)[0])
    blocks = _resamples(np.asarray(groups), positive.astype(int), seed)
    drawn = np.concatenate([calibration_error(weights, probability, positive) for weights in blocks])
    by_chance = _error_by_chance(probability, np.random.default_rng(seed))
    low, high = 2 * value - np.quantile(drawn, INTERVAL_ENDS[::-1])
    return max(0.0, min(float(low), value - by_chance)), min(1.0, max(value, float(high)))


def _error_by_chance(probability: Float64Array, generator: np.random.Generator) -> float:
    """The calibration error that a model whose probabilities are right stays below in 97.5 % of data sets of this size."""
    bins = _in_bins(probability)
    errors = []
    for _ in range(CALIBRATED_DATA_SETS):
        truth = generator.random(len(probability)) < probability
        errors.append(np.abs((truth - probability) @ bins).sum() / len(probability))
    return float(np.quantile(errors, INTERVAL_ENDS[1]))


def _in_bins(probability: Float64Array) -> Float64Array:
    """One-hot rows: the bin of each probability, (n, BINS)."""
    return np.asarray(np.eye(BINS)[np.minimum((probability * BINS).astype(int), BINS - 1)])
