"""The results in words and in JSON: what the run prints at its end, and metrics.json."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import classification_report

from covid19 import NOTICE, __version__
from covid19.dataset import Dataset
from covid19.outputs import written_whole
from covid19.settings import Settings
from covid19.split import Split
from covid19.weights import Weights

Array = NDArray[np.float32]


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


def make_report(
    settings: Settings,
    dataset: Dataset,
    split: Split,
    weights: Weights,
    extracted: int,
    history: dict[str, list[float]],
    test: dict[str, Any],
    timing: dict[str, float],
) -> dict[str, Any]:
    """Everything about one run, as JSON values; paths are relative to the data set's root."""
    return {
        "command": settings.command,
        "version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": dataset.as_json(),
        "split": _describe_split(dataset, split, settings),
        "base": {**weights.as_json(), "requested": settings.weights, "warning": weights.warning},
        "features": {"extracted": extracted, "store": str(settings.cache_dir or "default") if settings.cache else None},
        "training": {
            **{name: getattr(settings, name) for name in ("epochs", "batch_size", "learning_rate", "views", "rotation")},
            "from": str(settings.start_from) if settings.start_from else None,
            "history": history,
        },
        "test": test,
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


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write metrics.json, whole or not at all.

    Raises:
        OSError: the file cannot be written.
        ValueError: the report holds a number that JSON has no word for.
    """
    text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False)
    with written_whole(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def describe_test(truth: Array, probabilities: Array, classes: Sequence[str], test: dict[str, Any]) -> str:
    """The classification report, the confusion matrix and the three numbers of the field, as text.

    Args:
        truth, probabilities: (n, classes), as `metrics.evaluate` takes them.
        classes: names in the order of the columns.
        test: what `metrics.evaluate` made of them.
    """
    table = classification_report(
        truth.argmax(axis=1), probabilities.argmax(axis=1), labels=range(len(classes)), target_names=classes, zero_division=0.0
    )
    width = max(len("specificity"), *(len(name) for name in classes))
    lines = [table, "confusion matrix (rows: true class, columns: predicted class)"]
    lines.append("  ".join(f"{name:>{width}}" for name in ("", *classes)))
    for name, counts in zip(classes, test["confusion_matrix"], strict=True):
        lines.append("  ".join(f"{cell:>{width}}" for cell in (name, *counts)))
    lines += ["", f"{len(truth)} held-out images; positive class: {test['positive']}"]
    for name, key in (("acc", "accuracy"), ("sensitivity", "sensitivity"), ("specificity", "specificity")):
        share = test[key]
        lines.append(f"{name + ':':<13}{share['value']:.4f}  (95 % interval {share['low']:.3f} to {share['high']:.3f})")
    return "\n".join(lines)
