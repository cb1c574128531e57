"""Cross-validated numbers of a run with intervals, calibration, thresholds, and what the backbone adds.

Stored features go in; a temperature and a threshold for the model, and the report's `cross_validation`, come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from covid19.core.arrays import Float32Array
from covid19.core.settings import EvaluationSettings, TrainingSettings
from covid19.data.dataset import Dataset
from covid19.evaluation.bootstrap import calibration_error, roc_auc
from covid19.evaluation.calibration import choose_threshold, fit_temperature, log_loss, operating_points, reliability
from covid19.evaluation.cross_validation import cross_validate
from covid19.evaluation.folds import Fold, make_folds
from covid19.evaluation.metrics import evaluate, predict_labels, predictive_values
from covid19.evaluation.proportions import grouped_proportion
from covid19.evaluation.result import (
    AccuracyAndAuc,
    Baselines,
    Calibration,
    CalibrationQuality,
    CrossValidation,
    MajorityBaseline,
    list_predictions,
)
from covid19.model.head import Features


@dataclass(frozen=True)
class Estimate:
    """What cross-validation gives.

    Attributes:
        probabilities: out of fold, calibrated, the mean over the repeats, float32 (n, classes); None without cross-validation.
        temperature: that the model's logits are to be divided by.
        threshold: from which the model predicts the positive class, or None for the most probable class.
        numbers: the report's `cross_validation`; None without it.
        divisions: the repeats' folds.
    """

    probabilities: Float32Array | None
    temperature: float
    threshold: float | None
    numbers: CrossValidation | None
    divisions: Sequence[Sequence[Fold]]


def estimate(
    dataset: Dataset,
    features: Features,
    untrained: Features | None,
    labels: Float32Array,
    train: Sequence[int],
    positive: str,
    training: TrainingSettings,
    evaluation: EvaluationSettings,
) -> Estimate:
    """Cross-validate, calibrate, choose the threshold.

    Temperature and threshold are fitted on the training part's out-of-fold logits alone: nothing is chosen on test images.

    Args:
        dataset: its records say which images are of one patient.
        features: float32 (n, views, 512) of the run's backbone.
        untrained: the same of an untrained backbone, or None if the run's own is untrained.
        labels: one-hot, float32 (n, classes).
        train: positions of the training part.
        positive: the positive class.
        training: of the heads.
        evaluation: groups, folds, repeats, threshold and prevalence are used.

    Returns:
        The estimate; without numbers if `evaluation.folds` is 0, or a class has too few patients to cross-validate.
    """
    index, truth = dataset.classes.index(positive), labels.argmax(axis=1)
    is_positive = truth == index
    groups = [record.group for record in dataset.records] if evaluation.groups else list(range(len(labels)))
    divide = (evaluation.folds, evaluation.repeats, training.seed)
    divisions = make_folds(truth.tolist(), groups, *divide) if evaluation.folds else []
    if not divisions:
        return Estimate(None, 1.0, None, None, ())
    alone = len(set(groups)) == len(groups)
    by_image = [] if alone else make_folds(truth.tolist(), range(len(labels)), *divide)
    all_logits = cross_validate(features, labels, [*divisions, *by_image], training)
    logits, logits_by_image = all_logits[: len(divisions)], all_logits[len(divisions) :]
    temperature = fit_temperature(logits[:, train], labels[train])
    uncalibrated, probabilities = _mean(logits), _mean(logits / np.float32(temperature))
    score = probabilities[:, index].astype(float)
    rule = evaluation.threshold
    threshold = None if rule == "argmax" else choose_threshold(rule, score[train], is_positive[train])
    predicted = predict_labels(probabilities, index, threshold) == index
    given = evaluation.prevalence is not None
    prevalence = evaluation.prevalence or float(np.delete(is_positive, train).mean())
    numbers = CrossValidation(
        folds=len(divisions[0]),
        repeats=len(divisions),
        grouped_by=["patient", "duplicates"] if evaluation.groups else [],
        threshold_rule=rule,
        **vars(evaluate(labels, probabilities, dataset.classes, positive, groups, threshold)),
        each_repeat=[_accuracy_and_auc(one, truth, index) for one in softmax(logits, axis=2)],
        by_image=_accuracy_and_auc(_mean(logits_by_image), truth, index) if by_image else None,
        operating_points=operating_points(score, is_positive, groups),
        predictive_values=predictive_values(is_positive, predicted, prevalence, given, groups),
        calibration=Calibration(
            temperature,
            _quality(uncalibrated, logits, labels, index),
            _quality(probabilities, logits / np.float32(temperature), labels, index),
            reliability(score, is_positive, groups),
        ),
        baselines=_baselines(untrained, labels, groups, divisions, index, training),
        predictions=list_predictions(dataset.records, dataset.classes, probabilities),
    )
    return Estimate(probabilities, temperature, threshold, numbers, divisions)


def _mean(logits: Float32Array) -> Float32Array:
    """Probabilities of each image, the mean over the repeats: from (repeats, n, classes) to (n, classes)."""
    return np.asarray(softmax(logits, axis=2).mean(axis=0), np.float32)


def _accuracy_and_auc(probabilities: Float32Array, truth: NDArray[np.intp], index: int) -> AccuracyAndAuc:
    accuracy = float((probabilities.argmax(axis=1) == truth).mean())
    return AccuracyAndAuc(accuracy, roc_auc(probabilities[:, index].astype(float), truth == index))


def _quality(probabilities: Float32Array, logits: Float32Array, labels: Float32Array, index: int) -> CalibrationQuality:
    """Of probabilities (n, classes), the mean over the repeats, and of the logits (repeats, n, classes) they come from."""
    positive, score = labels.argmax(axis=1) == index, probabilities[:, index].astype(float)
    return CalibrationQuality(
        log_loss(logits, labels),
        float(((score - positive) ** 2).mean()),
        float(calibration_error(np.ones((1, len(positive))), score, positive)[0]),
    )


def _baselines(
    untrained: Features | None,
    labels: Float32Array,
    groups: Sequence[int],
    divisions: Sequence[Sequence[Fold]],
    index: int,
    training: TrainingSettings,
) -> Baselines:
    """What no model, and what a backbone that was never trained, get by the same folds."""
    majority = MajorityBaseline(grouped_proportion(labels.argmax(axis=1) == labels.sum(axis=0).argmax(), groups))
    if untrained is None:
        return Baselines(majority, None)
    logits = cross_validate(untrained, labels, divisions, training)
    return Baselines(majority, _accuracy_and_auc(_mean(logits), labels.argmax(axis=1), index))
