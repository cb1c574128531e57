"""Sources: do the features know where an image comes from, and does a head hold for a source that it never saw?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score

from covid19.audit.probes import ridge, ridge_scores
from covid19.audit.result import Interval, SourceResult, SourcesResult
from covid19.core.arrays import BoolArray, Float64Array
from covid19.data.dataset import Record
from covid19.evaluation.bootstrap import Ranking, resample, roc_auc
from covid19.evaluation.folds import Fold

MIN_SOURCE_PATIENTS = 5  # a source with fewer counts among the others
OTHERS = "all smaller sources"


def describe_sources(
    records: Sequence[Record],
    features: NDArray[np.float32],
    model: Float64Array,
    positive: BoolArray,
    divisions: Sequence[Sequence[Fold]],
) -> SourcesResult | None:
    """How far the source of an image is known to its features, and whether the classes are told apart on a source left out.

    Args:
        records: that may name a source.
        features: float32 (n, width).
        model: the model's scores out of fold, (n,).
        positive: bool (n,).
        divisions: the run's own folds.

    Returns:
        None where the metadata name fewer than two sources.
    """
    sources = _sources(records)
    names = sorted(set(sources) - {""})
    if len(names) < 2:
        return None
    source, x = np.array(sources), features.astype(float)
    named = source != ""
    scores = ridge_scores(x, (source[:, None] == names).astype(float), divisions)
    guess = np.array(names)[scores.argmax(axis=1)]
    return SourcesResult(
        recognised=float(balanced_accuracy_score(source[named], guess[named])),
        by_chance=1 / len(names),
        sources=tuple(_source(name, records, x, model, positive, source == name) for name in names),
    )


def _source(
    name: str,
    records: Sequence[Record],
    features: Float64Array,
    model: Float64Array,
    positive: BoolArray,
    own: BoolArray,
) -> SourceResult:
    """One source, left out, against all others."""
    auc = _left_out(features, positive, own)
    images, positives = int(own.sum()), int((positive & own).sum())
    if auc is None:
        return SourceResult(name, images, positives, None)
    ranking = Ranking(model[~own], positive[~own])
    groups = [record.group for record, here in zip(records, own, strict=True) if not here]
    resampled = resample(lambda weights: {"auc": ranking.roc_auc(weights)}, groups, positive[~own].tolist())
    rest = Interval(*resampled.intervals()["auc"])
    patients = [
        len({record.group for record, here in zip(records, own & side, strict=True) if here}) for side in (positive, ~positive)
    ]
    return SourceResult(name, images, positives, auc, rest, auc < rest.low and min(patients) >= MIN_SOURCE_PATIENTS)


def _sources(records: Sequence[Record]) -> list[str]:
    """The source of each image, '' where nothing tells; those of few patients as one."""
    patients = {record.group: record.entry.source for record in records}
    sizes = Counter(patients.values())
    small = {source for source, patients_of in sizes.items() if source and patients_of < MIN_SOURCE_PATIENTS}
    return [OTHERS if record.entry.source in small else record.entry.source for record in records]


def _left_out(features: NDArray[np.float64], positive: BoolArray, held_out: BoolArray) -> float | None:
    """ROC AUC on one source by a ridge regression that was trained on all others."""
    if len(set(positive[held_out])) < 2 or len(set(positive[~held_out])) < 2:
        return None
    scores = ridge(features[~held_out], positive[~held_out].astype(float)[:, None], features[held_out])
    return roc_auc(scores[:, 0], positive[held_out])
