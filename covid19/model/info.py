"""What a model file says beside the model: who made it, from what, and how far it can be believed.

`report.model_info` writes it, and this module checks it when a file is read: nothing in a file is believed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from covid19.features.backbone.description import BACKBONE

MEASURES = ("accuracy", "sensitivity", "specificity", "roc_auc")
VERDICTS = ("explained", "present", "none-found", "too-few")  # of `verdict.assess_shortcuts`
DIGEST_DIGITS = 64  # of a file's digest and of a perceptual hash, in hexadecimal
MAX_DIGITS = 1000  # of a whole number
MAX_CONTAINERS = 1000  # lists and objects in the information
MAX_OTHER_VALUES = 10_000  # beside digests
MAX_CLASSES = 1000
MAX_NAME = 255  # characters of a class's name, which is a folder's
MAX_WORDS = 2000  # characters of a line of text
MAX_SETTINGS = 100  # entries of a list or an object
LARGEST = 1e18  # of a setting's number
HIGHEST_THRESHOLD = math.nextafter(1, 2)  # calls nobody, see `calibration.choose_threshold`
TEMPERATURES = (0.1, 100.0)  # wider than `calibration.fit_temperature` gives


def parse_info(text: bytes) -> dict[str, Any]:
    """Read what a model file says, and make sure of it.

    What is not known to be small is bounded before Python makes objects of it: the file's many strings are long, so that few
    commas come on a byte, and nothing is nested much.

    Args:
        text: JSON, in ASCII.

    Raises:
        ValueError: it is no JSON that this program writes, or `check_info` refuses it.
    """
    if not text.isascii():
        raise ValueError("its information is not in ASCII")
    if text.count(b"[") + text.count(b"{") > MAX_CONTAINERS:
        raise ValueError(f"its information has more than {MAX_CONTAINERS} lists and objects")
    if text.count(b",") + text.count(b":") > MAX_OTHER_VALUES + len(text) // DIGEST_DIGITS:
        raise ValueError("its information has more values than this program writes")
    return check_info(json.loads(text.decode(), parse_constant=_refuse_constant, parse_int=_parse_int))


def _parse_int(digits: str) -> float:
    """A whole number; one that Python would refuse in words of its own is larger than any field may be."""
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def check_info(info: Any) -> dict[str, Any]:
    """Make sure that what a file says is what `model_info` writes, in every field.

    Returns:
        The fields that `model_info` writes; others are left out.

    Raises:
        ValueError: it is of another program, or a field is missing or has a type, range or size that it never has.
    """
    if not isinstance(info, dict) or info.get("program") != "covid19":
        raise ValueError("it does not say that this program wrote it")
    for key, (is_right, expected) in FIELDS.items():
        if key not in info:
            raise ValueError(f"its information lacks '{key}', expected {expected}")
        if not is_right(info[key]):
            raise ValueError(f"its '{key}' is not what this program writes, expected {expected}")
    if info["positive"] not in info["classes"]:
        raise ValueError("its 'positive' is not what this program writes, expected one of its classes")
    if len(info["trained_on"]) != len(info["trained_hashes"]):
        raise ValueError("its 'trained_hashes' is not what this program writes, expected as many as 'trained_on' has")
    return {key: info[key] for key in ("program", *FIELDS)}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"its information holds {name}, expected numbers")


def _is_text(value: Any, most: int = MAX_WORDS) -> bool:
    """Whether it is text of one line that a terminal can be shown."""
    return isinstance(value, str) and len(value) <= most and value.isprintable()


def _is_number(value: Any, low: float, high: float) -> bool:
    # Compared, not converted: a whole number may have hundreds of digits.
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value, 1, 10**6)


def _are_digests(values: Any) -> bool:
    return (
        isinstance(values, list)
        and all(isinstance(value, str) and len(value) == DIGEST_DIGITS for value in values)
        and not "".join(values).strip("0123456789abcdef")
    )


def _are_classes(values: Any) -> bool:
    return (
        isinstance(values, list)
        and all(_is_text(value, MAX_NAME) and value for value in values)
        and 2 <= len(set(values)) == len(values) <= MAX_CLASSES
    )


def _is_base(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("name") == BACKBONE.name
        and _is_text(value.get("weights"))
        and bool(value["weights"])
        and _are_digests([value.get("digest")])
    )


def _is_setting(value: Any) -> bool:
    """Settings are not used again, only kept: a path or a command line may hold any character."""
    if isinstance(value, list):
        return len(value) <= MAX_SETTINGS and all(_is_number(item, -LARGEST, LARGEST) for item in value)
    return value is None or isinstance(value, str | bool) or _is_number(value, -LARGEST, LARGEST)


def _are_settings(values: Any) -> bool:
    return isinstance(values, dict) and len(values) <= MAX_SETTINGS and all(map(_is_setting, values.values()))


def _are_versions(values: Any) -> bool:
    return isinstance(values, dict) and len(values) <= MAX_SETTINGS and all(map(_is_text, [*values, *values.values()]))


def _is_measure(value: Any, low: float = 0) -> bool:
    """Whether it is a measure in [low, 1] with its interval."""
    return isinstance(value, dict) and all(_is_number(value.get(key), low, 1) for key in ("value", "low", "high"))


def _is_cross_validation(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and _is_count(value.get("folds"))
        and _is_count(value.get("repeats"))
        and value.get("grouped_by") in ([], ["patient", "duplicates"])
        and all(_is_measure(value.get(key)) for key in MEASURES)
    )


def _is_audit(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and value.get("verdict") in VERDICTS
        and _is_text(value.get("words"))
        and _is_number(value.get("model_auc"), 0, 1)
        and _is_measure(value.get("margin"), low=-1)
        and _is_text(value["margin"].get("probe"))
    )


# What each field holds: whether a value is right, and what right is, in words.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "notice": (_is_text, "a line of text"),
    "classes": (_are_classes, f"2 to {MAX_CLASSES} different printable names"),
    "positive": (lambda name: _is_text(name, MAX_NAME), "one of its classes"),
    "preprocessing": (_is_text, "a line of text"),
    "base": (_is_base, f"the name {BACKBONE.name}, the weights' origin and a digest of 64 hexadecimal digits"),
    "settings": (_are_settings, "texts, numbers and lists of numbers by name"),
    "versions": (_are_versions, "lines of text by name"),
    "trained_on": (_are_digests, "digests of 64 hexadecimal digits"),
    "trained_hashes": (_are_digests, "hashes of 64 hexadecimal digits"),
    "threshold": (
        lambda value: value is None or _is_number(value, 0, HIGHEST_THRESHOLD),
        "null or a probability",
    ),
    "temperature": (lambda value: _is_number(value, *TEMPERATURES), "a number from {} to {}".format(*TEMPERATURES)),
    "cross_validation": (_is_cross_validation, "null, or folds, repeats, grouped_by and measures with their intervals"),
    "audit": (_is_audit, f"null, or words, model_auc, margin and a verdict out of {', '.join(VERDICTS)}"),
}
