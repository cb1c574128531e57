"""Cross-validation: who judges whom, and that nothing leaks."""

import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from helpers.datasets import read
from helpers.paths import PROJECT
from scipy.special import softmax

from covid19.core.executor.local import LocalExecutor
from covid19.core.settings import TrainingSettings
from covid19.data.images import read_picture
from covid19.evaluation.cross_validation import cross_validate
from covid19.evaluation.folds import make_folds
from covid19.evaluation.metrics import evaluate, one_hot
from covid19.features.augmentation import View
from covid19.features.backbone.network import build_base
from covid19.features.backbone.weights import get_weights
from covid19.features.cache import FeatureCache
from covid19.features.extraction import Extractor

LABELS = [0] * 12 + [1] * 14
GROUPS = [n // 2 for n in range(12)] + [100 + n // 3 for n in range(14)]


def test_each_image_is_held_out_once_a_repeat_and_never_beside_its_patient():
    divisions = make_folds(LABELS, GROUPS, 5, 3, seed=1)
    assert len(divisions) == 3
    for division in divisions:
        assert len(division) == 5
        assert sorted(np.concatenate([fold.held_out for fold in division]).tolist()) == list(range(26))
        for fold in division:
            assert sorted([*fold.train, *fold.held_out]) == list(range(26))
            assert not {GROUPS[i] for i in fold.train} & {GROUPS[i] for i in fold.held_out}
            assert {LABELS[i] for i in fold.train} == {0, 1}


def test_repeats_divide_anew_and_the_seed_fixes_them():
    def parts(seed):
        return [[fold.held_out.tolist() for fold in division] for division in make_folds(LABELS, GROUPS, 5, 3, seed)]

    assert parts(1) == parts(1)
    assert parts(1) != parts(2)
    assert len({str(sorted(division)) for division in parts(1)}) == 3


def test_a_class_of_few_patients_gets_as_few_folds_and_a_warning(capsys):
    divisions = make_folds([0] * 6 + [1] * 6, [0, 0, 1, 1, 2, 2, *range(10, 16)], 5, 2, seed=0)
    assert [len(division) for division in divisions] == [3, 3]
    assert "cross-validation with 3 folds, not 5: a class has 3 patients" in capsys.readouterr().err
    assert make_folds([0, 0, 1, 1], [0, 0, 1, 2], 5, 2, seed=0) == []


def test_a_head_learns_nothing_of_the_images_that_it_judges(tmp_path):
    labels = np.eye(2, dtype=np.float32)[LABELS]
    features = np.random.default_rng(0).normal(size=(26, 1, 512)).astype(np.float32)
    settings = TrainingSettings(epochs=3)
    divisions = make_folds(LABELS, GROUPS, 5, 1, seed=0)
    unchanged = cross_validate(features, labels, divisions, settings)[0]
    first, *others = divisions[0][0].held_out
    flipped, changed = labels.copy(), features.copy()
    flipped[first] = 1 - flipped[first]
    changed[first] *= 50  # neither may the standardisation see it
    after_flip = cross_validate(features, flipped, divisions, settings)[0]
    after_change = cross_validate(changed, labels, divisions, settings)[0]
    np.testing.assert_allclose(after_flip[[first, *others]], unchanged[[first, *others]], atol=1e-4)
    np.testing.assert_allclose(after_change[others], unchanged[others], atol=1e-4)
    elsewhere = divisions[0][1].held_out  # their head was trained on the image
    assert np.abs(after_flip[elsewhere] - unchanged[elsewhere]).max() > 0.01
    assert np.abs(after_change[elsewhere] - unchanged[elsewhere]).max() > 0.01


@pytest.fixture(scope="module")
def sample_features():
    """Features of the sample set's images on the untrained base, float32 (50, 1, 512), and its data set."""
    dataset, weights = read(PROJECT / "dataset"), get_weights("random")
    views = [View(record) for record in dataset.records]
    store = FeatureCache(None, 10**9)
    return dataset, Extractor(store, LocalExecutor(), read_picture).extract(views, build_base(weights), weights.digest).features


@pytest.mark.slow
def test_shuffled_labels_give_an_auc_of_one_half_in_19_of_20_seeds(sample_features):
    dataset, features = sample_features
    groups = np.array([record.group for record in dataset.records])
    patients, first = np.unique(groups, return_index=True)
    within = 0
    for seed in range(20):
        dealt = np.random.default_rng(seed).permutation([dataset.records[i].label for i in first])
        labels = one_hot([dict(zip(patients, dealt, strict=True))[group] for group in groups], dataset.classes)
        divisions = make_folds(labels.argmax(axis=1).tolist(), groups.tolist(), 5, 1, seed)
        logits = cross_validate(features, labels, divisions, TrainingSettings())
        probabilities = softmax(logits, axis=2).mean(axis=0)
        auc = evaluate(labels, probabilities, dataset.classes, "covid", groups.tolist()).roc_auc
        within += auc.low <= 0.5 <= auc.high
    assert within >= 19


def test_true_labels_of_the_sample_are_told_apart_well_above_chance_and_not_perfectly(sample_features):
    dataset, features = sample_features
    labels = one_hot([record.label for record in dataset.records], dataset.classes)
    groups = [record.group for record in dataset.records]
    divisions = make_folds(labels.argmax(axis=1).tolist(), groups, 5, 3, 0)
    probabilities = softmax(cross_validate(features, labels, divisions, TrainingSettings()), axis=2).mean(axis=0)
    auc = evaluate(labels, probabilities, dataset.classes, "covid", groups).roc_auc
    assert auc.low > 0.6
    assert auc.value < 0.99
