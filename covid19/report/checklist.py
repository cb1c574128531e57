"""The reporting checklist: what the field's checklists ask, what this run answers, and what only its author can.

Item numbers are those of the 2024 update of CLAIM (Tejani et al., Radiology: Artificial Intelligence 6:e240300, 2024), which
counts its 44 items otherwise than the list of 2020, and of TRIPOD+AI (Collins et al., BMJ 385:e078378, 2024). They were
compared on 2026-11-25 with item-by-item summaries of both lists. Where no item clearly asks the question, no number is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from covid19.audit.explanation import status
from covid19.report.result import Report


class Item(NamedTuple):
    """A question of the checklists, its numbers in CLAIM and TRIPOD+AI; `answer` is '' where the run cannot know it."""

    question: str
    claim: str
    tripod: str
    answer: str


def reporting_checklist(report: Report) -> list[Item]:
    """The checklists' items, answered from a run's report."""
    return [*_data_items(report), *_model_items(report), *_result_items(report)]


def _data_items(report: Report) -> list[Item]:
    """Where the images come from and how they were divided."""
    data, split = report.dataset, report.split
    table = "no metadata table"
    if data.metadata:
        table = f"table with {data.metadata.rows} rows, {data.metadata.matched} images matched"
    grouped = "by patient and duplicates" if split.grouped_by else "by image: a patient may have images in both parts"
    used = f"{data.images} used, {len(data.skipped)} left out, listed above"
    divided = f"{grouped}; patients known by: {_counted(data.patients_by_rule)}; seed {split.seed}"
    return [
        Item("Sources of the data", "7", "5a", table),
        Item("Dates and setting of the images", "", "5b, 6a", ""),
        Item("Which images were eligible, and how many were left out", "8, 35", "6b, 20a", used),
        Item("Preparation of the images", "9", "7", "resized to 224x224 regardless of aspect ratio, scaled to [0, 1]"),
        Item("De-identification", "11", "", ""),
        Item("Missing data", "12", "11", ""),
        Item("How the images were acquired", "13", "", f"projections: {_counted(data.projections)}"),
        Item("Reference standard: who assigned the classes, and how", "14 to 18", "8a to 8c", ""),
        Item("How the data were divided", "19, 20", "12a", divided),
        Item("Class imbalance", "", "13", "balanced class weights"),
        Item("Sample size, and why", "21", "10", f"{data.patients} patients; no calculation was made"),
        Item("Age, sex, severity of the patients", "36", "20b", ""),
    ]


def _model_items(report: Report) -> list[Item]:
    """The model and its training."""
    base, training = report.base, report.training
    return [
        Item("Model", "22", "22", f"frozen {base.name}, mean of each feature map, 64 units, softmax"),
        Item("Software", "23", "", f"covid19 {report.version}, Keras {report.environment.keras}"),
        Item("Initial weights", "24", "12c", f"backbone: {base.weights} ({base.digest[:12]}); head: random, seeded"),
        Item("Training", "25, 26", "12c", f"{training.epochs} epochs, Adam {training.learning_rate:g}, no early stopping"),
    ]


def _result_items(report: Report) -> list[Item]:
    """How the model was tested, and what is left to the author."""
    cross = report.cross_validation
    internal = f"cross-validated, {cross.folds} folds, {cross.repeats} times" if cross else "on held-out images alone"
    return [
        Item("Metrics and their uncertainty", "28, 29, 38", "12e, 23a", "95 % intervals: Wilson, bootstrap; both by patient"),
        Item("Calibration", "", "12e", f"temperature {cross.calibration.temperature:.2f}" if cross else ""),
        Item("Robustness", "30", "", f"audit for shortcuts: {status(report.audit)}"),
        Item("Test on internal data", "32", "12c", internal),
        Item("Test on another hospital's patients", "33", "16", ""),
        Item("Fairness between groups of patients", "", "14", ""),
        Item("Analysis of errors", "39", "", "misclassified images are shown above" if cross else ""),
        Item("Limitations and use", "40, 41", "26, 27", report.notice),
        Item("Ethics, funding, registration, protocol", "34, 42, 44", "17, 18a to 18d", ""),
        Item("Availability of data, code and model", "43", "18e, 18f", ""),
    ]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
