"""The shortcut audit of one run: probes that see no lung, sources, and the comparison with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from covid19.audit.detection import detection_limit
from covid19.audit.inputs import LUNGS_ALONE, AuditInputs
from covid19.audit.probes import LabelledFolds, make_probe, probe_measurement
from covid19.audit.result import AuditResult
from covid19.audit.sources import describe_sources
from covid19.audit.verdict import SIGNIFICANT, assess_shortcuts
from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.settings import TrainingSettings
from covid19.data.dataset import Dataset
from covid19.data.measurements.border_ring import BORDER_RING
from covid19.data.measurements.registry import MEASUREMENTS
from covid19.data.same_sources import have_both_sides
from covid19.evaluation.cross_validation import cross_validate
from covid19.evaluation.estimate import Estimate
from covid19.evaluation.folds import Fold

UNTRAINED = "untrained base"


def audit(
    dataset: Dataset, positive: str, labels: Float32Array, estimate: Estimate, inputs: AuditInputs, training: TrainingSettings
) -> AuditResult | None:
    """Probe the data set by the run's own folds.

    Args:
        dataset: of the run.
        positive: the positive class; all others together are the other side.
        labels: one-hot, float32 (n, classes).
        estimate: its probabilities are out of fold, or of a model that never saw the images.
        inputs: what the base saw.
        training: of heads on what the audit alone looks at; its seed is also that of the permutations.

    Returns:
        The result without `lungs`; None without cross-validation.
    """
    index = dataset.classes.index(positive)
    if estimate.probabilities is None:
        return None
    records = [dataset.records[i] for i in inputs.at]
    probabilities, labels = estimate.probabilities[inputs.at], labels[inputs.at]
    divisions = _within(estimate.divisions, inputs.at, len(dataset.records))
    folds = LabelledFolds(labels.argmax(axis=1) == index, [record.group for record in records], divisions, training.seed)
    probes = [
        probe_measurement(own, inputs.measurements, folds, inputs.region == "image" or not own.needs_hidden_lungs)
        for own in MEASUREMENTS
    ]

    def retrained(features: Float32Array) -> NDArray[np.float64]:
        logits = cross_validate(features[:, None], labels, divisions, training)
        return np.asarray(softmax(logits, axis=2).mean(axis=0)[:, index], float)

    for name, features in inputs.occluded.items():
        blind = name != LUNGS_ALONE
        probes.append(make_probe(name, features.astype(float), folds, blind, scores=retrained(features)))
    if inputs.untrained is not None:
        scores = retrained(inputs.untrained)
        probes.append(make_probe(UNTRAINED, inputs.untrained.astype(float), folds, lung_blind=False, scores=scores))
    model = probabilities[:, index].astype(float)
    found = assess_shortcuts(probes, model, folds)
    limit = None
    # A marker in the border is not shown to a model of the lungs alone: how small a one would be found says nothing of it.
    if found.verdict in ("none-found", "too-few") and inputs.region == "image":
        tests = sum(probe.p_value is not None for probe in probes)
        rings = [measured[BORDER_RING.name] for measured in inputs.measurements]
        limit = detection_limit(rings, folds, SIGNIFICANT / tests)
    return replace(
        found,
        sources=describe_sources(records, inputs.features, model, folds.positive, divisions),
        same_sources=have_both_sides(records, folds.positive),
        detection=limit,
        images_without_lungs=inputs.without_lungs,
    )


def _within(divisions: Sequence[Sequence[Fold]], at: IndexArray, count: int) -> Sequence[Sequence[Fold]]:
    """The same folds among the images at some positions."""
    place = np.full(count, -1)
    place[at] = np.arange(len(at))
    return [[Fold(*(own[own >= 0] for own in (place[fold.train], place[fold.held_out]))) for fold in one] for one in divisions]
