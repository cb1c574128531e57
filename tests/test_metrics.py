"""Numbers that can be checked on paper."""

import numpy as np
import pytest

from covid19.metrics import evaluate, one_hot, proportion
from covid19.report import describe_test

CLASSES = ("covid", "normal")


def test_labels_become_rows_with_a_single_one():
    encoded = one_hot(["normal", "covid", "normal"], CLASSES)
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[0, 1], [1, 0], [0, 1]]


def test_nine_of_ten_is_anything_from_60_to_98_percent():
    # Wilson by hand: z = 1.96, p = .9, n = 10: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    assert proportion(9, 10) == pytest.approx({"value": 0.9, "low": 0.596, "high": 0.982}, abs=5e-4)


def test_all_right_still_has_a_lower_bound_and_none_right_an_upper_one():
    assert proportion(5, 5) == pytest.approx({"value": 1.0, "low": 1 / (1 + 1.959964**2 / 5), "high": 1.0}, abs=1e-6)
    assert proportion(0, 5)["low"] == pytest.approx(0.0, abs=1e-12)


def test_a_confusion_matrix_worked_out_by_hand():
    # 4 covid, 3 of them called covid; 6 normal, 4 of them called normal.
    truth = one_hot(["covid"] * 4 + ["normal"] * 6, CLASSES)
    called = one_hot(["covid"] * 3 + ["normal"] + ["covid"] * 2 + ["normal"] * 4, CLASSES) * 0.8 + 0.1
    test = evaluate(truth, called, CLASSES, "covid")
    assert test["confusion_matrix"] == [[3, 1], [2, 4]]
    assert test["accuracy"]["value"] == 0.7
    assert test["sensitivity"]["value"] == 0.75
    assert test["specificity"]["value"] == pytest.approx(4 / 6)
    assert test["report"]["covid"]["precision"] == pytest.approx(3 / 5)
    swapped = evaluate(truth, called, CLASSES, "normal")
    assert swapped["sensitivity"] == test["specificity"]
    text = describe_test(truth, called, CLASSES, test)
    assert "acc:         0.7000  (95 % interval 0.397 to 0.892)" in text
    assert "sensitivity: 0.7500" in text
    assert "specificity: 0.6667" in text


def test_with_three_classes_the_negatives_are_all_the_others():
    classes = ("bacteria", "covid", "normal")
    truth = one_hot(["covid", "covid", "bacteria", "normal", "normal"], classes)
    called = one_hot(["covid", "normal", "normal", "bacteria", "covid"], classes)
    test = evaluate(truth, called, classes, "covid")
    assert test["accuracy"]["value"] == pytest.approx(1 / 5)
    assert test["sensitivity"]["value"] == 0.5
    assert test["specificity"]["value"] == pytest.approx(2 / 3)  # bacteria called normal is still no covid
