"""Numbers that can be checked on paper."""

from collections import Counter
from dataclasses import astuple

import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from sklearn import metrics

from covid19.core.measures import Metric
from covid19.evaluation import bootstrap
from covid19.evaluation.bootstrap import Ranking
from covid19.evaluation.metrics import evaluate, evaluate_one_side, one_hot, predict_labels, predictive_values
from covid19.evaluation.proportions import proportion
from covid19.evaluation.result import OptionalMetric
from covid19.report.summary import describe_test

CLASSES = ("covid", "normal")


def test_labels_become_rows_with_a_single_one():
    encoded = one_hot(["normal", "covid", "normal"], CLASSES)
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[0, 1], [1, 0], [0, 1]]


def test_nine_of_ten_is_anything_from_60_to_98_percent():
    # Wilson by hand: z = 1.96, p = .9, n = 10: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    assert astuple(proportion(9, 10)) == pytest.approx((0.9, 0.596, 0.982), abs=5e-4)


def test_a_lower_level_gives_a_narrower_interval():
    # The same by hand with z = 1.644854, of 90 %: 0.8148 ± 0.1625
    assert astuple(proportion(9, 10, 0.9)) == pytest.approx((0.9, 0.6522, 0.9773), abs=5e-4)


def test_all_right_still_has_a_lower_bound_and_none_right_an_upper_one():
    assert astuple(proportion(5, 5)) == pytest.approx((1.0, 1 / (1 + 1.959964**2 / 5), 1.0), abs=1e-6)
    assert proportion(0, 5).low == pytest.approx(0.0, abs=1e-12)


def test_a_confusion_matrix_worked_out_by_hand():
    # 4 covid, 3 of them predicted covid; 6 normal, 4 of them predicted normal.
    truth = one_hot(["covid"] * 4 + ["normal"] * 6, CLASSES)
    predicted = one_hot(["covid"] * 3 + ["normal"] + ["covid"] * 2 + ["normal"] * 4, CLASSES) * 0.8 + 0.1
    test = evaluate(truth, predicted, CLASSES, "covid")
    assert test.confusion_matrix == [[3, 1], [2, 4]]
    assert test.accuracy.value == 0.7
    assert test.sensitivity.value == 0.75
    assert test.specificity.value == pytest.approx(4 / 6)
    assert test.report["covid"]["precision"] == pytest.approx(3 / 5)
    swapped = evaluate(truth, predicted, CLASSES, "normal")
    assert swapped.sensitivity == test.specificity
    text = describe_test(truth, predicted.argmax(axis=1), CLASSES, test)
    assert "acc:         0.7000  (95 % interval 0.397 to 0.892)" in text
    assert "sensitivity: 0.7500" in text
    assert "specificity: 0.6667" in text


def test_with_three_classes_the_negatives_are_all_the_others():
    classes = ("bacteria", "covid", "normal")
    truth = one_hot(["covid", "covid", "bacteria", "normal", "normal"], classes)
    predicted = one_hot(["covid", "normal", "normal", "bacteria", "covid"], classes)
    test = evaluate(truth, predicted, classes, "covid")
    assert test.accuracy.value == pytest.approx(1 / 5)
    assert test.sensitivity.value == 0.5
    assert test.specificity.value == pytest.approx(2 / 3)  # bacteria predicted normal is still no covid
    assert [test.by_class[name].sensitivity.value for name in classes] == [0, 0.5, 0]
    assert [test.by_class[name].specificity.value for name in classes] == pytest.approx([3 / 4, 2 / 3, 1 / 3])


def some(seed, images=40, classes=2, ties=True):
    """Labels and probabilities that agree more often than not, float32 (n, classes), and the patient of each image."""
    generator = np.random.default_rng(seed)
    truth = np.eye(classes, dtype=np.float32)[generator.permutation(np.arange(images) % classes)]
    probabilities = generator.dirichlet(np.ones(classes), images).astype(np.float32) * 0.7 + 0.3 * truth
    return truth, probabilities.round(1) if ties else probabilities, (np.arange(images) // 2).tolist()


@pytest.mark.parametrize("ties", [True, False])
def test_every_number_equals_scikit_learns(ties):
    truth, probabilities, groups = some(3, ties=ties)
    numbers = evaluate(truth, probabilities, CLASSES, "covid", groups)
    positive, score, predicted = truth[:, 0] == 1, probabilities[:, 0].astype(float), probabilities.argmax(axis=1) == 0
    expected = {
        "roc_auc": metrics.roc_auc_score(positive, score),
        "average_precision": metrics.average_precision_score(positive, score),
        "brier": metrics.brier_score_loss(positive, score),
        "balanced_accuracy": metrics.balanced_accuracy_score(positive, predicted),
        "f1": metrics.f1_score(positive, predicted),
        "precision": metrics.precision_score(positive, predicted),
        "sensitivity": metrics.recall_score(positive, predicted),
    }
    assert {name: getattr(numbers, name).value for name in expected} == pytest.approx(expected, abs=1e-9)
    for name in (*expected, "accuracy", "specificity", "calibration_error"):
        assert 0 <= getattr(numbers, name).low <= getattr(numbers, name).value <= getattr(numbers, name).high <= 1


def test_a_resample_counts_an_image_as_often_as_its_patient_was_drawn():
    truth, probabilities, _ = some(4)
    positive, score = truth[:, 0] == 1, probabilities[:, 0].astype(float)
    weights = np.random.default_rng(0).integers(0, 4, (5, 40)).astype(float)
    ranking = Ranking(score, positive)
    for row, auc, precision in zip(weights, ranking.roc_auc(weights), ranking.average_precision(weights), strict=True):
        assert auc == pytest.approx(metrics.roc_auc_score(positive, score, sample_weight=row))
        assert precision == pytest.approx(metrics.average_precision_score(positive, score, sample_weight=row))


def test_more_classes_are_counted_each_against_the_rest_and_on_average():
    classes = ("bacteria", "covid", "normal")
    truth, probabilities, groups = some(5, images=60, classes=3, ties=False)
    numbers = evaluate(truth, probabilities, classes, "covid", groups)
    aucs = [metrics.roc_auc_score(truth[:, column], probabilities[:, column]) for column in range(3)]
    assert [numbers.by_class[name].roc_auc.value for name in classes] == pytest.approx(aucs)
    assert numbers.macro.roc_auc.value == pytest.approx(np.mean(aucs))
    assert numbers.roc_auc == numbers.by_class["covid"].roc_auc
    predicted = probabilities.argmax(axis=1)
    assert numbers.macro.f1.value == pytest.approx(metrics.f1_score(truth.argmax(axis=1), predicted, average="macro"))
    assert numbers.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(truth.argmax(axis=1), predicted))


def test_the_calibration_error_by_hand():
    # 4 images have 0.25, one is positive: right. 2 have 0.95, one is positive: off by 0.45. (4 x 0 + 2 x 0.45) / 6 = 0.15
    truth = one_hot(["covid", "normal", "normal", "normal", "covid", "normal"], CLASSES)
    probabilities = np.array([0.25, 0.25, 0.25, 0.25, 0.95, 0.95], np.float32)
    numbers = evaluate(truth, np.stack([probabilities, 1 - probabilities], axis=1), CLASSES, "covid")
    assert numbers.calibration_error.value == pytest.approx(0.15)


def test_a_perfect_ranking_of_ten_images_still_has_a_wide_interval():
    truth = one_hot(["covid"] * 5 + ["normal"] * 5, CLASSES)
    numbers = evaluate(truth, truth * 0.8 + 0.1, CLASSES, "covid")
    assert astuple(numbers.roc_auc) == pytest.approx((1.0, 1 / (1 + 1.959964**2 / 5), 1.0))


def test_four_copies_of_each_image_make_no_interval_narrower_where_they_are_one_patient():
    truth, probabilities, _ = some(6, images=40, ties=False)
    copies, patients = (np.repeat(array, 4, axis=0) for array in (truth, probabilities)), np.repeat(np.arange(40), 4)
    copied_truth, copied_said = copies
    once = evaluate(truth, probabilities, CLASSES, "covid").roc_auc
    together = evaluate(copied_truth, copied_said, CLASSES, "covid", patients.tolist()).roc_auc
    apart = evaluate(copied_truth, copied_said, CLASSES, "covid").roc_auc
    assert astuple(together) == pytest.approx(astuple(once))
    assert apart.high - apart.low < 0.7 * (once.high - once.low)


def test_a_precision_of_nothing_is_not_defined():
    truth = one_hot(["covid", "covid", "normal", "normal"], CLASSES)
    numbers = evaluate(truth, np.tile(np.float32([0.2, 0.8]), (4, 1)), CLASSES, "covid")
    assert numbers.precision == OptionalMetric(None, None, None)
    assert numbers.f1.value == 0


def test_a_probability_at_the_threshold_is_positive():
    assert predict_labels(np.array([[0.25, 0.75], [0.2, 0.8]], np.float32), 0, 0.25).tolist() == [0, 1]


def test_a_class_that_is_never_predicted_has_a_precision_of_0_in_the_report():
    test = evaluate(one_hot(["covid", "normal"], CLASSES), np.array([[0.9, 0.1], [0.6, 0.4]], np.float32), CLASSES, "covid")
    assert test.report["normal"]["precision"] == 0
    assert test.by_class is test.macro is None  # of two classes, one against the rest says it all


def test_the_threshold_decides_for_the_positive_class_alone():
    probabilities = np.array([[0.3, 0.6, 0.1], [0.2, 0.5, 0.3], [0.9, 0.05, 0.05]], np.float32)
    assert predict_labels(probabilities, 0, None).tolist() == [1, 1, 0]
    assert predict_labels(probabilities, 0, 0.25).tolist() == [0, 1, 0]
    assert predict_labels(probabilities, 0, 0.95).tolist() == [1, 1, 1]


def test_predictive_values_at_the_wards_rate_by_hand():
    # sensitivity 9/10, specificity 8/10; at 1 % prevalence: 0.9*0.01 / (0.9*0.01 + 0.2*0.99) = 0.0435
    truth = np.array([True] * 10 + [False] * 10)
    predicted = np.array([True] * 9 + [False] + [True] * 2 + [False] * 8)
    values = predictive_values(truth, predicted, 0.01)
    assert values.ppv.value == pytest.approx(0.009 / 0.207)
    assert values.npv.value == pytest.approx(0.8 * 0.99 / (0.8 * 0.99 + 0.1 * 0.01))
    assert values.prevalence == 0.01
    assert values.ppv.low < values.ppv.value < values.ppv.high
    sensitivity, specificity = proportion(9, 10, 0.975).low, proportion(8, 10, 0.975).low
    assert values.ppv.low == pytest.approx(sensitivity * 0.01 / (sensitivity * 0.01 + (1 - specificity) * 0.99))


def test_a_prediction_that_is_never_made_has_no_predictive_value():
    truth = np.array([True, True, False, False])
    assert predictive_values(truth, np.zeros(4, bool), 0.1).ppv.value is None
    assert predictive_values(truth, np.ones(4, bool), 0.1).npv.value is None
    assert predictive_values(truth, ~truth, 0.1).ppv.value == 0
    # One of two found, one of two cleared, and half of the patients sick: hits are as many as alarms.
    assert predictive_values(truth, np.array([True, False, True, False]), 0.5).ppv.value == 0.5


def test_numbers_are_counted_at_the_threshold():
    truth = one_hot(["covid", "covid", "normal", "normal"], CLASSES)
    probabilities = np.float32([0.9, 0.6, 0.6, 0.1])
    numbers = evaluate(truth, np.stack([probabilities, 1 - probabilities], axis=1), CLASSES, "covid", threshold=0.7)
    assert (numbers.confusion_matrix, numbers.threshold) == ([[1, 1], [0, 2]], 0.7)


@pytest.mark.slow
def test_the_intervals_cover_in_92_to_98_percent_of_500_simulated_sets(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 500)

    # 50 patients of each class with one to five images, which are alike; the truth from 200,000 patients of each class.
    def simulate(seed, patients):
        generator = np.random.default_rng(seed)
        images = generator.integers(1, 6, patients)
        groups = np.repeat(np.arange(patients), images)
        positive = groups % 2 == 0
        score = 1.44 * (positive - 0.5) + generator.normal(0, 0.7, patients)[groups] + generator.normal(size=len(groups))
        probabilities = (1 / (1 + np.exp(-score))).astype(np.float32)
        truth = np.stack([positive, ~positive], axis=1).astype(np.float32)
        return truth, np.stack([probabilities, 1 - probabilities], axis=1), groups.tolist()

    truth, probabilities, _ = simulate(10**6, 400_000)
    positive, score, predicted = truth[:, 0] == 1, probabilities[:, 0], probabilities.argmax(axis=1) == 0
    expected = {
        "roc_auc": metrics.roc_auc_score(positive, score),
        "average_precision": metrics.average_precision_score(positive, score),
        "brier": metrics.brier_score_loss(positive, score),
        "balanced_accuracy": metrics.balanced_accuracy_score(positive, predicted),
        "f1": metrics.f1_score(positive, predicted),
        "accuracy": metrics.accuracy_score(positive, predicted),
        "sensitivity": metrics.recall_score(positive, predicted),
        "specificity": metrics.recall_score(~positive, ~predicted),
        "precision": metrics.precision_score(positive, predicted),
    }
    covered = Counter()
    for seed in range(500):
        truth, probabilities, groups = simulate(seed, 100)
        numbers = evaluate(truth, probabilities, CLASSES, "covid", groups)
        covered.update(
            name for name, value in expected.items() if getattr(numbers, name).low <= value <= getattr(numbers, name).high
        )
    # The precision's interval does not know that each set has as many patients of one class as of the other: it is wide.
    assert covered.pop("precision") >= 460
    assert {name for name, sets in covered.items() if not 460 <= sets <= 490} == set(), covered


def test_a_class_without_images_is_left_out_of_every_mean():
    classes = ("covid", "normal", "pneumonia")
    truth = one_hot(["covid"] * 4 + ["normal"] * 4, classes)
    rows = [[0.8, 0.1, 0.1]] * 3 + [[0.1, 0.1, 0.8]] + [[0.1, 0.8, 0.1]] * 2 + [[0.6, 0.3, 0.1]] * 2
    found = evaluate(truth, np.array(rows, np.float32), classes, "covid")
    assert found.confusion_matrix == [[3, 0, 1], [2, 2, 0], [0, 0, 0]]
    assert found.balanced_accuracy.value == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert found.by_class.keys() == {"covid", "normal"}
    assert found.macro.roc_auc.value == pytest.approx(np.mean([one.roc_auc.value for one in found.by_class.values()]))
    every = [number for one in (found, *found.by_class.values()) for number in vars(one).values() if isinstance(number, Metric)]
    assert np.isfinite([astuple(number) for number in every]).all()


@pytest.mark.parametrize(
    ("label", "known", "unknown"), [("covid", "sensitivity", "specificity"), ("normal", "specificity", "sensitivity")]
)
def test_of_one_side_the_share_of_right_answers_is_known_by_patient(label, known, unknown):
    right, wrong = ((0.9, 0.1), (0.4, 0.6)) if label == "covid" else ((0.4, 0.6), (0.9, 0.1))
    probabilities = np.array([right] * 9 + [wrong], np.float32)
    truth = one_hot([label] * 10, CLASSES)
    found = evaluate_one_side(truth, probabilities, CLASSES, "covid", range(10), None)
    assert astuple(getattr(found, known)) == pytest.approx((0.9, 0.596, 0.982), abs=5e-4)
    assert {getattr(found, name) for name in (unknown, "roc_auc", "accuracy", "brier")} == {None}
    # Two patients with five images each are worth less than ten with one.
    fewer = evaluate_one_side(truth, probabilities, CLASSES, "covid", [0] * 5 + [1] * 5, None)
    assert getattr(fewer, known).low < getattr(found, known).low
    raised = evaluate_one_side(truth, probabilities, CLASSES, "covid", range(10), 0.95)
    assert getattr(raised, known).value == (0 if label == "covid" else 1)
