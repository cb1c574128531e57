"""Do the 95 % intervals hold the truth in 95 of 100 data sets? `python3 -m benchmarks.coverage`; writes `results/coverage.md`.

Scores are normal, with a shift between the classes; patients have one image, or one to three that are alike.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import provenance, table, write
from covid19.evaluation.metrics import evaluate

Array = NDArray[np.float32]

NAMES = (
    "accuracy", "sensitivity", "specificity", "precision", "balanced_accuracy", "f1", "roc_auc", "average_precision", "brier",
    "calibration_error",
)  # fmt: skip
SETS = 500
# Patients in all, whether some have several images, how far the classes are apart.
CASES = (
    (12, False, 1.5),
    (20, False, 1.2),
    (30, True, 2.5),
    (60, False, 1.2),
    (60, True, 1.2),
    (100, True, 1.2),
    (200, False, 3.0),
)


def simulate(
    seed: int, patients: int, several: bool, apart: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[int]]:
    """One-hot labels, probabilities and the patient of each image; every other patient is positive."""
    generator = np.random.default_rng(seed)
    images = generator.integers(1, 4, patients) if several else np.ones(patients, int)
    own = generator.normal(0, 0.7, patients) if several else np.zeros(patients)
    groups = np.repeat(np.arange(patients), images)
    positive = groups % 2 == 0
    score = 1.2 * apart * (positive - 0.5) + own[groups] + generator.normal(size=len(groups))
    said = 1 / (1 + np.exp(-score))
    truth = np.stack([positive, ~positive], axis=1)
    return truth.astype(np.float32), np.stack([said, 1 - said], axis=1).astype(np.float32), groups.tolist()


def main() -> None:
    """Simulate each case and write the shares covered."""
    rows = []
    for patients, several, apart in CASES:
        expected = evaluate(*simulate(10**6, 20_000, several, apart)[:2], ("a", "b"), "a")
        covered: Counter[str] = Counter()
        for seed in range(SETS):
            truth, said, groups = simulate(seed, patients, several, apart)
            numbers = evaluate(truth, said, ("a", "b"), "a", groups)
            for name in NAMES:
                metric, value = getattr(numbers, name), getattr(expected, name).value
                covered[name] += metric.value is None or metric.low - 1e-9 <= value <= metric.high + 1e-9
        title = f"{patients}, {'one to three images each' if several else 'one image each'}, AUC {expected.roc_auc.value:.2f}"
        rows.append([title, *(f"{covered[name] / SETS:.3f}" for name in NAMES)])
        print(rows[-1], flush=True)
    text = (
        f"Share of {SETS} simulated data sets whose 95 % interval holds the value of 20,000 patients. Wilson's interval "
        "(accuracy, sensitivity, specificity, precision) takes images for independent: where patients have several, it is a "
        "little narrow."
    )
    head = ["patients", *(name.replace("_", " ") for name in NAMES)]
    write("coverage.md", "\n\n".join(["# Coverage of the intervals", provenance(), text, table(head, rows)]))


if __name__ == "__main__":
    main()
