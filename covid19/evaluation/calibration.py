"""Calibration: a temperature with which probabilities agree with frequencies, and thresholds for wanted error rates.

Out-of-fold logits go in; a temperature, a reliability table and operating points come out.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import roc_curve

from covid19.core.arrays import BoolArray, Float32Array, Float64Array
from covid19.evaluation.bootstrap import BINS
from covid19.evaluation.metrics import sensitivity, specificity
from covid19.evaluation.proportions import Groups, grouped_proportion
from covid19.evaluation.result import OperatingPoint, ReliabilityBin

# A temperature below 1 makes a head surer than it was trained to be. Where few images are classified without an error the
# likeliest temperature is 0, so it is bounded.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.5, 20.0
RULES = ("sens=0.90", "sens=0.95", "spec=0.90", "spec=0.95", "youden")


def log_loss(logits: Float32Array, labels: Float32Array, temperature: float = 1.0) -> float:
    """Mean negative log probability of the true class, in nats.

    Args:
        logits: (repeats, n, classes).
        labels: one-hot (n, classes).
        temperature: to divide the logits by.
    """
    return float(-(log_softmax(logits.astype(np.float64) / temperature, axis=2) * labels).sum(axis=2).mean())


def fit_temperature(logits: Float32Array, labels: Float32Array) -> float:
    """The temperature that makes held-out labels likeliest (Guo et al., ICML 2017), within [0.5, 20].

    Args:
        logits: out of fold, (repeats, n, classes).
        labels: one-hot (n, classes).
    """
    best = minimize_scalar(
        lambda power: log_loss(logits, labels, float(np.exp(power))),
        bounds=(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)),
        method="bounded",
    )
    return float(np.exp(best.x))


def reliability(probability: Float64Array, positive: BoolArray, groups: Groups | None = None) -> list[ReliabilityBin]:
    """The reliability diagram's points: ten equal bins of the positive class's probability, empty ones left out.

    Args:
        probability: of the positive class, (n,).
        positive: whether it is true, (n,).
        groups: of each image, the same for images of one patient; None takes each for its own.
    """
    patients = np.arange(len(positive)) if groups is None else np.asarray(groups)
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    return [
        ReliabilityBin(own.size, float(probability[own].mean()), grouped_proportion(positive[own], patients[own]))
        for own in (np.flatnonzero(bins == number) for number in np.unique(bins))
    ]


def choose_threshold(rule: str, probability: Float64Array, positive: BoolArray) -> float:
    """The probability from which on the positive class is predicted.

    Args:
        rule: 'youden' maximises sensitivity plus specificity (Youden, Cancer 3:32, 1950); 'sens=0.95' is the highest threshold
            of that sensitivity, 'spec=0.95' the lowest of that specificity, where need be one above 1, at which nobody is
            positive.
        probability: of the positive class, (n,).
        positive: whether it is true, (n,); both occur.
    """
    false_positive_rate, true_positive_rate, thresholds = roc_curve(positive, probability, drop_intermediate=False)
    thresholds[0] = np.nextafter(1, 2)  # nobody is positive; scikit-learn's infinity cannot be written as JSON
    if rule == "youden":
        return float(thresholds[np.argmax(true_positive_rate - false_positive_rate)])
    measure, target = rule.split("=")
    if measure == "sens":
        return float(thresholds[np.argmax(true_positive_rate >= float(target) - 1e-12)])
    return float(thresholds[np.flatnonzero(1 - false_positive_rate >= float(target) - 1e-12)[-1]])


def operating_points(probability: Float64Array, positive: BoolArray, groups: Groups | None = None) -> list[OperatingPoint]:
    """What the threshold of each rule in `RULES` gives on these same images.

    Args:
        probability: of the positive class, (n,).
        positive: whether it is true, (n,); both occur.
        groups: of each image, the same for images of one patient; None takes each for its own.
    """
    points = []
    for rule in RULES:
        threshold = choose_threshold(rule, probability, positive)
        predicted = probability >= threshold
        rates = (rate(positive, predicted, groups) for rate in (sensitivity, specificity))
        points.append(OperatingPoint(rule, threshold, *rates))
    return points
