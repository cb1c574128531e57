"""Numbers from predictions, each with its 95 % interval: labels and probabilities in, JSON values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import classification_report, confusion_matrix

from covid19.evaluation.bootstrap import Floats, Ranking, Statistics, calibration_error, calibration_interval, intervals

Numbers = dict[str, Any]
Whole = NDArray[np.intp]


def one_hot(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.float32]:
    """Labels as rows with a single 1, in the column of the label's class.

    Returns:
        float32 array (len(labels), len(classes)).
    """
    positions = [classes.index(label) for label in labels]
    return np.eye(len(classes), dtype=np.float32)[positions]


def proportion(hits: int, total: int, level: float = 0.95) -> dict[str, float | None]:
    """A proportion with its Wilson score interval (Wilson, J. Am. Stat. Assoc. 22:209, 1927).

    Args:
        hits: number of successes, at most total.
        total: number of trials.
        level: of the interval.

    Returns:
        `value`, `low` and `high`, all in [0, 1]; all None where there were no trials.
    """
    if not total:
        return {"value": None, "low": None, "high": None}
    interval = binomtest(hits, total).proportion_ci(level, method="wilson")
    return {"value": hits / total, "low": float(interval.low), "high": float(interval.high)}


def predict_labels(probabilities: NDArray[np.float32], positive: int, threshold: float | None) -> Whole:
    """The class called for each row of probabilities, intp (n,).

    Args:
        probabilities: (n, classes).
        positive: column of the positive class.
        threshold: the positive class is called from this probability on, else the likeliest other; None calls the likeliest.
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
) -> Numbers:
    """Compare predictions with the truth.

    Args:
        truth: one-hot labels (n, classes); every class occurs.
        probabilities: (n, classes), rows sum to 1.
        classes: names in the order of the columns.
        positive: the class whose recall is the sensitivity; the recall of all others together is the specificity.
        groups: of each image, the same for images of one patient; None takes each for its own.
        threshold: as `predict_labels` takes it.

    Returns:
        `positive`, `threshold`, `confusion_matrix` (rows true, columns called), `report` (precision, recall, F1 and support by
        class), and {value, low, high} of `accuracy`, `sensitivity`, `specificity`, `precision` (Wilson), `balanced_accuracy`,
        `f1`, `roc_auc`, `average_precision`, `brier`, `calibration_error` (bootstrap by group). With more than two classes also
        `by_class`, each against the rest, and the `macro` means of `roc_auc`, `average_precision` and `f1`.
    """
    true, index = truth.argmax(axis=1), list(classes).index(positive)
    called = predict_labels(probabilities, index, threshold)
    together = list(range(len(true)) if groups is None else groups)
    statistics = _statistics(true, called, probabilities.astype(np.float64), index)
    values = {name: float(value[0]) for name, value in statistics(np.ones((1, len(true)))).items()}
    limits = intervals(statistics, together, true.tolist())
    measured = {name: {"value": value, "low": limits[name][0], "high": limits[name][1]} for name, value in values.items()}
    probability = probabilities[:, index].astype(np.float64)
    low, high = calibration_interval(probability, true == index, together)
    error = float(calibration_error(np.ones((1, len(true))), probability, true == index)[0])
    numbers: Numbers = {
        "positive": positive,
        "threshold": threshold,
        "confusion_matrix": confusion_matrix(true, called, labels=range(len(classes))).tolist(),
        "accuracy": proportion(int((true == called).sum()), len(true)),
        **_shares(true == index, called == index),
        **{name: number for name, number in measured.items() if " " not in name},
        "calibration_error": {"value": error, "low": low, "high": high},
        "report": classification_report(
            true, called, labels=range(len(classes)), target_names=list(classes), output_dict=True, zero_division=0.0
        ),
    }
    if len(classes) > 2:
        numbers["macro"] = _part(measured, "macro ")
        numbers["by_class"] = {
            name: _shares(true == column, called == column) | _part(measured, f"{column} ")
            for column, name in enumerate(classes)
        }
    return numbers


def _statistics(true: Whole, called: Whole, scores: Floats, index: int) -> Statistics:
    """What is bootstrapped, from weights (resamples, n): 'f1' of the positive class, '2 f1' of class 2, 'macro f1' of all."""
    classes = scores.shape[1]
    columns = range(classes) if classes > 2 else (index,)
    ranks = {column: Ranking(scores[:, column], true == column) for column in columns}

    def statistics(weights: Floats) -> Mapping[str, Floats]:
        recalls = [weights @ ((true == c) & (called == c)) / (weights @ (true == c)) for c in range(classes)]
        found = {"balanced_accuracy": np.mean(recalls, axis=0)}
        for column in columns:
            found |= {
                f"{column} roc_auc": ranks[column].roc_auc(weights),
                f"{column} average_precision": ranks[column].average_precision(weights),
                f"{column} f1": _f1(weights, true == column, called == column),
            }
        for name in ("roc_auc", "average_precision", "f1"):
            found[name] = found[f"{index} {name}"]
            found[f"macro {name}"] = np.mean([found[f"{column} {name}"] for column in columns], axis=0)
        found["brier"] = weights @ (scores[:, index] - (true == index)) ** 2 / weights.sum(axis=1)
        return found

    return statistics


def predictive_values(truth: NDArray[np.bool_], called: NDArray[np.bool_], prevalence: float) -> Numbers:
    """What a call is worth where a given share of patients has the disease (Bayes).

    The interval joins the 97.5 % Wilson limits of sensitivity and specificity: at least 95 % by Bonferroni.

    Args:
        truth: bool (n,), whether the positive class is true; both occur.
        called: bool (n,), whether it was called.
        prevalence: share of the positive class, in (0, 1).

    Returns:
        `prevalence`, and `ppv` and `npv`, each {value, low, high}; None where nobody would be called so.
    """
    shares = _shares(truth, called, 0.975)
    found: Numbers = {"prevalence": prevalence, "ppv": {}, "npv": {}}
    for end in ("value", "low", "high"):
        sensitivity, specificity = shares["sensitivity"][end], shares["specificity"][end]
        hits, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
        clear, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
        found["ppv"][end] = hits / (hits + alarms) if hits + alarms else None
        found["npv"][end] = clear / (clear + missed) if clear + missed else None
    return found


def _shares(truth: NDArray[np.bool_], called: NDArray[np.bool_], level: float = 0.95) -> Numbers:
    """Sensitivity, specificity and precision of one class against the rest, each with its Wilson interval."""
    hits = int((truth & called).sum())
    return {
        "sensitivity": proportion(hits, int(truth.sum()), level),
        "specificity": proportion(int((~truth & ~called).sum()), int((~truth).sum()), level),
        "precision": proportion(hits, int(called.sum()), level),
    }


def _f1(weights: Floats, truth: NDArray[np.bool_], called: NDArray[np.bool_]) -> Floats:
    """Twice the hits over all that are or were called so; 0 if there are none."""
    return np.asarray(2 * (weights @ (truth & called)) / np.maximum(weights @ truth + weights @ called, 1e-12))


def _part(numbers: Mapping[str, Any], prefix: str) -> Numbers:
    return {name.removeprefix(prefix): number for name, number in numbers.items() if name.startswith(prefix)}
