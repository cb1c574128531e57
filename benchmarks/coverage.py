"""Do the 95 % intervals hold the truth in 95 of 100 data sets? `python3 -m benchmarks.coverage`; writes `results/coverage.md`.

Scores are normal, with a shift between the classes; patients have one image, or several that are more or less alike.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.record import provenance, table, write
from covid19.evaluation import bootstrap
from covid19.evaluation.bootstrap import Ranking, resample
from covid19.evaluation.metrics import evaluate

NAMES = (
    "accuracy", "sensitivity", "specificity", "precision", "balanced_accuracy", "f1", "roc_auc", "average_precision", "brier",
    "calibration_error",
)  # fmt: skip
SETS = 500
RESAMPLES = 500  # of each set; an audit draws 2000, whose intervals differ little
# Patients in all, images of each at most, share of the variance that is the patient's, how far the classes are apart.
CASES = (
    (12, 1, 0.0, 1.8), (20, 1, 0.0, 1.4), (60, 1, 0.0, 1.4), (200, 1, 0.0, 3.4),
    (20, 5, 0.9, 1.4), (30, 3, 0.3, 2.5), (60, 3, 0.3, 1.2), (60, 5, 0.9, 1.4), (100, 3, 0.3, 1.2), (100, 5, 0.9, 1.4),
    (100, 5, 0.9, 2.5), (300, 5, 0.9, 1.4),
)  # fmt: skip
# Patients of each class, images of each at most, correlation of the two scores, their AUCs.
DIFFERENCES = tuple(product((25, 50, 150), (1, 5), (0.0, 0.5, 0.9), ((0.75, 0.70), (0.95, 0.60), (0.90, 0.90), (0.98, 0.95))))
ALIKE = 0.9  # share of the variance of a score that is the patient's, where patients have several images


def simulate(
    seed: int, patients: int, most: int, alike: float, apart: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[int]]:
    """One-hot labels, probabilities and the patient of each image; every other patient is positive."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), generator.integers(1, most + 1, patients))
    positive = groups % 2 == 0
    own = np.sqrt(alike) * generator.normal(size=patients)
    score = apart * (positive - 0.5) + own[groups] + np.sqrt(1 - alike) * generator.normal(size=len(groups))
    probability = 1 / (1 + np.exp(-score))
    truth = np.stack([positive, ~positive], axis=1)
    return truth.astype(np.float32), np.stack([probability, 1 - probability], axis=1).astype(np.float32), groups.tolist()


def measures(case: tuple[int, int, float, float]) -> list[str]:
    """A row of the first table: the case, and the share of sets in which each measure's interval holds the truth."""
    bootstrap.RESAMPLES = RESAMPLES
    patients, most, alike, apart = case
    expected = evaluate(*simulate(10**6, 20_000, most, alike, apart)[:2], ("a", "b"), "a")
    covered: Counter[str] = Counter()
    for seed in range(SETS):
        truth, probabilities, groups = simulate(seed, *case)
        numbers = evaluate(truth, probabilities, ("a", "b"), "a", groups)
        for name in NAMES:
            metric, value = getattr(numbers, name), getattr(expected, name).value
            covered[name] += metric.value is None or metric.low - 1e-9 <= value <= metric.high + 1e-9
    images = "one image each" if most == 1 else f"1 to {most} images each, {alike:.0%} of the variance the patient's"
    return [f"{patients}, {images}, AUC {expected.roc_auc.value:.2f}", *(f"{covered[name] / SETS:.3f}" for name in NAMES)]


def difference(case: tuple[int, int, float, tuple[float, float]]) -> float:
    """The share of sets in which the interval of the difference of two AUCs holds the truth."""
    bootstrap.RESAMPLES = RESAMPLES
    patients, most, correlation, aucs = case
    alike = ALIKE if most > 1 else 0.0
    covered = 0
    for seed in range(SETS):
        generator = np.random.default_rng(seed)
        groups = np.repeat(np.arange(2 * patients), generator.integers(1, most + 1, 2 * patients))
        positive = groups % 2 == 0
        noise = np.sqrt(alike) * _correlated(generator, correlation, 2 * patients)[:, groups]
        noise += np.sqrt(1 - alike) * _correlated(generator, correlation, len(groups))
        rankings = [Ranking(own, positive) for own in noise + np.sqrt(2) * norm.ppf(aucs)[:, None] * positive]

        def both(weights: NDArray[np.float64], rankings: list[Ranking] = rankings) -> dict[str, NDArray[np.float64]]:
            return {name: ranking.roc_auc(weights) for name, ranking in zip(("model", "probe"), rankings, strict=True)}

        low, high = resample(both, groups.tolist(), positive.tolist()).differences("model")["probe"]
        covered += low - 1e-9 <= aucs[0] - aucs[1] <= high + 1e-9
    return covered / SETS


def _correlated(generator: np.random.Generator, correlation: float, size: int) -> NDArray[np.float64]:
    """Two rows of standard normal numbers."""
    first, second = generator.normal(size=(2, size))
    return np.stack([first, correlation * first + np.sqrt(1 - correlation**2) * second])


def main() -> None:
    """Simulate each case and write the shares covered."""
    with ProcessPoolExecutor() as pool:
        differences = dict(zip(DIFFERENCES, pool.map(difference, DIFFERENCES), strict=True))
        rows = list(pool.map(measures, CASES))
    pairs = sorted({case[3] for case in DIFFERENCES})
    lines = [
        [f"{patients} + {patients}", f"1 to {most}" if most > 1 else "1", f"{correlation:g}"]
        + [f"{differences[patients, most, correlation, pair]:.3f}" for pair in pairs]
        for patients, most, correlation in dict.fromkeys(case[:3] for case in DIFFERENCES)
    ]
    text = (
        f"Share of {SETS} simulated data sets whose 95 % interval holds the truth, which is that of 20,000 patients for the "
        f"measures, exact for the differences; a share has a standard error of 0.01. {RESAMPLES} resamples. The "
        "precision's is high because half of the patients are positive in each set, which Wilson's interval does not know."
    )
    between = (
        "The AUC of one score less that of another of the same images, as the audit compares the model with a probe. Where "
        f"patients have several images, {ALIKE:.0%} of a score's variance is the patient's."
    )
    parts = [
        "# Coverage of the intervals", provenance(), text,
        "## Measures", table(["patients", *(name.replace("_", " ") for name in NAMES)], rows),
        "## Differences of AUCs", between,
        table(["patients", "images of each", "correlation", *(f"{one:.2f} - {other:.2f}" for one, other in pairs)], lines),
    ]  # fmt: skip
    write("coverage.md", "\n\n".join(parts))


if __name__ == "__main__":
    main()
