"""metrics.html: a run's report as one self-contained page that opens from disk, without scripts or network access.

The report and the cross-validated probabilities go in; HTML comes out. `templates/report.html.j2` is the page.
"""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
import jinja2
import numpy as np

from covid19.audit.result import Interval, ProbeResult
from covid19.core.measures import Metric
from covid19.data.dataset import Dataset, Record
from covid19.data.images import Read, encode_image
from covid19.data.split import Split
from covid19.evaluation.estimate import Estimate
from covid19.evaluation.metrics import predict_labels
from covid19.evaluation.result import OptionalMetric
from covid19.report import figures
from covid19.report.checklist import reporting_checklist
from covid19.report.conclusion import conclude, three_numbers
from covid19.report.result import Report
from covid19.report.summary import Outcome

MAX_MISTAKES_SHOWN = 24  # misclassified images, the most confident errors first
THUMBNAIL_SIDE_PX = 160
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


def write_page(path: Path, report: Report, outcome: Outcome, read: Read) -> None:
    """Write the page.

    Args:
        path: file to write; see `outputs.OutputTransaction`.
        report: from `make_report`.
        outcome: of the run; without cross-validation the page shows the held-out images alone.
        read: decodes a file, as `images.read_picture` does.

    Raises:
        OSError: the file cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("covid19.report.summary"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["number"] = _number
    environment.filters["interval"] = _interval
    mistake_count, mistakes = _mistakes(report.test.positive, outcome.dataset, outcome.estimate, read)
    text = environment.get_template("report.html.j2").render(
        report=report,
        conclusion=conclude(report),
        parts_of_picture=three_numbers(report.audit) if report.audit else [],
        metrics=METRICS,
        figures=_figures(report, outcome.dataset, outcome.estimate),
        probes=figures.probes(report.audit) if report.audit else "",
        parts=_parts(outcome.dataset, outcome.split),
        mistake_count=mistake_count,
        mistakes=mistakes,
        checklist=reporting_checklist(report),
        versions=vars(report.environment),
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _figures(report: Report, dataset: Dataset, estimate: Estimate) -> dict[str, str]:
    """The page's figures by title."""
    history = report.training.history
    charts = {
        "Loss by epoch (nats)": figures.curves(history, "loss", "Loss"),
        "Accuracy by epoch": figures.curves(history, "accuracy", "Accuracy"),
    }
    if estimate.probabilities is None or report.cross_validation is None:
        return charts
    positive = report.test.positive
    truth = np.array([record.label == positive for record in dataset.records])
    score = estimate.probabilities[:, dataset.classes.index(positive)].astype(float)
    groups = [record.group for record in dataset.records]
    return charts | {
        "ROC curve": figures.roc(score, truth, groups),
        "Precision and recall": figures.precision_recall(score, truth, groups),
        "Reliability": figures.reliability(report.cross_validation.calibration.reliability),
        "Scores by class": figures.scores(score, truth, positive, estimate.threshold),
    }


class PartRow(NamedTuple):
    """Images and patients of one class in the training or the test part, and the images' projections."""

    label: str
    part: str
    images: int
    patients: int
    projections: dict[str, int]


def _parts(dataset: Dataset, split: Split) -> list[PartRow]:
    """A row for each class in each part."""
    rows = []
    for label in dataset.classes:
        for part, positions in {"training": split.train, "held out": split.test}.items():
            records = [dataset.records[i] for i in positions if dataset.records[i].label == label]
            projections = Counter(record.projection or "unknown" for record in records)
            rows.append(PartRow(label, part, len(records), len({record.patient for record in records}), dict(projections)))
    return rows


class Mistake(NamedTuple):
    """A misclassified image: what was predicted, with which probability, and the image as a data URL."""

    record: Record
    predicted: str
    probability: float
    picture: str


def _mistakes(positive: str, dataset: Dataset, estimate: Estimate, read: Read) -> tuple[int, list[Mistake]]:
    """How many images are misclassified out of fold, and the most confident of these errors."""
    if estimate.probabilities is None:
        return 0, []
    classes, records = dataset.classes, dataset.records
    predicted = predict_labels(estimate.probabilities, classes.index(positive), estimate.threshold)
    confidence = estimate.probabilities[np.arange(len(records)), predicted].tolist()
    wrong = [i for i, record in enumerate(records) if classes[predicted[i]] != record.label]
    wrong.sort(key=lambda i: -confidence[i])
    return len(wrong), [
        Mistake(records[i], classes[predicted[i]], confidence[i], _thumbnail(records[i], read))
        for i in wrong[:MAX_MISTAKES_SHOWN]
    ]


def _thumbnail(record: Record, read: Read) -> str:
    """A small JPEG as a data URL."""
    small = cv2.resize(read(record.path).pixels, (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), interpolation=cv2.INTER_AREA)
    encoded = encode_image(np.asarray(small, np.uint8), ".jpg", (cv2.IMWRITE_JPEG_QUALITY, 80))
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _interval(metric: Metric | OptionalMetric | ProbeResult | Interval) -> str:
    return "" if metric.low is None or metric.high is None else f"{metric.low:.3f} to {metric.high:.3f}"
