"""What verdict does a default run give? `python3 -m benchmarks.verdicts --weights FILE`; writes `results/verdicts.md`.

Runs of `covid19 train` on phantoms that differ in nothing but the lungs, and on such with one shortcut planted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.planting import plant
from benchmarks.record import provenance, table, write
from covid19.core.settings import Settings
from covid19.data.build.phantoms import write_sample
from covid19.train import train

SEEDS = {"nothing": 20, "disc in the mediastinum": 10, "marker in a corner": 10, "shade of the border": 10}
COUNT = 25  # images of each class
VERDICTS = ("explained", "present", "none-found")


def verdict(what: str, seed: int, weights: str) -> tuple[str, str]:
    """The verdict of a run on a planted data set, and the probe that decided it."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        write_sample(folder / "clean", COUNT, 256, 7000 + seed)
        plant(folder / "clean", folder / "data", what, seed)
        settings = Settings.from_flags(
            dataset=folder / "data", weights=weights, augmentations=0, cache=False, model=None, plot=None,
            report=folder / "report.json",
        )  # fmt: skip
        audit = train(settings).audit
    assert audit is not None, "phantoms are enough for an audit"
    return audit.verdict, audit.margin.probe


def main() -> None:
    """Count the verdicts of each kind, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="auto", help="as for covid19 train")
    weights = parser.parse_args().weights
    rows = []
    for what, seeds in SEEDS.items():
        found = [verdict(what, seed, weights) for seed in range(seeds)]
        counts = Counter(word for word, _ in found)
        deciding = Counter(probe for word, probe in found if word in ("explained", "present"))
        probes = ", ".join(f"{name} {count}" for name, count in deciding.most_common())
        rows.append([what, seeds, *(counts[word] for word in VERDICTS), probes])
        print(rows[-1], flush=True)
    text = (
        f"Data sets of {COUNT} + {COUNT} phantoms; planted in 90 % of one class and 10 % of the other. Default settings "
        "without augmentation. `explained` is shown as SHORTCUT, `present` as PARTLY."
    )
    head = ["planted", "data sets", *VERDICTS, "decided by"]
    write("verdicts.md", "\n\n".join(["# Verdicts of default runs", provenance(), text, table(head, rows)]))


if __name__ == "__main__":
    main()
