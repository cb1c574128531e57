"""What Ray costs on one machine: the rate of extraction through `--cluster local` against that without, on the same cores.

`python3 -m benchmarks.overhead`; writes `results/overhead.md`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import provenance, table, write
from benchmarks.run import phantoms
from covid19.core.executor.machine import Engine, ThisMachine, open_engine
from covid19.core.keras_startup import import_keras
from covid19.features.augmentation import View

COUNT = 800
REPEATS = 3  # of both in turn: the machine is not equally fast at all times


def rate(engine: Engine, views: Sequence[View]) -> tuple[float, float]:
    """Views per second after start-up, from the first batch that is done to the last; and the seconds to the first."""
    from covid19.features.backbone.vgg16 import build_base
    from covid19.features.backbone.weights import get_weights

    base = build_base(get_weights("random"))
    begin = time.perf_counter()
    moments = [(time.perf_counter() - begin, len(done.positions)) for done in engine.see(base, views, "float32")]
    first, count = moments[0]
    return (len(views) - count) / (moments[-1][0] - first), first


def main() -> None:
    """Measure both in turn and write the table."""
    import_keras()
    from covid19.data.dataset import list_classes
    from covid19.data.reader import Filter, read_dataset
    from covid19.data.scan_cache import ScanCache

    rows = []
    with tempfile.TemporaryDirectory() as name:
        root = phantoms(COUNT, Path(name))
        dataset = read_dataset(root, list_classes(root), Filter(), ScanCache(None, 10**9), ThisMachine())
        views = [View(record) for record in dataset.records]
        for _ in range(REPEATS):
            here, start_here = rate(ThisMachine(), views)
            with open_engine("local") as cluster:
                there, start_there = rate(cluster, views)
            rows.append((here, there, there / here, start_here, start_there))
    middle = [statistics.median(column) for column in zip(*rows, strict=True)]
    text = (
        f"Extraction of {len(views)} phantoms, views per second from the first batch that is done to the last. With "
        "`--cluster local` an actor on the same cores reads the files and runs the base."
    )
    head = ["", "this process, views/s", "Ray, views/s", "ratio", "first batch here after", "through Ray after"]
    names = [*(f"run {number}" for number in range(1, REPEATS + 1)), "median"]
    cells = [
        [name, f"{here:.2f}", f"{there:.2f}", f"{ratio:.3f}", f"{one:.1f} s", f"{other:.1f} s"]
        for name, (here, there, ratio, one, other) in zip(names, [*rows, middle], strict=True)
    ]
    write("overhead.md", "\n\n".join(["# What Ray costs on one machine", provenance(), text, table(head, cells)]))


if __name__ == "__main__":
    main()
