"""What is known of a model, said with every answer: the audit's verdict first, then its numbers, its threshold, the notice."""

from __future__ import annotations

from typing import Any

import msgspec

from covid19 import NOTICE
from covid19.audit.explanation import NOT_TESTED, STATUS, advise
from covid19.model.info import ModelInfo

SHORTCUT = STATUS["explained"]


def about_model(info: ModelInfo) -> dict[str, Any]:
    """What every answer carries, for JSON, see `openapi.MODEL`."""
    status = STATUS[info.audit.verdict] if info.audit else NOT_TESTED
    words = (info.audit.words if info.audit else advise(None)).removeprefix(f"{status}: ")
    return {
        "status": status,
        "verdict": words[:1].upper() + words[1:],
        "positive": info.positive,
        "threshold": decision_threshold(info),
        "decision": describe_decision(info),
        "base": info.base.weights,
        "region": info.region,
        "cross_validation": msgspec.to_builtins(info.cross_validation),
        "audit": msgspec.to_builtins(info.audit),
        "notice": NOTICE,
    }


def decision_threshold(info: ModelInfo) -> float | None:
    """The probability from which the positive class is predicted; None where that depends on the other classes'."""
    return 0.5 if info.threshold is None and len(info.classes) == 2 else info.threshold


def describe_decision(info: ModelInfo) -> str:
    """When the positive class is predicted, as a sentence."""
    threshold = decision_threshold(info)
    if threshold is None:
        return "The most probable class is predicted."
    if threshold > 1:
        return f"{info.positive} is never predicted: the model's threshold is above every probability."
    return f"{info.positive} is predicted if its probability is {threshold:.3f} or more."


def describe_model(about: dict[str, Any]) -> str:
    """The model's numbers, in one line.

    Args:
        about: from `about_model`.
    """
    numbers = about["cross_validation"]
    names = {"accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity", "AUC": "roc_auc"}
    parts = [f"{name} {_with_interval(numbers[key])}" for name, key in names.items()] if numbers else []
    measured = f"cross-validated {', '.join(parts)}" if parts else "not cross-validated"
    return f"Model: base with weights '{about['base']}', {measured}."


def _with_interval(metric: dict[str, float | None]) -> str:
    value, low, high = ("undefined" if metric[key] is None else f"{metric[key]:.2f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
