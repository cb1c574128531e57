"""Numbers from predictions, each with its 95 % interval: labels and probabilities in, `result.Evaluation` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import classification_report, confusion_matrix

from covid19.core.arrays import BoolArray, Float64Array, IndexArray
from covid19.core.measures import Metric
from covid19.evaluation.bootstrap import Ranking, Statistics, calibration_error, calibration_interval, resample
from covid19.evaluation.proportions import Groups, grouped_proportion
from covid19.evaluation.result import (
    ClassMetrics,
    Evaluation,
    MacroMetrics,
    OptionalMetric,
    PartialEvaluation,
    PredictiveValues,
)


class Quantity(NamedTuple):
    """The name of a bootstrapped number: of one class (its column) against all others, or of all classes together."""

    name: str
    column: int | None = None


def one_hot(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.float32]:
    """Labels as rows with a single 1, in the column of the label's class.

    Returns:
        float32 array (len(labels), len(classes)).
    """
    positions = [classes.index(label) for label in labels]
    return np.eye(len(classes), dtype=np.float32)[positions]


def sensitivity(truth: BoolArray, predicted: BoolArray, groups: Groups | None = None, level: float = 0.95) -> Metric:
    """Fraction of the positives that are predicted positive; both flags bool (n,), groups and level of `grouped_proportion`."""
    return grouped_proportion(predicted[truth], None if groups is None else np.asarray(groups)[truth], level)


def specificity(truth: BoolArray, predicted: BoolArray, groups: Groups | None = None, level: float = 0.95) -> Metric:
    """Fraction of the negatives that are predicted negative; arguments as of `sensitivity`."""
    return sensitivity(~truth, ~predicted, groups, level)


def precision(truth: BoolArray, predicted: BoolArray, groups: Groups | None = None) -> OptionalMetric:
    """Fraction of those predicted positive that are positive; arguments as of `sensitivity`."""
    if not predicted.any():
        return OptionalMetric()
    return OptionalMetric(**vars(sensitivity(predicted, truth, groups)))


def predict_labels(probabilities: NDArray[np.float32], positive: int, threshold: float | None) -> IndexArray:
    """The predicted class for each row of probabilities, intp (n,).

    Args:
        probabilities: (n, classes).
        positive: column of the positive class.
        threshold: the positive class is predicted from this probability on, else the most probable other; None predicts the
            most probable.
    """
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1), np.intp)
    others = probabilities.copy()
    others[:, positive] = -1
    return np.where(probabilities[:, positive] >= threshold, positive, others.argmax(axis=1))


def evaluate(
    truth: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
    positive: str,
    groups: Sequence[int] | None = None,
    threshold: float | None = None,
) -> Evaluation:
    """Compare predictions with the truth.

    Args:
        truth: one-hot labels (n, classes); the positive class occurs and so does another. Of a class without images nothing is
            measured: the balanced accuracy is the mean over the others.
        probabilities: (n, classes), rows sum to 1.
        classes: names in the order of the columns.
        positive: the class whose recall is the sensitivity; the recall of all others together is the specificity.
        groups: of each image, the same for images of one patient; None takes each for its own.
        threshold: as `predict_labels` takes it.
    """
    true, index = truth.argmax(axis=1), list(classes).index(positive)
    predicted = predict_labels(probabilities, index, threshold)
    together = list(range(len(true)) if groups is None else groups)
    statistics = _statistics(true, predicted, probabilities.astype(np.float64), index)
    values = {quantity: float(value[0]) for quantity, value in statistics(np.ones((1, len(true)))).items()}
    limits = resample(statistics, together, true.tolist()).intervals()
    measured = {quantity: Metric(value, *limits[quantity]) for quantity, value in values.items()}
    probability = probabilities[:, index].astype(np.float64)
    error = float(calibration_error(np.ones((1, len(true))), probability, true == index)[0])

    def against_rest(column: int) -> ClassMetrics:
        own, named = true == column, predicted == column
        bootstrapped = {name: measured[Quantity(name, column)] for name in ("f1", "roc_auc", "average_precision")}
        hit_rate, clear_rate = sensitivity(own, named, together), specificity(own, named, together)
        return ClassMetrics(hit_rate, clear_rate, precision(own, named, together), **bootstrapped)

    several = len(classes) > 2
    return Evaluation(
        positive=positive,
        threshold=threshold,
        confusion_matrix=confusion_matrix(true, predicted, labels=range(len(classes))).tolist(),
        accuracy=grouped_proportion(true == predicted, together),
        **vars(against_rest(index)),
        balanced_accuracy=measured[Quantity("balanced_accuracy")],
        brier=measured[Quantity("brier")],
        calibration_error=Metric(error, *calibration_interval(probability, true == index, together)),
        report=classification_report(
            true, predicted, labels=range(len(classes)), target_names=list(classes), output_dict=True, zero_division=0.0
        ),
        macro=MacroMetrics(*(measured[Quantity(name)] for name in ("roc_auc", "average_precision", "f1"))) if several else None,
        by_class={name: against_rest(column) for column, name in enumerate(classes) if column in true} if several else None,
    )


def evaluate_one_side(
    truth: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
    positive: str,
    groups: Sequence[int],
    threshold: float | None,
) -> PartialEvaluation:
    """Compare predictions with the truth on images that are all positive, or none of which is; arguments as of `evaluate`."""
    true, index = truth.argmax(axis=1), list(classes).index(positive)
    predicted = predict_labels(probabilities, index, threshold)
    right = grouped_proportion((true == index) == (predicted == index), groups)
    return PartialEvaluation(
        positive=positive,
        threshold=threshold,
        confusion_matrix=confusion_matrix(true, predicted, labels=range(len(classes))).tolist(),
        sensitivity=right if index in true else None,
        specificity=None if index in true else right,
    )


def _statistics(true: IndexArray, predicted: IndexArray, scores: Float64Array, index: int) -> Statistics[Quantity]:
    """What is bootstrapped, from weights (resamples, n): numbers of all classes, and of each; of two only of the positive."""
    present = np.unique(true).tolist()
    columns = present if scores.shape[1] > 2 else [index]
    ranks = {column: Ranking(scores[:, column], true == column) for column in columns}

    def statistics(weights: Float64Array) -> Mapping[Quantity, Float64Array]:
        recalls = [weights @ ((true == c) & (predicted == c)) / (weights @ (true == c)) for c in present]
        errors = weights @ (scores[:, index] - (true == index)) ** 2 / weights.sum(axis=1)
        computed = {Quantity("balanced_accuracy"): np.mean(recalls, axis=0), Quantity("brier"): errors}
        of_class: dict[str, Callable[[int], Float64Array]] = {
            "roc_auc": lambda column: ranks[column].roc_auc(weights),
            "average_precision": lambda column: ranks[column].average_precision(weights),
            "f1": lambda column: _f1(weights, true == column, predicted == column),
        }
        for name, compute in of_class.items():
            by_column = {Quantity(name, column): compute(column) for column in columns}
            computed |= by_column | {Quantity(name): np.mean(list(by_column.values()), axis=0)}
        return computed

    return statistics


def grouped_roc_auc(scores: Float64Array, positive: BoolArray, groups: Sequence[int]) -> Metric:
    """ROC AUC of scores with its bootstrap interval by group.

    Args:
        scores: (n,), higher for the positive class.
        positive: bool (n,); both classes occur.
        groups: of each image, the same for images of one patient.
    """
    both = set(np.asarray(groups)[positive].tolist()) & set(np.asarray(groups)[~positive].tolist())
    # Patients with images of both classes are drawn among themselves, so that no class is missing from a resample.
    strata = [2 if group in both else int(own) for group, own in zip(groups, positive, strict=True)]
    ranking = Ranking(scores, positive)
    resampled = resample(lambda weights: {"roc_auc": ranking.roc_auc(weights)}, groups, strata)
    return Metric(resampled.measured["roc_auc"], *resampled.intervals()["roc_auc"])


def predictive_values(
    truth: BoolArray, predicted: BoolArray, prevalence: float, given: bool = True, groups: Groups | None = None
) -> PredictiveValues:
    """What a prediction is worth where a given fraction of the patients has the disease (Bayes).

    The interval joins the 97.5 % limits of sensitivity and specificity: at least 95 % by Bonferroni.

    Args:
        truth: bool (n,), whether the positive class is true; both occur.
        predicted: bool (n,), whether it is predicted.
        prevalence: fraction of the positive class, in (0, 1).
        given: whether the prevalence was asked for.
        groups: of each image, the same for images of one patient; None takes each for its own.
    """
    hit_rates, clear_rates = (rate(truth, predicted, groups, 0.975) for rate in (sensitivity, specificity))
    ends = [(hit_rates.value, clear_rates.value), (hit_rates.low, clear_rates.low), (hit_rates.high, clear_rates.high)]
    ppv = [_bayes(hit_rate, 1 - clear_rate, prevalence) for hit_rate, clear_rate in ends]
    npv = [_bayes(clear_rate, 1 - hit_rate, 1 - prevalence) for hit_rate, clear_rate in ends]
    return PredictiveValues(given, prevalence, OptionalMetric(*ppv), OptionalMetric(*npv))


def _bayes(hit_rate: float, false_alarm_rate: float, prior: float) -> float | None:
    """Probability of a condition given its sign; None where the sign is never seen."""
    hits, alarms = hit_rate * prior, false_alarm_rate * (1 - prior)
    return hits / (hits + alarms) if hits + alarms else None


def _f1(weights: Float64Array, truth: BoolArray, predicted: BoolArray) -> Float64Array:
    """Twice the hits over all that are true or predicted; 0 if there are none."""
    return np.asarray(2 * (weights @ (truth & predicted)) / np.maximum(weights @ truth + weights @ predicted, 1e-12))
