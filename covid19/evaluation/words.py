"""Numbers of an evaluation as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from covid19.core.measures import Metric

CONFUSION_TITLE = "confusion matrix (rows: true class, columns: predicted class)"


def confusion_lines(rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    """A confusion matrix, a line each for its title, its columns and each of its rows.

    Args:
        rows: names of the true classes.
        columns: names of what was predicted.
        counts: of images, (rows, columns).
    """
    width = max(len("specificity"), *map(len, (*rows, *columns)))
    lines = [CONFUSION_TITLE, "  ".join(f"{name:>{width}}" for name in ("", *columns))]
    lines += ["  ".join(f"{cell:>{width}}" for cell in (name, *own)) for name, own in zip(rows, counts, strict=True)]
    return lines


def metric_line(name: str, metric: Metric) -> str:
    """A number with its interval, as in `sensitivity: 0.9000  (95 % interval 0.596 to 0.982)`."""
    return f"{name + ':':<13}{metric.value:.4f}  (95 % interval {metric.low:.3f} to {metric.high:.3f})"
