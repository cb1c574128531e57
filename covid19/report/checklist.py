"""The reporting checklist: what the field's checklists ask, what this run answers, and what only its author can.

Item numbers are those of CLAIM (Mongan, Moy, Kahn, Radiology: Artificial Intelligence 2:e200029, 2020) and TRIPOD+AI (Collins
et al., BMJ 385:e078378, 2024).
"""

from __future__ import annotations

from typing import NamedTuple

from covid19.report.result import Report


class Item(NamedTuple):
    """A question of the checklists; `answer` is '' where the run cannot know it."""

    question: str
    claim: str
    tripod: str
    answer: str


def reporting_checklist(report: Report) -> list[Item]:
    """The checklists' items, answered from a run's report."""
    data, split, base, training, cross = report.dataset, report.split, report.base, report.training, report.cross_validation
    grouped = "by patient and duplicates" if split.grouped_by else "by image: a patient may have images in both parts"
    table = "no metadata table"
    if data.metadata:
        table = f"table with {data.metadata.rows} rows, {data.metadata.matched} images matched"
    identified = ", ".join(f"{rule} {count}" for rule, count in data.patients_by_rule.items())
    return [
        Item("Sources of the data", "7", "5a", table),
        Item("Dates and setting of the images", "7", "5b, 6a", ""),
        Item("Which images were eligible", "8", "6b", f"{data.images} used, {len(data.skipped)} left out, listed above"),
        Item("Preparation of the images", "9", "7", "resized to 224x224 regardless of aspect ratio, scaled to [0, 1]"),
        Item("How patients were identified", "12, 21", "7", identified),
        Item("Reference standard: who assigned the classes, and how", "14 to 18", "8a", ""),
        Item("Sample size, and why", "19", "10", f"{data.patients} patients; no calculation was made"),
        Item("How the data were divided", "20, 21", "12a, 16", f"{grouped}; seed {split.seed}"),
        Item("Class imbalance", "10", "13", "balanced class weights"),
        Item("Model", "22", "22", f"frozen {base.name}, mean of each feature map, 64 units, softmax"),
        Item("Software", "23", "18f", f"covid19 {report.version}, Keras {report.environment.keras}"),
        Item("Initial weights", "24", "12c", f"backbone: {base.weights} ({base.digest[:12]}); head: random, seeded"),
        Item("Training", "25, 26", "12c", f"{training.epochs} epochs, Adam {training.learning_rate:g}, no early stopping"),
        Item("Metrics and their uncertainty", "28, 29, 36", "12e, 23a", "95 % intervals: Wilson, bootstrap; both by patient"),
        Item("Calibration", "28", "12e", f"temperature {cross.calibration.temperature:.2f}" if cross else ""),
        Item("Test on another hospital's patients", "32", "12f", ""),
        Item("Age, sex, severity of the patients", "34", "20a", ""),
        Item("Fairness between groups of patients", "", "14", ""),
        Item("Analysis of errors", "37", "25", "misclassified images are shown above" if cross else ""),
        Item("Limitations and use", "38, 39", "26, 27", report.notice),
        Item("Ethics, funding, registration, protocol", "40 to 42", "17, 18", ""),
    ]
