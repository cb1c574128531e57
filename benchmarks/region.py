"""Does `--region lungs` mend a shortcut? `python3 -m benchmarks.region --weights FILE`; writes `results/region.md`.

A model is trained on phantoms with a shortcut outside the lungs in 90 % of one class and 10 % of the other, and tested on other
phantoms in which that is the other way round.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.planting import PLANTED, plant
from benchmarks.record import provenance, table, write
from covid19.core.settings import ComputeSettings, DataSettings, LungSettings, Settings
from covid19.data.build.phantoms import write_sample
from covid19.evaluate import evaluate_model
from covid19.train import train

SEEDS = 20
COUNT = 25  # images of each class
SHORTCUTS = ("shade of the border", "disc in the mediastinum")
REGIONS = ("image", "lungs")


class Result(NamedTuple):
    """Accuracy and specificity at home, out of fold, and specificity where the shortcut is reversed."""

    accuracy: float
    specificity: float
    reversed_specificity: float

    @property
    def fall(self) -> float:
        """By how much the specificity falls where the shortcut is reversed."""
        return self.specificity - self.reversed_specificity


def compare(what: str, seed: int, weights: str) -> dict[str, Result]:
    """Train on planted phantoms and test on reversed ones, with each region."""
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, part in enumerate(("train", "test")):
            write_sample(folder / f"clean-{part}", COUNT, 256, 2000 + 2 * seed + number)
            plant(folder / f"clean-{part}", folder / part, what, seed, (0.9, 0.1) if part == "train" else (0.1, 0.9))
        for region in REGIONS:
            model = folder / f"{region}.model"
            outputs = {"model": model, "plot": None, "report": folder / f"{region}.json"}
            report = train(
                Settings.from_flags(
                    dataset=folder / "train", weights=weights, region=region, audit="none", cache=False, **outputs
                )
            )
            away = evaluate_model(
                model,
                folder / "away.json",
                DataSettings(folder / "test"),
                LungSettings(region=region),
                ComputeSettings(cache=False),
            )
            home = report.cross_validation
            assert home is not None, "phantoms are enough for cross-validation"
            results[region] = Result(home.accuracy.value, home.specificity.value, away.test.specificity.value)
    return results


def main() -> None:
    """Compare both regions on every seed and shortcut, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="auto", help="as for covid19 train")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    rows = []
    for what in SHORTCUTS:
        found = []
        for seed in range(given.seeds):
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                found.append(compare(what, seed, given.weights))
            print(what, seed, found[-1], flush=True)
        for region in REGIONS:
            own = [one[region] for one in found]
            numbers = (
                median(one.accuracy for one in own),
                median(one.specificity for one in own),
                median(one.reversed_specificity for one in own),
                median(one.fall for one in own),
            )
            rows.append([what, region, *(f"{number:.2f}" for number in numbers)])
        paired = median(one["image"].accuracy - one["lungs"].accuracy for one in found)
        rows.append([what, "lost by lungs", f"{paired:.2f}", "", "", ""])
    text = (
        f"Medians of {given.seeds} seeds. A model is trained with the default settings on {COUNT} + {COUNT} phantoms with a "
        "shortcut in 90 % of the covid class and 10 % of the other, and tested on as many others with 10 % and 90 %."
    )
    head = ["planted", "--region", "accuracy", "specificity", "specificity, reversed", "fall"]
    assert PLANTED.keys() >= set(SHORTCUTS)
    write("region.md", "\n\n".join(["# Does `--region lungs` mend a shortcut?", provenance(), text, table(head, rows)]))


if __name__ == "__main__":
    main()
