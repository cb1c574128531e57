"""The audit of a model of which only scores are known: its scores and measured images in, probes and a verdict out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from covid19.audit.assessment import assess, measured_probes
from covid19.audit.inputs import AuditInputs
from covid19.audit.probes import LabelledFolds, probe_of_scores
from covid19.audit.result import AuditResult
from covid19.core.arrays import Float64Array
from covid19.core.settings import Settings
from covid19.data.dataset import Dataset
from covid19.data.measurements.registry import ProbeMeasurements
from covid19.evaluation.folds import Fold, make_folds
from covid19.evaluation.scores import Scores, given_divisions, shared_across


class Prepared(NamedTuple):
    """What is to be audited.

    Attributes:
        dataset: of the images that have a score, 20,000 at most.
        values: their scores, (m,).
        folds: of each repeat the fold of each image, see `Scores`.
        hidden: scores with the lungs hidden, (m,) by the probe's name.
        measured: of each image.
        without_lungs: images in which no lungs were found.
        matched: the scores of all images.
        images: that could have had a score.
    """

    dataset: Dataset
    values: Float64Array
    folds: tuple[tuple[str, ...], ...]
    hidden: dict[str, Float64Array]
    measured: Sequence[ProbeMeasurements]
    without_lungs: int
    matched: Scores
    images: int


class Divided(NamedTuple):
    """The folds of the probes, whether they are the table's, and what is wrong with those; `shared` is None without any."""

    divisions: list[list[Fold]]
    are_given: bool
    shared: int | None
    notes: list[str]


def divide(prepared: Prepared, positive: str, settings: Settings) -> Divided:
    """The table's folds, if probes can be trained and compared by them; else folds by patient."""
    records = prepared.dataset.records
    groups = [record.group for record in records]
    notes, shared = [], None
    if prepared.folds:
        divisions = given_divisions(prepared.folds, np.array([record.label == positive for record in records]))
        shared = shared_across(divisions, groups)
        if divisions and not shared:
            return Divided(divisions, True, shared, [])
        if shared:
            notes.append(
                f"LEAK: {shared} of {len(records)} images were held out in folds whose training part has others of their "
                "patient, or duplicates of them. Their scores are too good; make folds by patient and score the images anew."
            )
        else:
            notes.append("The folds of the table cannot serve the probes: a fold is alone, too small, or there are too many.")
    labels = [prepared.dataset.classes.index(record.label) for record in records]
    evaluation = settings.evaluation
    drawn = make_folds(labels, groups, evaluation.folds, evaluation.repeats, settings.training.seed)
    return Divided(drawn, False, shared, notes)


def audit_prepared(prepared: Prepared, positive: str, divided: Divided, settings: Settings) -> AuditResult | None:
    """Compare the probes with the scores; None where a class has too few patients for folds."""
    if not divided.divisions:
        return None
    records = prepared.dataset.records
    is_positive = np.array([record.label == positive for record in records])
    folds = LabelledFolds(is_positive, [record.group for record in records], divided.divisions, settings.training.seed)
    every, region = np.arange(len(records)), settings.lungs.region
    inputs = AuditInputs(every, None, None, {}, prepared.without_lungs, prepared.measured, region)
    probes = measured_probes(inputs, folds)
    probes += [probe_of_scores(name, scores, folds) for name, scores in prepared.hidden.items()]
    return assess(probes, prepared.values, folds, records, inputs)
