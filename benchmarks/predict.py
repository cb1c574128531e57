"""Images per second of `covid19 predict` against a bare batched forward: `python3 -m benchmarks.predict`.

Writes `results/predict.md`.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.record import provenance, table, write
from benchmarks.run import PROJECT, phantoms, timed

COUNT = 1000
FEW = 32  # images of a short run, to take off the start


def main() -> None:
    """Train a model, predict many images and few, and set the difference against the bare forward before and after."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed([str(PROJECT / "train_covid19.py"), "-d", str(PROJECT / "dataset"), "--weights", "random"], folder)
        few, many = phantoms(FEW, folder), phantoms(COUNT, folder)
        before = float(timed(["-m", "benchmarks.forward", "16"], folder).output.split()[-1])
        ask = ["-m", "covid19", "predict", "-m", "covid19.model"]
        short, whole = (timed([*ask, str(images)], folder) for images in (few, many))
        after = float(timed(["-m", "benchmarks.forward", "16"], folder).output.split()[-1])
    bare = statistics.mean((before, after))
    each = (whole.seconds - short.seconds) / (COUNT - FEW)
    rows = [[f"{1 / bare:.2f}", f"{1 / each:.2f}", f"{bare / each:.2f}", f"{short.memory:.0f}", f"{whole.memory:.0f}"]]
    head = ["bare forward, images/s", "predict, images/s", "ratio", f"MB at {FEW}", f"MB at {COUNT}"]
    text = f"{COUNT} phantoms less the time of {FEW}; the bare forward is measured before and after."
    write("predict.md", "\n\n".join(["# Rate of predictions", provenance(), text, table(head, rows)]))


if __name__ == "__main__":
    main()
