"""Numbers from predictions: confusion matrix, accuracy, sensitivity and specificity with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import classification_report, confusion_matrix


def one_hot(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.float32]:
    """Labels as rows with a single 1, in the column of the label's class.

    Returns:
        float32 array (len(labels), len(classes)).
    """
    positions = [classes.index(label) for label in labels]
    return np.eye(len(classes), dtype=np.float32)[positions]


def proportion(hits: int, total: int) -> dict[str, float]:
    """A proportion with its 95 % Wilson score interval (Wilson, J. Am. Stat. Assoc. 22:209, 1927).

    Args:
        hits: number of successes, at most total.
        total: number of trials, one or more.

    Returns:
        `value`, `low` and `high`, all in [0, 1].
    """
    interval = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    return {"value": hits / total, "low": float(interval.low), "high": float(interval.high)}


def evaluate(
    truth: NDArray[np.float32], probabilities: NDArray[np.float32], classes: Sequence[str], positive: str
) -> dict[str, Any]:
    """Compare predictions with the truth; the class of the highest probability is the prediction.

    Args:
        truth: one-hot labels (n, classes); every class occurs.
        probabilities: (n, classes), rows sum to 1.
        classes: names in the order of the columns.
        positive: the class whose recall is the sensitivity; the recall of all others together is the specificity.

    Returns:
        `positive`, `confusion_matrix` (rows true, columns predicted), `accuracy`, `sensitivity`, `specificity`
        (each as `proportion` gives it) and `report` (precision, recall, F1 and support by class).
    """
    true, predicted = truth.argmax(axis=1), probabilities.argmax(axis=1)
    index = list(classes).index(positive)
    is_positive, called_positive = true == index, predicted == index
    report = classification_report(
        true, predicted, labels=range(len(classes)), target_names=list(classes), output_dict=True, zero_division=0.0
    )
    return {
        "positive": positive,
        "confusion_matrix": confusion_matrix(true, predicted, labels=range(len(classes))).tolist(),
        "accuracy": proportion(int((true == predicted).sum()), len(true)),
        "sensitivity": proportion(int((is_positive & called_positive).sum()), int(is_positive.sum())),
        "specificity": proportion(int((~is_positive & ~called_positive).sum()), int((~is_positive).sum())),
        "report": report,
    }
