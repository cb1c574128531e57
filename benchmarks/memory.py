"""Does memory grow with the number of images? `python3 -m benchmarks.memory`; writes `results/memory.md`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.record import provenance, table, write
from benchmarks.run import PROJECT, phantoms, timed

SIZES = (50, 200, 800)


def main() -> None:
    """Measure the peak of a cold run, with cross-validation and the page, at each size."""
    peaks = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in SIZES:
            flags = ["-d", str(phantoms(size, folder)), "--weights", "random", "--augmentations", "0", "--no-cache"]
            peaks[size] = timed([str(PROJECT / "train_covid19.py"), *flags], folder).memory
    rows = [[size, f"{peak:.0f} MB", f"{peak - peaks[SIZES[0]]:+.0f} MB"] for size, peak in peaks.items()]
    text = "A complete run with `--weights random --augmentations 0 --no-cache`, all features in memory; peak of the process."
    head = ["phantoms", "peak memory", f"more than at {SIZES[0]}"]
    write("memory.md", "\n\n".join(["# Peak memory of a cold run", provenance(), text, table(head, rows)]))


if __name__ == "__main__":
    main()
