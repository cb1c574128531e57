"""Two reports side by side, with paired intervals of their differences where they tested the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from covid19.audit.explanation import status
from covid19.audit.result import AuditResult
from covid19.core.arrays import BoolArray, Float64Array
from covid19.core.console import aligned
from covid19.core.errors import InputError
from covid19.core.measures import Difference, Metric
from covid19.data.images import check_regular
from covid19.evaluation.bootstrap import Ranking, Statistics, resample
from covid19.evaluation.result import CrossValidation, Evaluation, PartialEvaluation, Prediction
from covid19.model.info import Verdict
from covid19.report.external_result import ExternalReport
from covid19.report.result import AuditReport, Report

METRICS = {"roc_auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity", "accuracy": "accuracy"}
FIRST, SECOND = "first", "second"
AnyReport = Report | ExternalReport | AuditReport


class TestedImage(NamedTuple):
    """One image of a report: its true class, its patient's number if known, its score, and the class that was predicted."""

    label: str
    group: int | None
    score: float
    predicted: str


@dataclass(frozen=True)
class Side:
    """What is compared of one report.

    Attributes:
        path: of the report.
        what: it reports, in words.
        positive: the positive class.
        verdict: of its audit; None without one.
        metrics: by name, see `METRICS`, as it has them.
        images: that were tested.
        dataset: its folder.
    """

    path: str
    what: str
    positive: str
    verdict: Verdict | None
    metrics: dict[str, Metric]
    images: int
    dataset: str


@dataclass(frozen=True)
class PairedDifference:
    """A number of the second report less that of the first, on the images that both tested.

    Attributes:
        metric: its name.
        first, second: the number on these images.
        value: the difference.
        low, high: ends of its 95 % interval, from paired resampling of patients, or of images where these are not known.
    """

    metric: str
    first: float
    second: float
    value: Difference
    low: Difference
    high: Difference


@dataclass(frozen=True)
class Comparison:
    """Two reports.

    Attributes:
        first, second: what they say.
        common: images that both tested, with the same class.
        by_patient: whether the differences were resampled by patient.
        differences: on the common images; empty if there are too few, or another positive class.
        settings: those of training that differ, by name: the first's and the second's.
        notes: what to know of the comparison, in sentences.
    """

    first: Side
    second: Side
    common: int
    by_patient: bool
    differences: list[PairedDifference]
    settings: dict[str, tuple[str, str]]
    notes: list[str]


def read_report(path: Path) -> AnyReport:
    """Read a report that `covid19 train`, `audit` or `evaluate` wrote.

    Raises:
        InputError: it is none.
    """
    kinds: dict[str, type] = {"split": Report, "in_training": ExternalReport, "not_tested": AuditReport}
    try:
        check_regular(path)
        content = msgspec.json.decode(path.read_bytes())
        keys = content.keys() if isinstance(content, dict) else ()
        kind = next((kind for key, kind in kinds.items() if key in keys), None)
        if kind is None:
            raise ValueError("it has none of the fields of a report")
        report: AnyReport = msgspec.convert(content, kind)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"'{path}' is no report that is known ({error}); expected the JSON that covid19 train, audit or evaluate wrote: "
            "give its path"
        ) from error
    return report


def compare_reports(paths: Sequence[Path]) -> Comparison:
    """Compare two reports.

    Args:
        paths: of the two.

    Raises:
        InputError: one is no report.
    """
    reports = [read_report(path) for path in paths]
    first, second = (_side(path, report) for path, report in zip(paths, reports, strict=True))
    own, other = (_tested(report) for report in reports)
    common = [path for path in own if path in other and own[path].label and own[path].label == other[path].label]
    groups = [own[path].group for path in common]
    by_patient = bool(common) and None not in groups
    differences, notes = [], []
    if first.positive != second.positive:
        notes.append(f"The positive classes differ, {first.positive} and {second.positive}: no differences are given.")
    elif len({own[path].label == first.positive for path in common}) < 2:
        notes.append("There are no images of both sides that both reports tested: no differences are given.")
    else:
        numbers = [group for group in groups if group is not None] if by_patient else list(range(len(common)))
        pairs = [[images[path] for path in common] for images in (own, other)]
        differences = _differences(pairs, first.positive, numbers)
        if not by_patient:
            notes.append("The patients are not known to these reports: each image counts as a patient of its own.")
    if first.dataset != second.dataset and common:
        notes.append(f"The data sets are two folders, {first.dataset} and {second.dataset}: images are matched by their paths.")
    settings = _different(_settings(reports[0]), _settings(reports[1]))
    return Comparison(first, second, len(common), by_patient, differences, settings, notes)


def _evaluation(report: Report | ExternalReport) -> Evaluation | PartialEvaluation:
    """The numbers to compare: cross-validated if there are any."""
    return (report.cross_validation or report.test) if isinstance(report, Report) else report.test


def _side(path: Path, report: AnyReport) -> Side:
    audit: AuditResult | None = report.audit
    verdict, dataset = audit.verdict if audit else None, report.dataset.root
    if isinstance(report, AuditReport):
        auc = {"roc_auc": Metric(audit.model_auc, audit.model.low, audit.model.high)} if audit else {}
        return Side(str(path), "scores of a model", report.positive, verdict, auc, len(report.scores), dataset)
    numbers = _evaluation(report)
    what = "another data set" if isinstance(report, ExternalReport) else "held out"
    what = "cross-validated" if isinstance(numbers, CrossValidation) else what
    metrics = {name: metric for name in METRICS if (metric := getattr(numbers, name)) is not None}
    images = sum(map(sum, numbers.confusion_matrix))
    return Side(str(path), what, numbers.positive, verdict, metrics, images, dataset)


def _tested(report: AnyReport) -> dict[str, TestedImage]:
    """The tested images by their paths."""
    if isinstance(report, AuditReport):
        return {one.path: TestedImage(one.label, one.group, one.score, "") for one in report.scores}
    numbers = _evaluation(report)
    predictions: list[Prediction] = []
    if isinstance(report, ExternalReport):
        predictions = report.predictions
    elif report.cross_validation:
        predictions = report.cross_validation.predictions
    return {one.path: _tested_image(one, numbers) for one in predictions if numbers.positive in one.probabilities}


def _tested_image(one: Prediction, numbers: Evaluation | PartialEvaluation) -> TestedImage:
    """An image with the class that is predicted at the threshold."""
    score, threshold = one.probabilities[numbers.positive], numbers.threshold
    likeliest = max(one.probabilities, key=lambda name: one.probabilities[name])
    if threshold is not None:
        others = {name: value for name, value in one.probabilities.items() if name != numbers.positive}
        likeliest = numbers.positive if score >= threshold else max(others, key=lambda name: others[name])
    return TestedImage(one.label, one.group, score, likeliest)


def _differences(pairs: Sequence[Sequence[TestedImage]], positive: str, groups: Sequence[int]) -> list[PairedDifference]:
    """The differences of all numbers that both sides have."""
    truth = np.array([image.label == positive for image in pairs[0]])
    every = np.ones(len(truth), bool)
    rankings = [Ranking(np.array([image.score for image in side], np.float64), truth) for side in pairs]
    statistics: dict[str, Statistics[str]] = {
        "roc_auc": lambda weights: {name: own.roc_auc(weights) for name, own in zip((FIRST, SECOND), rankings, strict=True)}
    }
    if all(image.predicted for side in pairs for image in side):
        for metric, among in (("sensitivity", truth), ("specificity", ~truth), ("accuracy", every)):
            statistics[metric] = _hit_rates(pairs, positive, metric, among)
    found = []
    for metric, compute in statistics.items():
        resampled = resample(compute, groups, truth.tolist())
        measured = resampled.measured
        low, high = resampled.differences(SECOND)[FIRST]
        found.append(PairedDifference(metric, measured[FIRST], measured[SECOND], measured[SECOND] - measured[FIRST], low, high))
    return found


def _hit_rates(pairs: Sequence[Sequence[TestedImage]], positive: str, metric: str, among: BoolArray) -> Statistics[str]:
    """Fractions of images, of those among which they are counted, that each side predicts rightly."""

    def is_hit(image: TestedImage) -> bool:
        if metric == "accuracy":
            return image.predicted == image.label
        return (image.predicted == positive) == (image.label == positive)

    hits = [np.array([is_hit(image) for image in side]) & among for side in pairs]

    def rates(weights: Float64Array) -> Mapping[str, Float64Array]:
        return {name: weights @ own / (weights @ among) for name, own in zip((FIRST, SECOND), hits, strict=True)}

    return rates


def _settings(report: AnyReport) -> dict[str, Any]:
    """What a training run was set to."""
    if not isinstance(report, Report):
        return {}
    training = report.training
    names = ("epochs", "batch_size", "learning_rate", "augmentations", "rotation")
    return {name: getattr(training, name) for name in names} | {"weights": report.base.weights, "seed": report.split.seed}


def _different(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    shared = first.keys() & second.keys()
    return {name: (str(first[name]), str(second[name])) for name in sorted(shared) if first[name] != second[name]}


def describe_comparison(comparison: Comparison) -> str:
    """A comparison as text."""
    sides = (comparison.first, comparison.second)
    paired = {one.metric: one for one in comparison.differences}
    rows = [
        ["report", *(side.path for side in sides), ""],
        ["of", *(f"{side.what}, {side.images} images" for side in sides), ""],
        ["audit", *(status(None) if side.verdict is None else side.verdict for side in sides), ""],
    ]
    for name, title in METRICS.items():
        cells = [str(side.metrics[name]) if name in side.metrics else "" for side in sides]
        one = paired.get(name)
        rows.append([title, *cells, f"{one.value:+.2f} ({one.low:+.2f} to {one.high:+.2f})" if one else ""])
    rows += [[name, *values, ""] for name, values in comparison.settings.items()]
    by = "patients" if comparison.by_patient else "images"
    lines = aligned(["", "A", "B", "B less A"], rows)
    if paired:
        lines += [
            "",
            f"B less A is measured on the {comparison.common} images that both tested; 95 % interval, paired by {by}.",
        ]
    return "\n".join([*lines, *comparison.notes])
