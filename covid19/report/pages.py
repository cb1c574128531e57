"""What the HTML reports have in common: names of the measures, figures of scores, and filling in a template."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2

from covid19.audit.result import Interval, ProbeResult
from covid19.core.arrays import BoolArray, Float64Array
from covid19.core.measures import Metric
from covid19.evaluation.result import OptionalMetric, ReliabilityBin
from covid19.report import figures

METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "brier": "Brier score (0 is best)",
    "calibration_error": "Calibration error (0 is best)",
}


def fill_in(template: str, **values: object) -> str:
    """The page that a template makes of some values, besides the names of the measures."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("covid19.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["number"] = _number
    environment.filters["interval"] = _interval
    return environment.get_template(template).render(metrics=METRICS, **values)


def score_figures(
    score: Float64Array, positive: BoolArray, groups: Sequence[int], bins: Sequence[ReliabilityBin], label: str
) -> dict[str, str]:
    """The figures of probabilities that need images of both sides, by title.

    Args:
        score: probability of the positive class, (n,).
        positive: whether it is true, (n,); both occur.
        groups: of each image, the same for images of one patient.
        bins: of the reliability diagram.
        label: says of which images the curves are.
    """
    return {
        "ROC curve": figures.roc(score, positive, groups, label),
        "Precision and recall": figures.precision_recall(score, positive, groups, label),
        "Reliability": figures.reliability(bins, label),
    }


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _interval(metric: Metric | OptionalMetric | ProbeResult | Interval) -> str:
    return "" if metric.low is None or metric.high is None else f"{metric.low:.3f} to {metric.high:.3f}"
