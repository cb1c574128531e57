"""Training runs killed at random moments: `python3 -m benchmarks.kill`.

After each kill every output must be whole, the caches must open, and the next run must finish with the result of an
undisturbed one; the first that does not ends the benchmark with an error. Writes `results/kill.md`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.record import provenance, table, write
from benchmarks.run import PROJECT
from covid19.data.build.phantoms import write_sample


def main() -> None:
    """Kill, check and go on, as often as asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.path.insert(0, str(PROJECT / "tests"))
    from helpers.killing import kill_at_random

    with tempfile.TemporaryDirectory() as name:
        dataset = Path(name) / "dataset"
        write_sample(dataset, count=6, size=96, seed=1)
        moments = kill_at_random(dataset, Path(name), arguments.kills, arguments.seed)
    when = ", ".join(f"{moment:.1f}" for moment in np.quantile(moments, (0, 0.5, 1)))
    rows = [
        ["kills after which all was whole and the next run gave the same result", f"{len(moments)} of {arguments.kills}"],
        ["moment of the kill, s after the start: first, median, last", when],
    ]
    write("kill.md", "\n\n".join(["# Runs killed at random moments", provenance(), table(["what", "value"], rows)]))


if __name__ == "__main__":
    main()
