"""What a model file says beside the model: who made it, from what, and how far it can be believed.

`report.model_info` fills it in, and reading a file checks it against the same types: nothing in a file is believed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, NoReturn

import msgspec
from msgspec import Meta

from covid19.core.console import printable
from covid19.core.measures import Count, Difference, Fraction, Metric
from covid19.features.backbone.description import BACKBONE

DIGEST_DIGITS = 64  # of a file's digest and of a perceptual hash, in hexadecimal
MAX_CONTAINERS = 1000  # lists and objects in the information
MAX_OTHER_VALUES = 10_000  # beside digests
MAX_CLASSES = 1000
MAX_DIGITS = 1000  # of a whole number
MAX_REASON_CHARACTERS = 300  # of why information is refused, which may quote it
HIGHEST_THRESHOLD = math.nextafter(1, 2)  # above every probability, see `calibration.choose_threshold`

Verdict = Literal["explained", "present", "none-found", "too-few"]
DivisionCount = Annotated[int, Meta(ge=1, le=10**6)]  # of folds or repeats
Line = Annotated[str, Meta(max_length=2000)]
ClassName = Annotated[str, Meta(min_length=1, max_length=255)]  # a folder's name
Digest = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{DIGEST_DIGITS}}}\Z")]
# Settings are not used again, only kept: a path or a command line may hold any character.
Number = Annotated[int, Meta(ge=-(10**18), le=10**18)] | Annotated[float, Meta(ge=-1e18, le=1e18)]
Setting = bool | Number | str | Annotated[tuple[Number | str, ...], Meta(max_length=100)] | None


@dataclass(frozen=True)
class CrossValidationSummary:
    """The model's cross-validated metrics on its own data set.

    Attributes:
        folds, repeats: how the images were divided.
        grouped_by: what was kept in one fold.
        accuracy, sensitivity, specificity, roc_auc: the last three of the positive class.
    """

    folds: DivisionCount
    repeats: DivisionCount
    grouped_by: Annotated[tuple[Literal["patient", "duplicates"], ...], Meta(max_length=2)]
    accuracy: Metric
    sensitivity: Metric
    specificity: Metric
    roc_auc: Metric


@dataclass(frozen=True)
class MarginSummary:
    """By how much the model's AUC is above that of the best probe, in [-1, 1], with its 95 % interval."""

    probe: Line
    value: Difference
    low: Difference
    high: Difference

    def __post_init__(self) -> None:
        _check_printable(probe=[self.probe])


@dataclass(frozen=True)
class AuditSummary:
    """What the audit of the training data found, see `audit.verdict`."""

    verdict: Verdict
    margin: MarginSummary
    model_auc: Fraction
    words: Line

    def __post_init__(self) -> None:
        _check_printable(words=[self.words])


@dataclass(frozen=True)
class LungsInfo:
    """How the lungs of the training images were found.

    Attributes:
        finder: identity of the lung finder and its weights.
        box: left, top, right and bottom, as fractions, of what was taken for the lungs where none were found.
        found: fraction of the images whose lungs were found or drawn.
    """

    finder: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    box: tuple[Fraction, Fraction, Fraction, Fraction]
    found: Fraction

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not (left < right and top < bottom):
            raise ValueError("Expected left below right and top below bottom in `box`")


@dataclass(frozen=True)
class BaseInfo:
    """The backbone: its architecture's name, and its weights' origin and digest as in `weights.Weights`."""

    name: str
    weights: Annotated[str, Meta(min_length=1, max_length=2000)]
    digest: Digest

    def __post_init__(self) -> None:
        if self.name != BACKBONE.name:
            raise ValueError(f"Expected the backbone `{BACKBONE.name}`")
        _check_printable(weights=[self.weights])


@dataclass(frozen=True)
class PositiveCount:
    """How many of some images were predicted positive."""

    positives: Count
    images: Count

    def __post_init__(self) -> None:
        if self.positives > self.images:
            raise ValueError("Expected no more `positives` than `images`")


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model file says.

    Attributes:
        program: that wrote it.
        notice: what the model is not for.
        classes: in the order of the outputs.
        positive: one of the classes.
        preprocessing: of an image, in words.
        region: what the backbone is given of an image: all of it, or its lungs alone.
        lungs: None where they were not looked for.
        base: the backbone.
        settings: of the run, by the flags' names.
        versions: of the program and of the packages that it used.
        trained_on, trained_hashes: digest and perceptual hash of each training image.
        threshold: probability from which the positive class is predicted; None predicts the most probable class.
        temperature: that the logits were divided by; it is part of the last layer's weights.
        cross_validation, audit: None where the run did without.
        out_of_fold: the images of the cross-validation, and how many of them the positive class was predicted for at the
            threshold; None without cross-validation, and in files of an earlier version.
    """

    program: Literal["covid19"]
    notice: Line
    classes: Annotated[tuple[ClassName, ...], Meta(min_length=2, max_length=MAX_CLASSES)]
    positive: ClassName
    preprocessing: Line
    base: BaseInfo
    settings: Annotated[dict[str, Setting], Meta(max_length=100)]
    versions: Annotated[dict[Line, Line], Meta(max_length=100)]
    trained_on: tuple[Digest, ...]
    trained_hashes: tuple[Digest, ...]
    threshold: Annotated[float, Meta(ge=0, le=HIGHEST_THRESHOLD)] | None
    temperature: Annotated[float, Meta(ge=0.1, le=100)]  # wider than `calibration.fit_temperature` gives
    cross_validation: CrossValidationSummary | None
    audit: AuditSummary | None
    region: Literal["image", "lungs"] = "image"
    lungs: LungsInfo | None = None
    out_of_fold: PositiveCount | None = None

    def __post_init__(self) -> None:
        versions = [*self.versions, *self.versions.values()]
        _check_printable(notice=[self.notice], classes=self.classes, preprocessing=[self.preprocessing], versions=versions)
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("Expected different names in `classes`")
        if self.positive not in self.classes:
            raise ValueError("Expected one of the classes as `positive`")
        if self.region == "lungs" and self.lungs is None:
            raise ValueError("Expected `lungs` of a model that is given the lungs alone")
        if len(self.trained_on) != len(self.trained_hashes):
            raise ValueError("Expected as many `trained_hashes` as `trained_on`")


def parse_info(text: bytes) -> ModelInfo:
    """Read what a model file says; fields that `ModelInfo` lacks are left out.

    What is not known to be small is bounded before Python makes objects of it: the file's many strings are long, so that few
    commas come on a byte, and nothing is nested much.

    Args:
        text: JSON, in ASCII.

    Raises:
        ValueError: it is no JSON that this program writes: a field is missing or has a type, range or size that it never has.
    """
    if not text.isascii():
        raise ValueError("its information is not in ASCII")
    if text.count(b"[") + text.count(b"{") > MAX_CONTAINERS:
        raise ValueError(f"its information has more than {MAX_CONTAINERS} lists and objects")
    if text.count(b",") + text.count(b":") > MAX_OTHER_VALUES + len(text) // DIGEST_DIGITS:
        raise ValueError("its information has more values than this program writes")
    try:
        # Not by msgspec: a path in the settings may be no text, and its surrogates are none to msgspec.
        values = json.loads(text, parse_constant=_refuse_constant, parse_int=_parse_int)
        return msgspec.convert(values, ModelInfo)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        reason = printable(str(error))[:MAX_REASON_CHARACTERS]
        raise ValueError(f"its information is not what this program writes: {reason}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _parse_int(digits: str) -> float:
    """A whole number; one with too many digits for Python is larger than any field may be."""
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _check_printable(**fields: Iterable[str]) -> None:
    """Make sure that the texts of each field are lines that a terminal can be shown."""
    for field, texts in fields.items():
        if not all(text.isprintable() for text in texts):
            raise ValueError(f"Expected printable text in `{field}`")
