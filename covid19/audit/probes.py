"""Probes: how well the classes are told apart by less than the whole picture, and whether that could be chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from covid19.core.arrays import BoolArray, Float64Array
from covid19.data.measurements.measurement import Measurement
from covid19.data.measurements.registry import ProbeMeasurements
from covid19.evaluation.bootstrap import roc_auc
from covid19.evaluation.folds import Fold

PERMUTATIONS = 999
PERMUTATIONS_OF_LARGE_SETS = 199
LARGE_SET_IMAGES = 2000


class Probe(NamedTuple):
    """One way of looking at the images.

    Attributes:
        name: in words.
        lung_blind: whether it can see no lung.
        sees_pixels: whether it is given what the model is given, or a part of that.
        scores: out of fold, higher for the positive class, (n,).
        p_value: of the permutation test, not corrected; None where that was not made.
    """

    name: str
    lung_blind: bool
    sees_pixels: bool
    scores: Float64Array
    p_value: float | None


class LabelledFolds(NamedTuple):
    """The labels that every probe has to predict, and the folds in which it does.

    Attributes:
        positive: bool (n,).
        groups: of each image, the same for one patient's.
        divisions: the run's own folds.
        seed: of the permutations.
    """

    positive: BoolArray
    groups: Sequence[int]
    divisions: Sequence[Sequence[Fold]]
    seed: int


def make_probe(
    name: str,
    inputs: Float64Array,
    folds: LabelledFolds,
    lung_blind: bool = True,
    sees_pixels: bool = True,
    scores: Float64Array | None = None,
    tested: bool = True,
) -> Probe:
    """Score a probe out of fold and, if it is lung-blind, test whether that could be chance.

    The test (Ojala and Garriga, JMLR 11:1833, 2010) gives each patient another's label and does the whole cross-validation
    again. A ridge regression takes all labels at once, so 999 permutations cost little more than one.

    Args:
        name, lung_blind, sees_pixels: of the probe.
        inputs: what it sees of each image, (n, numbers).
        folds: labels, patients and folds.
        scores: out of fold by another classifier, for the AUC; None takes the ridge regression's.
        tested: whether to test a lung-blind probe; the verdict depends on those that are tested.
    """
    tested = tested and lung_blind
    labels = permuted(folds) if tested else folds.positive[:, None].astype(float)
    out_of_fold = ridge_scores(inputs, labels, folds.divisions)
    p_value = None
    if tested:
        aucs = aucs_of(out_of_fold, labels)
        p_value = float((aucs >= aucs[0] - 1e-12).mean())
    return Probe(name, lung_blind, sees_pixels, out_of_fold[:, 0] if scores is None else scores, p_value)


def probe_of_scores(name: str, scores: Float64Array, folds: LabelledFolds) -> Probe:
    """A lung-blind probe of which the scores are given, and nothing is known of how they were made.

    The permutation test gives each patient another's label, as in `make_probe`, but cannot make the scores anew. Scores out of
    fold vary more than their permutations show, as the training parts of the folds overlap: their deviation from chance is
    divided by what Nadeau and Bengio (Machine Learning 52:239, 2003) find for that. Simulated on noise, it is below 0.05 in
    2 to 5 % of the data sets, where it would be in 7 to 15 % without.

    Args:
        name: of the probe.
        scores: out of fold, higher for the positive class, (n,).
        folds: labels, patients and folds.
    """
    labels = permuted(folds)
    aucs = aucs_of(np.broadcast_to(scores[:, None], labels.shape), labels)
    count = len(folds.divisions[0])
    inflation = np.sqrt(1 + count / (count - 1))  # 1 + J n2 / n1 of their section 3, for J folds of n2 images each
    deviation = (aucs[0] - aucs[1:].mean()) / max(aucs[1:].std(), 1e-12)
    return Probe(name, True, True, scores, float(norm.sf(deviation / inflation)))


def probe_measurement(
    measurement: Measurement, measured: Sequence[ProbeMeasurements], folds: LabelledFolds, shown: bool = True
) -> Probe:
    """The probe of one measurement.

    Args:
        measurement: registered in `data.measurements`.
        measured: of each image, the values by the measurement's name.
        folds: labels, patients and folds.
        shown: whether the model is shown what was measured; what it is not shown is not tested.
    """
    numbers = measurement.as_numbers([own[measurement.name] for own in measured])
    sees_pixels = measurement.sees_pixels and shown
    return make_probe(measurement.name, numbers, folds, measurement.lung_blind, sees_pixels, tested=shown)


def ridge(inputs: Float64Array, targets: Float64Array, held_out: Float64Array) -> Float64Array:
    """Predictions for held-out inputs, (m, k), of a ridge regression of targets (n, k) on standardised inputs (n, numbers)."""
    model = make_pipeline(StandardScaler(), Ridge(alpha=inputs.shape[1])).fit(inputs, targets)
    return np.asarray(model.predict(held_out)).reshape(len(held_out), -1)


def ridge_scores(inputs: Float64Array, targets: Float64Array, divisions: Sequence[Sequence[Fold]]) -> Float64Array:
    """Out-of-fold scores of a ridge regression on standardised inputs, the sum over the repeats.

    Args:
        inputs: (n, numbers).
        targets: (n, k), each column by itself.
        divisions: repeats of folds.

    Returns:
        (n, k), less the training part's mean, which is lower where more of a class is held out.
    """
    scores = np.zeros_like(targets)
    for division in divisions:
        for fold in division:
            train, own = inputs[fold.train], targets[fold.train]
            if len(train) < targets.shape[1]:
                # Each prediction is a weighted sum of the training targets, and the weights are the same for all targets.
                predicted = ridge(train, np.eye(len(train)), inputs[fold.held_out]) @ own
            else:
                predicted = ridge(train, own, inputs[fold.held_out])
            scores[fold.held_out] += predicted - own.mean(axis=0)
    return scores


def permuted(folds: LabelledFolds) -> Float64Array:
    """Labels of 0 and 1, (n, 1 + permutations): the true ones, then each patient with another's.

    A patient with images of both classes keeps them, and the labels change places among these images.
    """
    positive, generator = folds.positive.astype(float), np.random.default_rng(folds.seed)
    member = np.unique(np.asarray(folds.groups), return_inverse=True)[1]
    positive_fraction = np.bincount(member, positive) / np.bincount(member)
    pure = np.flatnonzero((positive_fraction == 0) | (positive_fraction == 1))
    mixed = np.flatnonzero(~np.isin(member, pure))
    by_patient = mixed[np.argsort(member[mixed], kind="stable")]
    columns = [positive]
    for _ in range(PERMUTATIONS if len(member) <= LARGE_SET_IMAGES else PERMUTATIONS_OF_LARGE_SETS):
        of_patient = positive_fraction.copy()
        of_patient[pure] = generator.permutation(positive_fraction[pure])
        labels = of_patient[member]
        labels[by_patient] = positive[mixed[np.lexsort((generator.random(len(mixed)), member[mixed]))]]
        columns.append(labels)
    return np.stack(columns, axis=1)


def aucs_of(scores: Float64Array, labels: Float64Array) -> Float64Array:
    """ROC AUC of each column of scores (n, k) by its own labels (n, k), 0 or 1: (k,)."""
    return np.array([roc_auc(*columns) for columns in zip(scores.T, labels.T == 1, strict=True)])


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, Scand. J. Statist. 6:65, 1979), in the order given."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(steps).clip(max=1)
    return corrected.tolist()
