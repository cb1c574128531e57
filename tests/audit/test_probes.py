"""Probes: their scores out of fold, and the permutation test."""

import numpy as np
import pytest
from helpers.folds import question
from sklearn.metrics import roc_auc_score

from covid19.audit.probes import LabelledFolds, Probe, aucs_of, holm, make_probe, ridge_scores
from covid19.audit.verdict import assess_shortcuts
from covid19.evaluation.folds import make_folds


def test_holm_corrects_as_worked_out_by_hand():
    # sorted .01 .02 .03 -> 3 x .01, 2 x .02, max(.04, .03)
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1, 1]


def test_a_probe_that_knows_the_class_is_significant_and_noise_is_not():
    asked, generator = question(), np.random.default_rng(1)
    noise = generator.normal(size=(60, 4))
    telling = noise + np.outer(asked.positive, [3, 0, 0, 0])
    assert make_probe("a", telling, asked).p_value == pytest.approx(1 / 1000)
    assert make_probe("b", noise, asked).p_value > 0.05
    assert make_probe("c", telling, asked, lung_blind=False).p_value is None
    assert make_probe("b", noise, asked).p_value == make_probe("b", noise, asked).p_value
    rescaled = make_probe("b", noise * [1, 1e3, 1e-3, 1] + 7, asked).p_value
    assert rescaled == pytest.approx(make_probe("b", noise, asked).p_value, abs=0.005)  # rounding may turn a few of 999


def test_a_probe_has_the_scores_of_the_classifier_that_is_given():
    asked, inputs = question(), np.random.default_rng(8).normal(size=(60, 2))
    own = make_probe("d", inputs, asked)
    assert (own.name, own.lung_blind) == ("d", True)
    expected = ridge_scores(inputs, asked.positive[:, None].astype(float), asked.divisions)[:, 0]
    np.testing.assert_allclose(own.scores, expected, atol=1e-9)
    other = make_probe("e", inputs, asked, lung_blind=False, scores=inputs[:, 0])
    assert (other.name, other.lung_blind) == ("e", False)
    np.testing.assert_array_equal(other.scores, inputs[:, 0])


def test_scores_are_summed_over_the_repeats_less_what_the_training_part_says_on_average():
    asked = question()
    inputs, target = np.random.default_rng(9).normal(size=(60, 2)), asked.positive[:, None].astype(float)
    once = ridge_scores(inputs, target, asked.divisions[:1])
    np.testing.assert_allclose(ridge_scores(inputs, target, asked.divisions[:1] * 2), 2 * once)
    # Of inputs that say nothing a regression says the mean, each label's own.
    np.testing.assert_allclose(ridge_scores(0 * inputs, np.hstack([target, 5 + target]), asked.divisions), 0, atol=1e-12)


def test_the_auc_of_each_column_is_scikit_learns():
    generator = np.random.default_rng(10)
    scores, labels = generator.normal(size=(30, 4)).round(1), (generator.random((30, 4)) < [0.2, 0.4, 0.5, 0.8]).astype(float)
    expected = [roc_auc_score(label, score) for label, score in zip(labels.T, scores.T, strict=True)]
    np.testing.assert_allclose(aucs_of(scores, labels), expected)


def test_patients_of_several_images_change_labels_as_one():
    groups = [n // 3 for n in range(60)]
    positive = np.arange(60) < 30
    divisions = make_folds(positive.astype(int).tolist(), groups, 5, 1, 0)
    inputs = positive[:, None] + np.random.default_rng(7).normal(0, 0.1, (60, 1))
    assert make_probe("telling", inputs, LabelledFolds(positive, groups, divisions, 0)).p_value < 0.01


def test_many_images_are_permuted_less_often(monkeypatch):
    asked = question()
    for many, permutations in ((60, 999), (59, 199)):
        monkeypatch.setattr("covid19.audit.probes.LARGE_SET_IMAGES", many)
        assert make_probe("telling", asked.positive[:, None] * 9.0, asked).p_value == pytest.approx(1 / (1 + permutations))


def test_the_labels_of_four_patients_of_both_classes_can_lie_in_16_ways_of_which_2_are_as_telling():
    groups = [n // 2 for n in range(8)]
    positive = np.arange(8) % 2 == 0
    divisions = make_folds(positive.astype(int).tolist(), groups, 2, 1, 0)
    p_value = make_probe("telling", positive[:, None] * 1.0, LabelledFolds(positive, groups, divisions, 0)).p_value
    assert p_value == pytest.approx(2 / 16, abs=0.03)  # as they are, and all changed over


def test_scores_are_out_of_fold_and_their_auc_is_scikit_learns():
    asked = question()
    inputs = np.random.default_rng(2).normal(size=(60, 3)) + asked.positive[:, None]
    scores = ridge_scores(inputs, asked.positive[:, None].astype(float), asked.divisions)[:, 0]
    found = assess_shortcuts([Probe("x", True, True, scores, 0.001)], scores, asked)
    assert found.model_auc == pytest.approx(roc_auc_score(asked.positive, scores))
    changed = asked.positive.astype(float)[:, None].copy()
    held_out = asked.divisions[0][0].held_out
    changed[held_out] = 1 - changed[held_out]
    one = [[asked.divisions[0][0]]]
    before, after = (ridge_scores(inputs, target, one)[held_out] for target in (asked.positive[:, None].astype(float), changed))
    np.testing.assert_allclose(before, after, atol=1e-12)


def test_labels_are_permuted_by_patient():
    # Two patients a class with many alike images: by image this would be certain, by patient it is a matter of 1 in 6.
    groups = [n // 10 for n in range(40)]
    positive = np.arange(40) < 20
    own = np.random.default_rng(3).normal(size=4)
    inputs = np.sort(own)[groups][:, None] + np.random.default_rng(4).normal(0, 0.01, (40, 1))
    divisions = make_folds(positive.astype(int).tolist(), groups, 2, 1, 0)
    assert make_probe("x", inputs, LabelledFolds(positive, groups, divisions, 0)).p_value > 0.1


def test_a_patient_of_both_classes_keeps_them_and_swaps_within():
    groups = [n // 2 for n in range(40)]
    positive = np.arange(40) % 2 == 0
    divisions = make_folds(positive.astype(int).tolist(), groups, 5, 1, 0)
    asked, generator = LabelledFolds(positive, groups, divisions, 0), np.random.default_rng(6)
    own = generator.normal(0, 0.3, 20)[groups][:, None]
    assert make_probe("telling", own + positive[:, None], asked).p_value == pytest.approx(1 / 1000)
    assert make_probe("of the patient", own, asked).p_value == 1  # the same whichever image is called positive
