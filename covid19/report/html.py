"""metrics.html: a run's report as one self-contained page that opens from disk, without scripts or network access.

The report and the cross-validated probabilities go in; HTML comes out. `templates/report.html.j2` is the page.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from covid19.data.dataset import Dataset
from covid19.data.images import Read
from covid19.data.split import Split
from covid19.evaluation.estimate import Estimate
from covid19.report import figures
from covid19.report.checklist import reporting_checklist
from covid19.report.conclusion import conclude, three_numbers
from covid19.report.mistakes import Mistake, find_mistakes
from covid19.report.pages import fill_in, score_figures
from covid19.report.result import Report
from covid19.report.summary import Outcome


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
    mistakes: tuple[int, list[Mistake]] = (0, [])
    if outcome.estimate.probabilities is not None:
        mistakes = find_mistakes(
            outcome.dataset.records, outcome.estimate.probabilities, outcome.dataset.classes, report.test.positive,
            outcome.estimate.threshold, read,
        )  # fmt: skip
    text = fill_in(
        "report.html.j2",
        report=report,
        conclusion=conclude(report),
        parts_of_picture=three_numbers(report.audit) if report.audit else [],
        figures=_figures(report, outcome.dataset, outcome.estimate),
        probes=figures.probes(report.audit) if report.audit else "",
        parts=_parts(outcome.dataset, outcome.split),
        mistake_count=mistakes[0],
        mistakes=mistakes[1],
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
    return (
        charts
        | score_figures(score, truth, groups, report.cross_validation.calibration.reliability, "out of fold")
        | {"Scores by class": figures.scores(score, truth, positive, estimate.threshold)}
    )


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
