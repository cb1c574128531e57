"""What a run says of itself in its model's file, as JSON values; `model.info` checks them when a file is read."""

from __future__ import annotations

from typing import Any

import msgspec

from covid19 import NOTICE, __version__
from covid19.audit.verdict import explain_verdict
from covid19.core.settings import Settings
from covid19.model.info import MEASURES
from covid19.report.summary import Outcome, environment

PREPROCESSING = (
    "decode as RGB, apply the EXIF orientation; resize to 224x224 ignoring aspect ratio, by area where an axis shrinks "
    "and linearly where it grows; divide by 255; the model does the rest"
)


def model_info(settings: Settings, found: Outcome) -> dict[str, Any]:
    """What the file of a run's model says.

    Returns:
        JSON values: `classes` in the order of the outputs, `positive`, `preprocessing`, `base` {name, weights, digest},
        `settings`, `versions`, `trained_on` and `trained_hashes` (of the training images), `notice`, `threshold` (the
        probability from which the positive class is called, None for the likeliest class), `temperature` (folded into the last
        layer already), `cross_validation` (accuracy, sensitivity, specificity and AUC with intervals, or None), `audit`
        (verdict, margin, model_auc, words, or None).
    """
    numbers = found.estimate.numbers
    kept = ("folds", "repeats", "grouped_by", *MEASURES)
    return {
        "program": "covid19",
        "notice": NOTICE,
        "classes": list(found.dataset.classes),
        "positive": found.test["positive"],
        "preprocessing": PREPROCESSING,
        "base": found.weights.as_json(),
        "settings": settings.as_json(),
        "versions": {"covid19": __version__, **environment()},
        "trained_on": [found.dataset.records[i].digest for i in found.split.train],
        "trained_hashes": [found.dataset.records[i].stats.hash for i in found.split.train],
        "threshold": found.estimate.threshold,
        "temperature": found.estimate.temperature,
        "cross_validation": {key: numbers[key] for key in kept} if numbers else None,
        "audit": found.audit
        and {
            "verdict": found.audit.verdict,
            "margin": msgspec.to_builtins(found.audit.margin),
            "model_auc": found.audit.model_auc,
            "words": explain_verdict(found.audit),
        },
    }
