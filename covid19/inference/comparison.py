"""How answers compare with the truth: answers one by one in; a confusion matrix and numbers with 95 % intervals out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from covid19.core.arrays import IndexArray
from covid19.core.measures import Count, Metric
from covid19.data.patients import Patient, constant_ids, find_patient, unknown
from covid19.evaluation.metrics import grouped_roc_auc, sensitivity, specificity
from covid19.evaluation.proportions import grouped_proportion
from covid19.evaluation.words import confusion_lines, metric_line
from covid19.inference.answer import Answer
from covid19.inference.ground_truth import GroundTruth
from covid19.model.info import ModelInfo


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Answers compared with the truth, without the images that the model was trained on.

    Attributes:
        source: where the truth comes from, in words.
        positive: the positive class.
        confusion_matrix: by true class (keys), how many images were predicted as each class.
        no_label: by true class, how many images got no label: refused, or not readable.
        training_images: images left out since the model was trained on them.
        unknown: files left out since nothing tells their class.
        other_labels: files left out since their label is no class of the model, by label.
        read_as: the class that a label of another name was taken for, by label.
        patients: of the images with a label; an image of which nobody is known counts as a patient.
        accuracy, sensitivity, specificity: of the images with a label, with Wilson intervals for the effective number of
            images; None where there are none to divide by.
        roc_auc: of the positive class's probability, with a bootstrap interval by patient; None unless both the positive class
            and another one occur.
    """

    source: str
    positive: str
    confusion_matrix: dict[str, dict[str, Count]]
    no_label: dict[str, Count]
    training_images: Count
    unknown: Count
    other_labels: Mapping[str, Count]
    read_as: Mapping[str, str]
    patients: Count
    accuracy: Metric | None
    sensitivity: Metric | None
    specificity: Metric | None
    roc_auc: Metric | None


class _Compared(NamedTuple):
    """An image with a label: its true and its predicted class, the probability of the positive class, its patient."""

    true: str
    predicted: str
    probability: float
    patient: Patient


class Comparer:
    """Collects answers and compares them with the truth.

    Args:
        truth: the files' true classes.
        info: of the model.
    """

    def __init__(self, truth: GroundTruth, info: ModelInfo) -> None:
        self._truth, self._info = truth, info
        self._compared: dict[str, _Compared] = {}
        self._no_label: dict[str, str] = {}
        self._trained: set[str] = set()
        self._unknown: set[str] = set()

    def add(self, answer: Answer, patient_in_header: str) -> None:
        """Take one more answer; one for a file that was given twice counts once.

        Args:
            answer: of the model.
            patient_in_header: from the DICOM header, or ''.
        """
        file, true = answer.file, self._truth.classes.get(answer.file)
        if true is None:
            self._unknown.add(file)
        elif answer.training_image:
            self._trained.add(file)
        elif not answer.label:
            self._no_label[file] = true
        else:
            patient = find_patient(file, self._truth.patients.get(file, ""), patient_in_header, true)
            self._compared[file] = _Compared(true, answer.label, answer.probabilities[self._info.positive], patient)

    def result(self) -> Comparison:
        """The comparison of all answers so far."""
        rows, classes = list(self._compared.values()), self._info.classes
        refused = list(self._no_label.values())
        true, predicted = np.array([row.true for row in rows], object), np.array([row.predicted for row in rows], object)
        is_positive, called_positive = true == self._info.positive, predicted == self._info.positive
        patients = self._patients()
        both = 0 < is_positive.sum() < len(rows)
        scores = np.array([row.probability for row in rows], np.float64)
        return Comparison(
            source=self._truth.source,
            positive=self._info.positive,
            confusion_matrix={
                name: {other: int(((true == name) & (predicted == other)).sum()) for other in classes} for name in classes
            },
            no_label={name: refused.count(name) for name in classes},
            training_images=len(self._trained),
            unknown=len(self._unknown) - sum(self._truth.other_labels.values()),
            other_labels=self._truth.other_labels,
            read_as=self._truth.read_as,
            patients=len(set(patients.tolist())),
            accuracy=grouped_proportion(true == predicted, patients) if rows else None,
            sensitivity=sensitivity(is_positive, called_positive, patients) if is_positive.any() else None,
            specificity=specificity(is_positive, called_positive, patients) if (~is_positive).any() else None,
            roc_auc=grouped_roc_auc(scores, is_positive, patients.tolist()) if both else None,
        )

    def _patients(self) -> IndexArray:
        """A number for the patient of each image with a label; one ID for a whole class is nobody's."""
        constant = constant_ids([(row.true, row.patient) for row in self._compared.values()])
        names = [
            unknown(file).name if row.patient.name == constant.get(row.true) else row.patient.name
            for file, row in self._compared.items()
        ]
        return np.unique(names, return_inverse=True)[1]


def describe_comparison(comparison: Comparison, status: str, verdict: str) -> str:
    """A comparison as text, which begins with what the audit says of the model.

    Args:
        comparison: from `Comparer`.
        status, verdict: of the model, see `about.about_model`.
    """
    matrix, no_label = comparison.confusion_matrix, comparison.no_label
    labelled = sum(sum(row.values()) for row in matrix.values())
    counts = [[*row.values(), no_label[name]] for name, row in matrix.items()]
    lines = [f"{status}: {verdict}", f"Compared with the true classes from {comparison.source}:"]
    lines += confusion_lines(list(matrix), [*matrix, "no label"], counts)
    lines += [
        "",
        f"{_number(labelled, 'image')} with a label, of {_number(comparison.patients, 'patient')}; "
        f"positive class: {comparison.positive}",
    ]
    measured = {
        "accuracy": (comparison.accuracy, "no image got a label"),
        "sensitivity": (comparison.sensitivity, f"no image of {comparison.positive} got a label"),
        "specificity": (comparison.specificity, "no image of another class got a label"),
        "AUC": (comparison.roc_auc, f"it needs images of {comparison.positive} and of another class that got a label"),
    }
    lines += [
        metric_line(name, metric) if metric else f"{name + ':':<13}undefined: {why}" for name, (metric, why) in measured.items()
    ]
    if left_out := _left_out(comparison):
        lines.append(f"Left out of these numbers: {', '.join(left_out)}.")
    if comparison.read_as:
        pairs = [f"'{label}' as {name}" for label, name in comparison.read_as.items()]
        lines.append(f"Labels read as classes of the model: {', '.join(pairs)}.")
    return "\n".join(lines)


def _left_out(comparison: Comparison) -> list[str]:
    """How many images the numbers are not of, by the reason."""
    refused = sum(comparison.no_label.values())
    counts = {
        "that got no label": refused,
        "that the model was trained on": comparison.training_images,
        "whose class is not known": comparison.unknown,
    }
    counts |= {f"of '{label}', which is no class of the model": count for label, count in comparison.other_labels.items()}
    return [f"{_number(count, 'image')} {why}" for why, count in counts.items() if count]


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
