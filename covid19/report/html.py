"""metrics.html: a run's report as one self-contained page that opens from disk, without scripts and without a network.

The report and the cross-validated probabilities go in; HTML comes out. `templates/report.html.j2` is the page.
"""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from covid19.audit.verdict import explain_verdict
from covid19.data.dataset import Dataset, Record
from covid19.data.images import Read
from covid19.data.split import Split
from covid19.evaluation.estimate import Estimate
from covid19.evaluation.metrics import predict_labels
from covid19.report import figures
from covid19.report.checklist import model_card
from covid19.report.summary import Outcome, verdict

PICTURES = 24  # misclassified images shown, the surest errors first
THUMBNAIL = 160  # pixels
MEASURES = {
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


def write_page(path: Path, report: dict[str, Any], found: Outcome, read: Read) -> None:
    """Write the page.

    Args:
        path: file to write; see `outputs.OutputTransaction`.
        report: from `make_report`.
        found: of the run; without cross-validation the page shows the held-out images alone.
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
    text = environment.get_template("report.html.j2").render(
        report=report,
        verdict=verdict(report),
        shortcuts=explain_verdict(found.audit),
        measures=MEASURES,
        figures=_figures(report, found.dataset, found.estimate),
        probes=figures.probes(report["audit"]) if report["audit"] else "",
        sides=_sides(found.dataset, found.split),
        mistakes=_mistakes(report, found.dataset, found.estimate, read),
        card=model_card(report),
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _figures(report: dict[str, Any], dataset: Dataset, estimate: Estimate) -> dict[str, str]:
    """The page's pictures by title."""
    history = report["training"]["history"]
    drawn = {
        "Loss by epoch (nats)": figures.curves(history, "loss", "Loss"),
        "Accuracy by epoch": figures.curves(history, "accuracy", "Accuracy"),
    }
    if estimate.probabilities is None:
        return drawn
    positive = report["test"]["positive"]
    truth = np.array([record.label == positive for record in dataset.records])
    score = estimate.probabilities[:, dataset.classes.index(positive)].astype(float)
    groups = [record.group for record in dataset.records]
    return drawn | {
        "ROC curve": figures.roc(score, truth, groups),
        "Precision and recall": figures.precision_recall(score, truth, groups),
        "Reliability": figures.reliability(report["cross_validation"]["calibration"]["reliability"]),
        "Scores by class": figures.scores(score, truth, positive, estimate.threshold),
    }


def _sides(dataset: Dataset, split: Split) -> list[dict[str, Any]]:
    """Images and patients of each class on each side, and their projections."""
    sides = {"training": split.train, "held out": split.test}
    rows = []
    for label in dataset.classes:
        for side, positions in sides.items():
            records = [dataset.records[i] for i in positions if dataset.records[i].label == label]
            projections = Counter(record.projection or "unknown" for record in records)
            patients = len({record.patient for record in records})
            rows.append(
                {"class": label, "side": side, "images": len(records), "patients": patients, "projections": dict(projections)}
            )
    return rows


def _mistakes(report: dict[str, Any], dataset: Dataset, estimate: Estimate, read: Read) -> dict[str, Any]:
    """How many images the held-out heads called wrongly, and the surest of those errors as pictures."""
    probabilities = estimate.probabilities
    if probabilities is None:
        return {"count": 0, "shown": []}
    index = dataset.classes.index(report["test"]["positive"])
    called = predict_labels(probabilities, index, estimate.threshold)
    wrong = [i for i, record in enumerate(dataset.records) if dataset.classes[called[i]] != record.label]
    wrong.sort(key=lambda i: -float(probabilities[i, called[i]]))
    shown = [
        {
            "record": dataset.records[i],
            "called": dataset.classes[called[i]],
            "probability": float(probabilities[i, called[i]]),
            "picture": _thumbnail(dataset.records[i], read),
        }
        for i in wrong[:PICTURES]
    ]
    return {"count": len(wrong), "shown": shown}


def _thumbnail(record: Record, read: Read) -> str:
    """A small JPEG as a data URL."""
    small = cv2.resize(read(record.path).pixels, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _interval(share: dict[str, float | None]) -> str:
    return "" if share["low"] is None or share["high"] is None else f"{share['low']:.3f} to {share['high']:.3f}"
