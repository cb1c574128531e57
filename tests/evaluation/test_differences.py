"""Intervals of differences between numbers that are resampled together."""

import numpy as np
import pytest
from scipy.stats import norm

from covid19.evaluation import bootstrap
from covid19.evaluation.bootstrap import Ranking, resample


def test_two_equal_scores_do_not_differ():
    positive = np.arange(40) % 2 == 0
    ranking = Ranking(positive + np.random.default_rng(0).normal(size=40), positive)
    resampled = resample(lambda w: {"a": ranking.roc_auc(w), "b": ranking.roc_auc(w)}, range(40), positive.tolist())
    limits = resampled.differences("a")
    assert limits == {"b": pytest.approx((0, 0), abs=1e-6)}


def test_a_perfect_score_against_one_that_is_always_the_same_by_hand():
    # 1 - 0.5. Wilson for 20 of 20 patients begins at 20 / (20 + 1.959964 ** 2) = 0.8389; 0.5 is the same in every resample.
    positive = np.arange(20) % 2 == 0
    perfect, constant = Ranking(positive * 1.0, positive), Ranking(np.zeros(20), positive)
    resampled = resample(lambda w: {"a": perfect.roc_auc(w), "b": constant.roc_auc(w)}, range(20), positive.tolist())
    limits = resampled.differences("a")
    assert limits["b"] == pytest.approx((0.3389, 0.5), abs=1e-4)


def test_independent_fractions_by_hand():
    # 25 of 50 twice, in strata of their own, so that they do not depend on each other. The error of each is sqrt(0.25 / 50) =
    # 0.0707, on the logit's scale times 1.9845 (98 degrees of freedom) / 0.25 = 0.5613, an arm of 0.1368; sqrt(2) of it.
    first, hit = np.arange(100) < 50, np.arange(100) % 2 == 0
    resampled = resample(
        lambda w: {"a": w @ (first & hit) / w.sum(axis=1) * 2, "b": w @ (~first & hit) / w.sum(axis=1) * 2},
        range(100),
        first.tolist(),
    )
    limits = resampled.differences("a")
    assert limits["b"] == pytest.approx((-0.1934, 0.1934), abs=0.012)


def test_images_of_one_patient_are_drawn_together():
    positive = np.arange(40) % 2 == 0
    noise = np.random.default_rng(1).normal(size=(2, 40))

    def ends(copies, groups):
        several = np.repeat(positive, copies)
        rankings = [Ranking(np.repeat(positive * 1.5 + own, copies), several) for own in noise]
        resampled = resample(
            lambda w: dict(zip("ab", (ranking.roc_auc(w) for ranking in rankings), strict=True)), groups, several.tolist()
        )
        low, high = resampled.differences("a")["b"]
        return low, high

    once = ends(1, range(40))
    assert ends(4, np.repeat(np.arange(40), 4).tolist()) == pytest.approx(once)
    apart = ends(4, range(160))
    assert apart[1] - apart[0] < 0.7 * (once[1] - once[0])


@pytest.mark.slow
@pytest.mark.parametrize("aucs", [(0.75, 0.70), (0.95, 0.60), (0.98, 0.95)])
def test_the_interval_covers_in_92_to_98_percent_of_500_simulated_sets(monkeypatch, aucs):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 500)

    # 50 patients of each class with one to five images, nine tenths of whose variance is the patient's; correlated scores.
    def scores(generator, size):
        first, second = generator.normal(size=(2, size))
        return np.stack([first, 0.5 * first + np.sqrt(0.75) * second])

    def covers(seed):
        generator = np.random.default_rng(seed)
        groups = np.repeat(np.arange(100), generator.integers(1, 6, 100))
        positive = groups % 2 == 0
        shifts = np.sqrt(2) * norm.ppf(aucs)[:, None] * positive
        noise = np.sqrt(0.9) * scores(generator, 100)[:, groups] + np.sqrt(0.1) * scores(generator, len(groups))
        rankings = [Ranking(own, positive) for own in shifts + noise]
        resampled = resample(
            lambda w: dict(zip("ab", (ranking.roc_auc(w) for ranking in rankings), strict=True)),
            groups.tolist(),
            positive.tolist(),
        )
        low, high = resampled.differences("a")["b"]
        return low <= aucs[0] - aucs[1] <= high

    assert 460 <= sum(covers(seed) for seed in range(500)) <= 490
