"""The honest estimate of a run: cross-validated numbers with intervals, calibration, thresholds, and what the base adds.

Stored features go in; a temperature and a threshold for the model, and the report's `cross_validation`, come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from covid19.core.settings import EvaluationSettings, TrainingSettings
from covid19.data.dataset import Dataset
from covid19.evaluation.bootstrap import calibration_error
from covid19.evaluation.calibration import choose_threshold, fit_temperature, log_loss, operating_points, reliability
from covid19.evaluation.cross_validation import Fold, cross_validate, make_folds
from covid19.evaluation.metrics import evaluate, predict_labels, predictive_values, proportion
from covid19.model.head import Features

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Estimate:
    """What cross-validation found.

    Attributes:
        probabilities: of each image by heads that never saw it nor its patient, calibrated, the mean over the repeats,
            float32 (n, classes); None without cross-validation.
        temperature: that the model's logits are to be divided by.
        threshold: from which the model calls the positive class, or None for the likeliest class.
        numbers: the report's `cross_validation`, JSON values; None without it.
        divisions: the repeats' folds.
    """

    probabilities: Array | None
    temperature: float
    threshold: float | None
    numbers: dict[str, Any] | None
    divisions: Sequence[Sequence[Fold]]


def estimate(
    dataset: Dataset,
    features: Features,
    untrained: Features | None,
    labels: Array,
    train: Sequence[int],
    positive: str,
    training: TrainingSettings,
    evaluation: EvaluationSettings,
) -> Estimate:
    """Cross-validate, calibrate, choose the threshold.

    Temperature and threshold are fitted on the training part's out-of-fold logits alone: nothing is chosen on test images.

    Args:
        dataset: its records say which images are of one patient.
        features: float32 (n, views, 512) of the run's base.
        untrained: the same of an untrained base, or None if the run's base is untrained.
        labels: one-hot, float32 (n, classes).
        train: positions of the training part.
        positive: the positive class.
        training: of the heads.
        evaluation: groups, folds, repeats, threshold and prevalence are used.

    Returns:
        The estimate; without numbers if `evaluation.folds` is 0, or a class has too few patients to cross-validate.
    """
    index, truth = dataset.classes.index(positive), labels.argmax(axis=1)
    patients = [record.group for record in dataset.records]
    groups = patients if evaluation.groups else list(range(len(labels)))
    divide = (evaluation.folds, evaluation.repeats, training.seed)
    divisions = make_folds(truth.tolist(), groups, *divide) if evaluation.folds else []
    if not divisions:
        return Estimate(None, 1.0, None, None, ())
    alone = len(set(groups)) == len(groups)
    by_image = [] if alone else make_folds(truth.tolist(), range(len(labels)), *divide)
    said = cross_validate(features, labels, [*divisions, *by_image], training)
    logits, leaky = said[: len(divisions)], said[len(divisions) :]
    temperature = fit_temperature(logits[:, train], labels[train])
    raw, probabilities = _mean(logits), _mean(logits / np.float32(temperature))
    threshold = choose_threshold(evaluation.threshold, probabilities[train, index].astype(float), truth[train] == index)
    numbers = evaluate(labels, probabilities, dataset.classes, positive, groups, threshold)
    score, is_positive = probabilities[:, index].astype(float), truth == index
    prevalence = evaluation.prevalence or float(np.delete(is_positive, train).mean())
    values = predictive_values(is_positive, predict_labels(probabilities, index, threshold) == index, prevalence)
    return Estimate(probabilities, temperature, threshold, {
        "folds": len(divisions[0]),
        "repeats": len(divisions),
        "grouped_by": ["patient", "duplicates"] if evaluation.groups else [],
        **numbers,
        "each_repeat": [_short(one, truth, index) for one in softmax(logits, axis=2)],
        "by_image": _short(_mean(leaky), truth, index) if by_image else None,
        "operating_points": operating_points(score, is_positive),
        "predictive_values": {"given": evaluation.prevalence is not None, **values},
        "calibration": {
            "temperature": temperature,
            "before": _calibration(raw, logits, labels, index, 1.0),
            "after": _calibration(probabilities, logits, labels, index, temperature),
            "reliability": reliability(score, is_positive),
        },
        "baselines": _baselines(untrained, labels, divisions, index, training),
        "predictions": [
            {"path": record.name, "probabilities": dict(zip(dataset.classes, map(float, row), strict=True))}
            for record, row in zip(dataset.records, probabilities, strict=True)
        ],
    }, divisions)  # fmt: skip


def _mean(logits: Array) -> Array:
    """Probabilities of each image, the mean over the repeats."""
    return np.asarray(softmax(logits, axis=2).mean(axis=0), np.float32)


def _short(probabilities: Array, truth: NDArray[np.intp], index: int) -> dict[str, float]:
    """Accuracy and AUC alone."""
    return {
        "accuracy": float((probabilities.argmax(axis=1) == truth).mean()),
        "roc_auc": float(roc_auc_score(truth == index, probabilities[:, index])),
    }


def _calibration(probabilities: Array, logits: Array, labels: Array, index: int, temperature: float) -> dict[str, float]:
    truth, score = labels.argmax(axis=1) == index, probabilities[:, index].astype(float)
    return {
        "log_loss": log_loss(logits, labels, temperature),
        "brier": float(((score - truth) ** 2).mean()),
        "calibration_error": float(calibration_error(np.ones((1, len(truth))), score, truth)[0]),
    }


def _baselines(
    untrained: Features | None, labels: Array, divisions: Any, index: int, training: TrainingSettings
) -> dict[str, Any]:
    """What no model, and what a base that was never trained, get by the same folds; None if the run's base is that."""
    counts = labels.sum(axis=0)
    majority = {"accuracy": proportion(int(counts.max()), len(labels)), "roc_auc": 0.5}
    if untrained is None:
        return {"majority": majority, "untrained_base": None}
    logits = cross_validate(untrained, labels, divisions, training)
    return {"majority": majority, "untrained_base": _short(_mean(logits), labels.argmax(axis=1), index)}
