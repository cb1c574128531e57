"""The results in words and in JSON: what the run prints at its end, and metrics.json."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import classification_report

from covid19 import NOTICE, __version__
from covid19.audit.result import AuditResult
from covid19.audit.verdict import explain_verdict
from covid19.core.settings import Settings
from covid19.data.dataset import FEW, Dataset
from covid19.data.split import Split
from covid19.evaluation.estimate import Estimate
from covid19.features.backbone.weights import Weights
from covid19.features.extraction import Extracted

Array = NDArray[np.float32]
Whole = NDArray[np.intp]


def environment() -> dict[str, str]:
    """Versions of what the run stood on."""
    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": backend,
        "backend_version": sys.modules[backend].__version__,
        "platform": platform.platform(),
    }


class Outcome(NamedTuple):
    """What a run found, for its report.

    Attributes:
        dataset, split, weights: what it stood on.
        extracted: from `extraction.extract`.
        history: from `train_heads`.
        test: from `evaluate`, on the held-out images.
        estimate: from `estimate`.
        audit: from `run.audit`, or None.
    """

    dataset: Dataset
    split: Split
    weights: Weights
    extracted: Extracted
    history: dict[str, list[float]]
    test: dict[str, Any]
    estimate: Estimate
    audit: AuditResult | None


def make_report(settings: Settings, found: Outcome, timing: dict[str, float]) -> dict[str, Any]:
    """Everything about one run, as JSON values; paths are relative to the data set's root."""
    return {
        "command": settings.command,
        "version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": found.dataset.as_json(),
        "split": _describe_split(found.dataset, found.split, settings),
        "base": {**found.weights.as_json(), "requested": settings.weights, "warning": found.weights.warning},
        "features": {
            "extracted": found.extracted.runs,
            "precision": found.extracted.precision,
            "store": str(settings.cache_dir or "default") if settings.cache else None,
        },
        "training": {
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "augmentations": settings.augmentations,
            "rotation": settings.rotation,
            "from": str(settings.start_from) if settings.start_from else None,
            "history": found.history,
        },
        "test": found.test,
        "cross_validation": found.estimate.numbers,
        "audit": msgspec.to_builtins(found.audit),
        "timing": timing,
        "environment": environment(),
        "notice": NOTICE,
    }


def _describe_split(dataset: Dataset, split: Split, settings: Settings) -> dict[str, Any]:
    """The members of each side, by what they were grouped, and how many patients stand on each side and on both."""
    sides = {side: [dataset.records[i] for i in positions] for side, positions in split._asdict().items()}
    patients = {side: {record.patient for record in records} for side, records in sides.items()}
    return {
        "test_size": settings.test_size,
        "seed": settings.seed,
        "grouped_by": ["patient", "duplicates"] if settings.groups else [],
        "patients": {
            "train": len(patients["train"]),
            "test": len(patients["test"]),
            "both": len(patients["train"] & patients["test"]),
        },
        **{side: [record.name for record in records] for side, records in sides.items()},
    }


def describe_test(
    truth: Array, called: Whole, classes: Sequence[str], test: dict[str, Any], what: str = "held-out images"
) -> str:
    """The classification report, the confusion matrix and the three numbers of the field, as text.

    Args:
        truth: one-hot labels (n, classes).
        called: class of each image, (n,), as `metrics.predict_labels` gives it.
        classes: names in the order of the columns.
        test: what `metrics.evaluate` made of them.
        what: was tested, in words.
    """
    table = classification_report(
        truth.argmax(axis=1), called, labels=range(len(classes)), target_names=classes, zero_division=0.0
    )
    width = max(len("specificity"), *(len(name) for name in classes))
    lines = [table, "confusion matrix (rows: true class, columns: predicted class)"]
    lines.append("  ".join(f"{name:>{width}}" for name in ("", *classes)))
    for name, counts in zip(classes, test["confusion_matrix"], strict=True):
        lines.append("  ".join(f"{cell:>{width}}" for cell in (name, *counts)))
    lines += ["", f"{len(truth)} {what}; positive class: {test['positive']}"]
    for name, key in (("acc", "accuracy"), ("sensitivity", "sensitivity"), ("specificity", "specificity")):
        share = test[key]
        lines.append(f"{name + ':':<13}{share['value']:.4f}  (95 % interval {share['low']:.3f} to {share['high']:.3f})")
    return "\n".join(lines)


def verdict(report: dict[str, Any]) -> str:
    """What the run's numbers allow to say, in plain words."""
    cross, data, split = report["cross_validation"], report["dataset"], report["split"]
    numbers = cross or report["test"]
    by = "by patient" if split["grouped_by"] else "by image, so that patients cross the folds"
    how = f"cross-validated {by}" if cross else f"on {len(split['test'])} held-out images"
    share, balanced = numbers["accuracy"], numbers["balanced_accuracy"]
    interval = f"{share['low']:.2f} to {share['high']:.2f}"
    words = [f"{numbers['positive']} is told from the rest with accuracy {share['value']:.2f} ({interval}), {how}."]
    if balanced["low"] <= 1 / len(data["classes"]):
        words.append("That is not shown to be better than guessing.")
    if split["grouped_by"] and (unknown := data["patients_by_rule"].get("none", 0)):
        words.append(f"The patient of {unknown} of {data['images']} images is not known: one may stand on both sides.")
    few = min(data["patients_by_class"].values())
    if few < FEW:
        words.append(f"With {few} patients in the smallest class, little can be concluded.")
    words.append(explain_verdict(msgspec.convert(report["audit"], AuditResult | None)))
    return " ".join(words)


def summarise(report: dict[str, Any], settings: Settings, base: str) -> str:
    """The last lines of a run: both estimates side by side, the files written, the base in words, and last the verdict."""
    cross, test = report["cross_validation"], report["test"]
    estimates = {f"held out, {len(report['split']['test'])} images": test}
    if cross:
        estimates = {f"cross-validated, {cross['folds']} folds x {cross['repeats']}": cross} | estimates
    baseline = "always the larger class"
    width = max(map(len, (*estimates, baseline)))
    lines = [""]
    for title, numbers in estimates.items():
        cells = []
        for name, key in (("acc", "accuracy"), ("sens", "sensitivity"), ("spec", "specificity"), ("AUC", "roc_auc")):
            share = numbers[key]
            cells.append(f"{name} {share['value']:.2f} ({share['low']:.2f}-{share['high']:.2f})")
        lines.append(f"{title:<{width}}  {'  '.join(cells)}")
    lines.append(f"{baseline:<{width}}  acc {_majority(report):.2f}")
    lines.append("")
    written = {
        settings.model: "model",
        settings.report: "numbers",
        settings.page: "the same to look at",
        settings.plot: "curves",
    }
    lines.append(f"Wrote {', '.join(f'{path} ({what})' for path, what in written.items() if path)}.")
    lines.append(f"Base: VGG16, {base}. {NOTICE}")
    lines += ["", f"Verdict: {verdict(report)}"]
    return "\n".join(lines)


def _majority(report: dict[str, Any]) -> float:
    counts = report["dataset"]["counts"].values()
    return float(max(counts) / sum(counts))
