"""What a model file says beside the model: who made it, from what, and how far it can be believed. Written and checked here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covid19 import NOTICE, __version__

if TYPE_CHECKING:
    from covid19.report import Outcome
    from covid19.settings import Settings

PREPROCESSING = (
    "decode as RGB, apply the EXIF orientation; resize to 224x224 ignoring aspect ratio, by area where an axis shrinks "
    "and linearly where it grows; divide by 255; the model does the rest"
)
MEASURES = ("accuracy", "sensitivity", "specificity", "roc_auc")


def model_info(settings: Settings, found: Outcome) -> dict[str, Any]:
    """What the file of a run's model says.

    Returns:
        JSON values: `classes` in the order of the outputs, `positive`, `preprocessing`, `base` {name, weights, digest},
        `settings`, `versions`, `trained_on` and `trained_hashes` (of the training images), `notice`, `threshold` (the
        probability from which the positive class is called, None for the likeliest class), `temperature` (folded into the last
        layer already), `cross_validation` (accuracy, sensitivity, specificity and AUC with intervals, or None), `audit`
        (verdict, margin, model_auc, words, or None).
    """
    from covid19.judge import explain_verdict
    from covid19.report import environment

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
        "trained_hashes": [found.dataset.records[i].facts.hash for i in found.split.train],
        "threshold": found.estimate.threshold,
        "temperature": found.estimate.temperature,
        "cross_validation": {key: numbers[key] for key in kept} if numbers else None,
        "audit": found.audit
        and {key: found.audit[key] for key in ("verdict", "margin", "model_auc")} | {"words": explain_verdict(found.audit)},
    }


def check_info(info: Any) -> dict[str, Any]:
    """Make sure that what a file says is what `model_info` writes, as far as anything of it is used.

    Raises:
        ValueError: it is of another program, or something has a value that this program does not write.
    """
    if not isinstance(info, dict) or info.get("program") != "covid19":
        raise ValueError("it does not say that this program wrote it")
    expected: dict[str, Callable[[Any], bool]] = {
        "classes": lambda names: (
            _texts(names) and 2 <= len(set(names)) == len(names) <= 1000 and all(map(str.isprintable, names))
        ),
        "positive": lambda name: name in info["classes"],
        "base": lambda base: isinstance(base, dict) and _texts([base.get(key) for key in ("name", "weights", "digest")]),
        "versions": lambda versions: isinstance(versions, dict),
        "trained_on": _texts,
        "trained_hashes": _texts,
        "threshold": lambda share: share is None or (_number(share) and 0 <= share <= 1),
        "cross_validation": lambda numbers: (
            numbers is None or (isinstance(numbers, dict) and all(map(_share, map(numbers.get, MEASURES))))
        ),
        "audit": lambda audit: (
            audit is None
            or (isinstance(audit, dict) and _texts([audit.get("verdict"), audit.get("words")]) and audit["words"].isprintable())
        ),
    }
    for key, right in expected.items():
        if key not in info or not right(info[key]):
            raise ValueError(f"its '{key}' is not what this program writes")
    return info


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _share(share: Any) -> bool:
    """Whether it is a measure with an interval, any of which may be undefined."""
    return isinstance(share, dict) and all(
        key in share and (share[key] is None or _number(share[key])) for key in ("value", "low", "high")
    )
