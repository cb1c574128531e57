"""The detection limit: which shortcut an audit of a data set of this size would have found."""

import base64

import numpy as np
import pytest

from covid19.audit import detection
from covid19.audit.detection import SHARES, _marked, detection_limit
from covid19.audit.probes import LabelledFolds
from covid19.data.measurements.border_ring import RING_VALUES
from covid19.evaluation.folds import make_folds


def clean(patients, images_each=1, seed=0):
    """Folds and rings of noise: as many patients of each class, with some images each."""
    positive = np.repeat(np.arange(2 * patients) < patients, images_each)
    groups = np.repeat(np.arange(2 * patients), images_each).tolist()
    cells = np.random.default_rng(seed).normal(90, 6, (len(positive), RING_VALUES)).clip(0, 255).astype(np.uint8)
    rings = [base64.b64encode(row.tobytes()).decode() for row in cells]
    return rings, LabelledFolds(positive, groups, make_folds(positive.astype(int).tolist(), groups, 5, 1, seed), seed)


def test_six_patients_of_each_class_are_too_few_for_any_marker():
    assert detection_limit(*clean(6), level=0.002).share is None


def test_with_sixty_patients_of_each_class_a_marker_in_nine_of_ten_against_one_of_ten_would_be_found():
    limit = detection_limit(*clean(60), level=0.0125)
    assert limit.share in SHARES
    assert limit.share <= 0.9
    assert (limit.power, limit.plantings) == (0.8, 20)


def test_the_same_seed_gives_the_same_limit():
    assert detection_limit(*clean(20, seed=4), level=0.0125) == detection_limit(*clean(20, seed=4), level=0.0125)


@pytest.mark.parametrize(("share", "positive", "others"), [(0.55, 11, 9), (0.75, 15, 5), (1.0, 20, 0)])
def test_of_twenty_patients_of_each_class_the_share_is_marked(share, positive, others):
    _, folds = clean(20)
    marked = _marked(folds, share, np.random.default_rng(0))
    assert (marked[folds.positive].sum(), marked[~folds.positive].sum()) == (positive, others)


def test_all_images_of_a_patient_are_marked_or_none():
    _, folds = clean(20, images_each=3)
    marked = _marked(folds, 0.75, np.random.default_rng(0)).reshape(40, 3)
    assert (marked.all(axis=1) == marked.any(axis=1)).all()
    assert (marked[:20].any(axis=1).sum(), marked[20:].any(axis=1).sum()) == (15, 5)


def test_of_many_images_those_of_some_patients_are_simulated(monkeypatch):
    rings, folds = clean(20, images_each=3)
    monkeypatch.setattr(detection, "MAX_IMAGES", 70)
    at, sampled = detection._sampled(folds)
    assert len(at) == 69
    assert set(np.unique(sampled.groups, return_counts=True)[1]) == {3}
    for fold in sampled.divisions[0]:
        groups = [set(np.array(sampled.groups)[own]) for own in fold]
        assert groups[0].isdisjoint(groups[1])
        assert sorted([*fold.train, *fold.held_out]) == list(range(69))
    assert detection_limit(rings, folds, level=0.0125).plantings == 20
