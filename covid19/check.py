"""Look a data set over without training: folder in, findings out. It takes seconds, and no Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from covid19.audit.probes import LabelledFolds, holm, probe_measurement
from covid19.core.executor.local import LocalExecutor
from covid19.core.settings import FILE_TIMEOUT_S, EvaluationSettings, LungSettings, TrainingSettings
from covid19.data.check import look_over
from covid19.data.check_findings import Findings, ProbeFinding
from covid19.data.dataset import Dataset, choose_positive
from covid19.data.decoding import DecodingPool
from covid19.data.gathering import Gathered
from covid19.data.images import read_picture
from covid19.data.measurements.registry import MEASUREMENTS, ProbeMeasurements
from covid19.data.reader import Filter, survey
from covid19.evaluation.bootstrap import roc_auc
from covid19.evaluation.folds import make_folds
from covid19.features.cache import Caches
from covid19.lungs.measured import measurements_of
from covid19.lungs.scan import Lungs, find_lungs


def check(
    gathered: Gathered, wanted: Filter, caches: Caches, file_timeout_s: float = FILE_TIMEOUT_S, positive: str | None = None
) -> Findings:
    """Look over a data set's files, metadata and classes, and ask whether the classes can be told apart without the lungs.

    Args:
        gathered: the images of the data set.
        wanted: as for a training run; images under two classes are reported, not refused.
        caches: know the images that were decoded before, and their lungs.
        file_timeout_s: seconds that reading one file may take.
        positive: the positive class; None takes that of a run without it.

    Raises:
        InputError: the table cannot be read, or was given and does not fit, or the positive class is none of the classes.
    """
    positive = choose_positive(gathered.classes, positive)
    with DecodingPool(file_timeout_s) as decoder:
        executor, read = LocalExecutor(decoder.run), partial(read_picture, run=decoder.run)
        dataset = survey(gathered, wanted, caches.scans, executor, read)
        lungs = find_lungs(dataset.records, LungSettings(), caches.lungs, executor, read, plain_progress=False)
        measured = measurements_of(dataset.records, lungs, caches.scans, executor, read)
    return look_over(dataset, _without_lungs(dataset, lungs), probe_classes(dataset, measured, positive), positive)


def _without_lungs(dataset: Dataset, lungs: Mapping[str, Lungs]) -> dict[str, str]:
    """Why no lungs were found in an image, by its name."""
    return {record.name: lungs[record.digest].reason for record in dataset.records if lungs[record.digest].origin == "box"}


def probe_classes(dataset: Dataset, measured: Sequence[ProbeMeasurements], positive: str) -> list[ProbeFinding]:
    """How well each lung-blind measurement tells the positive class from the others, by the folds of a default run.

    Args:
        dataset: the images.
        measured: of each image, see `measurements_of`.
        positive: the positive class.

    Returns:
        A finding for each probe; none where a class has too few patients to be divided.
    """
    patients = [len({record.group for record in dataset.records if record.label == label}) for label in dataset.classes]
    if min(patients) < 2:
        return []
    labels = [dataset.classes.index(record.label) for record in dataset.records]
    groups = [record.group for record in dataset.records]
    seed = TrainingSettings.seed
    divisions = make_folds(labels, groups, min(EvaluationSettings.folds, *patients), EvaluationSettings.repeats, seed)
    is_positive = np.array([record.label == positive for record in dataset.records])
    if not divisions:
        return []
    folds = LabelledFolds(is_positive, groups, divisions, seed)
    probes = [probe_measurement(own, measured, folds) for own in MEASUREMENTS if own.lung_blind]
    corrected = holm([probe.p_value for probe in probes if probe.p_value is not None])
    return [
        ProbeFinding(probe.name, roc_auc(probe.scores, is_positive), p_value)
        for probe, p_value in zip(probes, corrected, strict=True)
    ]
