"""The shortcut audit of one run: probes that see no lung, sources, and the comparison with the model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from covid19.audit.assessment import assess, measured_probes
from covid19.audit.inputs import LUNGS_ALONE, UNTRAINED, AuditInputs
from covid19.audit.probes import LabelledFolds, make_probe
from covid19.audit.result import AuditResult
from covid19.core.arrays import Float32Array
from covid19.core.settings import TrainingSettings
from covid19.data.dataset import Dataset
from covid19.evaluation.cross_validation import cross_validate
from covid19.evaluation.estimate import Estimate
from covid19.evaluation.folds import folds_within


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
    divisions = folds_within(estimate.divisions, inputs.at, len(dataset.records))
    folds = LabelledFolds(labels.argmax(axis=1) == index, [record.group for record in records], divisions, training.seed)
    probes = measured_probes(inputs, folds)

    def retrained(features: Float32Array) -> NDArray[np.float64]:
        logits = cross_validate(features[:, None], labels, divisions, training)
        return np.asarray(softmax(logits, axis=2).mean(axis=0)[:, index], float)

    for name, features in inputs.occluded.items():
        blind = name != LUNGS_ALONE
        probes.append(make_probe(name, features.astype(float), folds, blind, scores=retrained(features)))
    if inputs.untrained is not None:
        scores = retrained(inputs.untrained)
        probes.append(make_probe(UNTRAINED, inputs.untrained.astype(float), folds, lung_blind=False, scores=scores))
    return assess(probes, probabilities[:, index].astype(float), folds, records, inputs)
