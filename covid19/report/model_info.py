"""What a model's file says of the run that made it, as JSON values; `model.info` checks them when a file is read."""

from __future__ import annotations

from typing import Any

import msgspec

from covid19 import NOTICE, __version__
from covid19.audit.verdict import explain_verdict
from covid19.core.settings import Settings
from covid19.report.result import InternalMetrics
from covid19.report.summary import Outcome, environment

PREPROCESSING = (
    "decode as RGB, apply the EXIF orientation; resize to 224x224 ignoring aspect ratio, by area where an axis shrinks "
    "and linearly where it grows; divide by 255; the model does the rest"
)


def model_info(settings: Settings, outcome: Outcome) -> dict[str, Any]:
    """What the file of a run's model says.

    Returns:
        JSON values: `classes` in the order of the outputs, `positive`, `preprocessing`, `base` {name, weights, digest},
        `settings`, `versions`, `trained_on` and `trained_hashes` (of the training images), `notice`, `threshold` (the
        probability from which the positive class is predicted, None for the most probable class), `temperature` (folded into
        the last layer already), `cross_validation` (see `InternalMetrics`, or None), `audit` (verdict, margin, model_auc,
        words, or None).
    """
    numbers = outcome.estimate.numbers
    return {
        "program": "covid19",
        "notice": NOTICE,
        "classes": list(outcome.dataset.classes),
        "positive": outcome.test.positive,
        "preprocessing": PREPROCESSING,
        "base": outcome.weights.as_json(),
        "settings": settings.as_json(),
        "versions": {"covid19": __version__, **vars(environment())},
        "trained_on": [outcome.dataset.records[i].digest for i in outcome.split.train],
        "trained_hashes": [outcome.dataset.records[i].stats.hash for i in outcome.split.train],
        "threshold": outcome.estimate.threshold,
        "temperature": outcome.estimate.temperature,
        "cross_validation": msgspec.to_builtins(msgspec.convert(numbers, InternalMetrics | None, from_attributes=True)),
        "audit": outcome.audit
        and {
            "verdict": outcome.audit.verdict,
            "margin": msgspec.to_builtins(outcome.audit.margin),
            "model_auc": outcome.audit.model_auc,
            "words": explain_verdict(outcome.audit),
        },
    }
