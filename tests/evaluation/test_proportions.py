"""Proportions where patients have several images, checked on paper."""

from dataclasses import astuple

import numpy as np
import pytest

from covid19.evaluation.calibration import operating_points, reliability
from covid19.evaluation.metrics import evaluate, predictive_values
from covid19.evaluation.proportions import effective_size, grouped_proportion, proportion

# Student's 97.5 % quantiles: 2.364624 with 7 degrees of freedom, 3.182446 with 3, 2.570582 with 5, 4.302653 with 2.
EIGHT_IMAGES_OF_FOUR = (2.364624 / 3.182446) ** 2
SIX_IMAGES_OF_THREE = (2.570582 / 4.302653) ** 2


def flags(*numbers):
    return np.array(numbers, bool)


def test_where_each_image_is_a_patient_the_interval_is_wilsons():
    hit = flags(*[1] * 9, 0)
    assert grouped_proportion(hit, range(10)) == grouped_proportion(hit) == proportion(9, 10)


def test_images_that_always_agree_count_as_patients():
    # Two images each, always of one kind: a design effect of 2, so 8 images are 4.
    size = effective_size(flags(1, 1, 1, 1, 1, 1, 0, 0), [0, 0, 1, 1, 2, 2, 3, 3])
    assert size == pytest.approx(4 * EIGHT_IMAGES_OF_FOUR)


def test_images_that_agree_no_more_than_strangers_count_each():
    size = effective_size(flags(1, 0, 1, 0, 1, 0, 1, 0), [0, 0, 1, 1, 2, 2, 3, 3])
    assert size == pytest.approx(8 * EIGHT_IMAGES_OF_FOUR)


def test_the_intraclass_correlation_by_hand():
    # Hits 2, 1, 0 of 2 each. Mean square between: 2 (0.25 + 0 + 0.25) / 2 = 1/2; within: 2 (1/4) / 3 = 1/6.
    # Correlation (1/2 - 1/6) / (1/2 + 1/6) = 1/2; design effect 1 + (2 - 1) / 2 = 1.5; 6 images are 4.
    assert effective_size(flags(1, 1, 1, 0, 0, 0), [0, 0, 1, 1, 2, 2]) == pytest.approx(4 * SIX_IMAGES_OF_THREE)


@pytest.mark.parametrize("hits", [0, 6])
def test_all_images_alike_are_cautiously_taken_for_copies(hits):
    hit, patients = flags(*[1] * hits, *[0] * (6 - hits)), [0, 0, 1, 1, 2, 2]
    assert effective_size(hit, patients) == pytest.approx(3 * SIX_IMAGES_OF_THREE)
    metric = grouped_proportion(hit, patients)
    assert 0 <= metric.low <= metric.value <= metric.high <= 1


def test_the_images_of_one_patient_say_next_to_nothing():
    metric = grouped_proportion(flags(1, 1, 0, 1), [7, 7, 7, 7])
    assert metric.value == 0.75
    assert metric.high - metric.low > 0.9


def test_one_patient_with_many_images_weighs_as_they_do():
    # 4 images of one patient and 4 of four others: an image's patient has (16 + 4) / 8 = 2.5 images; none is missed.
    size = effective_size(np.ones(8, bool), [0, 0, 0, 0, 1, 2, 3, 4])
    assert size == pytest.approx(8 / 2.5 * (2.364624 / 2.776445) ** 2, rel=1e-5)  # 4 degrees of freedom: 2.776445


def test_every_proportion_of_a_report_is_wider_where_images_are_copies():
    patients, copies = np.repeat(np.arange(12), 4).tolist(), 4
    positive = np.repeat(np.arange(12) % 2 == 0, copies)
    score = np.repeat(np.array([0.9, 0.1, 0.8, 0.2, 0.7, 0.6, 0.9, 0.3, 0.4, 0.1, 0.8, 0.7]), copies)
    once, four = (width(positive, score, groups) for groups in (patients, None))
    assert once.keys() == four.keys()
    assert all(once[name] > 1.5 * four[name] for name in once), (once, four)


def width(positive, score, groups):
    """The widths of the intervals of all proportions, by name."""
    truth = np.stack([positive, ~positive], axis=1).astype(np.float32)
    test = evaluate(truth, np.stack([score, 1 - score], axis=1).astype(np.float32), ("a", "b"), "a", groups)
    point = operating_points(score, positive, groups)[0]
    values = predictive_values(positive, score >= 0.5, 0.3, groups=groups)
    metrics = {
        "accuracy": test.accuracy,
        "sensitivity": test.sensitivity,
        "specificity": test.specificity,
        "precision": test.precision,
        "operating point": point.specificity,
        "ppv": values.ppv,
        "npv": values.npv,
        "reliability": max(reliability(score, positive, groups), key=lambda one: one.count).observed,
    }
    return {name: astuple(metric)[2] - astuple(metric)[1] for name, metric in metrics.items()}
