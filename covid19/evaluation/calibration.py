"""Do the probabilities mean what they say? A temperature that makes them so, and thresholds for wanted error rates.

Out-of-fold logits go in; a temperature, a reliability table and operating points come out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import roc_curve

from covid19.evaluation.bootstrap import BINS
from covid19.evaluation.metrics import proportion

Array = NDArray[np.float32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A temperature below 1 makes a head surer than it was trained to be; where few images are told apart without an error the best
# one is 0, so it is bounded.
COLDEST, HOTTEST = 0.5, 20.0
RULES = ("sens=0.90", "sens=0.95", "spec=0.90", "spec=0.95", "youden")


def log_loss(logits: Array, labels: Array, temperature: float = 1.0) -> float:
    """Mean negative log probability of the true class, in nats.

    Args:
        logits: (repeats, n, classes).
        labels: one-hot (n, classes).
        temperature: to divide the logits by.
    """
    return float(-(log_softmax(logits.astype(np.float64) / temperature, axis=2) * labels).sum(axis=2).mean())


def fit_temperature(logits: Array, labels: Array) -> float:
    """The temperature that makes held-out labels likeliest (Guo et al., ICML 2017), within [0.5, 20].

    Args:
        logits: out of fold, (repeats, n, classes).
        labels: one-hot (n, classes).
    """
    found = minimize_scalar(
        lambda power: log_loss(logits, labels, float(np.exp(power))),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def reliability(probability: Floats, positive: Flags) -> list[dict[str, Any]]:
    """The reliability diagram's points: ten equal bins of the positive class's probability, empty ones left out.

    Returns:
        For each bin `count`, the mean `probability`, and the share of positives with its interval as `observed`.
    """
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    return [
        {
            "count": int((bins == number).sum()),
            "probability": float(probability[bins == number].mean()),
            "observed": proportion(int(positive[bins == number].sum()), int((bins == number).sum())),
        }
        for number in np.unique(bins)
    ]


def choose_threshold(rule: str, probability: Floats, positive: Flags) -> float | None:
    """The probability from which on the positive class is called.

    Args:
        rule: 'argmax' calls the likeliest class and has no threshold; 'youden' maximises sensitivity plus specificity (Youden,
            Cancer 3:32, 1950); 'sens=0.95' is the highest threshold of that sensitivity, 'spec=0.95' the lowest of that
            specificity, where need be one above 1, which calls nobody.
        probability: of the positive class, (n,).
        positive: whether it is true, (n,); both occur.
    """
    if rule == "argmax":
        return None
    false_alarms, hits, thresholds = roc_curve(positive, probability, drop_intermediate=False)
    thresholds[0] = np.nextafter(1, 2)  # calls nobody; scikit-learn's infinity is no JSON
    if rule == "youden":
        return float(thresholds[np.argmax(hits - false_alarms)])
    side, target = rule.split("=")
    if side == "sens":
        return float(thresholds[np.argmax(hits >= float(target) - 1e-12)])
    return float(thresholds[np.flatnonzero(1 - false_alarms >= float(target) - 1e-12)[-1]])


def operating_points(probability: Floats, positive: Flags) -> list[dict[str, Any]]:
    """What each rule's threshold gives on these same images: `rule`, `threshold`, `sensitivity`, `specificity`."""
    points = []
    for rule in RULES:
        threshold = choose_threshold(rule, probability, positive)
        called = probability >= np.float64(threshold or 0)
        points.append(
            {
                "rule": rule,
                "threshold": threshold,
                "sensitivity": proportion(int((called & positive).sum()), int(positive.sum())),
                "specificity": proportion(int((~called & ~positive).sum()), int((~positive).sum())),
            }
        )
    return points
