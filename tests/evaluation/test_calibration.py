"""Temperature, reliability and thresholds."""

import numpy as np
import pytest

from covid19.evaluation.calibration import choose_threshold, fit_temperature, log_loss, operating_points, reliability
from covid19.evaluation.metrics import one_hot
from covid19.evaluation.proportions import proportion
from covid19.evaluation.result import ReliabilityBin

CLASSES = ("covid", "normal")


def drawn(temperature, images=4000):
    """Logits that are too large by the temperature, float32 (1, n, 2), and labels drawn from what they should have been."""
    generator = np.random.default_rng(0)
    right = generator.normal(0, 1.5, images)
    positive = generator.random(images) < 1 / (1 + np.exp(-right))
    logits = np.stack([right, np.zeros(images)], axis=1).astype(np.float32)[None] * np.float32(temperature)
    return logits, np.stack([positive, ~positive], axis=1).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_logits_is_found(temperature):
    logits, labels = drawn(temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.08)
    assert log_loss(logits, labels, found) <= log_loss(logits, labels)


def test_images_told_apart_without_an_error_do_not_make_the_model_boundlessly_sure():
    labels = one_hot(["covid"] * 5 + ["normal"] * 5, CLASSES)
    assert fit_temperature(4 * labels[None], labels) == pytest.approx(0.5, abs=1e-3)


def test_the_log_loss_by_hand():
    labels = one_hot(["covid", "normal"], CLASSES)
    logits = np.log(np.float32([[[0.8, 0.2], [0.6, 0.4]]]))
    assert log_loss(logits, labels) == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2, abs=1e-6)


def test_the_reliability_diagram_by_hand():
    probability = np.array([0.02, 0.04, 0.52, 0.58, 1.0])
    positive = np.array([False, False, True, False, True])
    assert reliability(probability, positive) == [
        ReliabilityBin(2, pytest.approx(0.03), proportion(0, 2)),
        ReliabilityBin(2, pytest.approx(0.55), proportion(1, 2)),
        ReliabilityBin(1, 1.0, proportion(1, 1)),
    ]


# scores of the positives: .9 .8 .4; of the negatives: .7 .3 .2 .1
PROBABILITY = np.array([0.9, 0.8, 0.4, 0.7, 0.3, 0.2, 0.1])
POSITIVE = np.array([True, True, True, False, False, False, False])


@pytest.mark.parametrize(
    ("rule", "threshold"),
    [("youden", 0.4), ("sens=0.95", 0.4), ("sens=0.60", 0.8), ("spec=0.95", 0.8), ("spec=0.75", 0.4)],
)
def test_thresholds_by_hand(rule, threshold):
    assert choose_threshold(rule, PROBABILITY, POSITIVE) == threshold


def test_a_specificity_that_no_score_reaches_calls_nobody():
    threshold = choose_threshold("spec=0.95", PROBABILITY[::-1].copy(), POSITIVE)
    assert threshold > 1


def test_operating_points_are_what_the_thresholds_give():
    points = {point.rule: point for point in operating_points(PROBABILITY, POSITIVE)}
    assert points.keys() == {"sens=0.90", "sens=0.95", "spec=0.90", "spec=0.95", "youden"}
    assert points["spec=0.95"].sensitivity == proportion(2, 3)
    assert points["spec=0.95"].specificity == proportion(4, 4)
    assert points["sens=0.95"].specificity == proportion(3, 4)
