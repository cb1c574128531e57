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
from covid19.core.executor.executor import Executor
from covid19.core.executor.local import LocalExecutor
from covid19.core.executor.opening import open_executor
from covid19.core.keras_startup import import_keras
from covid19.core.settings import FILE_TIMEOUT_S
from covid19.data.decoding import DecodingPool
from covid19.data.images import read_picture
from covid19.data.scan_cache import ScanCache
from covid19.features.augmentation import View
from covid19.features.batches import BATCH_SIZE

COUNT = 800
REPEATS = 3  # of both in turn: the machine is not equally fast at all times


def rate(executor: Executor, views: Sequence[View]) -> tuple[float, float]:
    """Views per second after start-up, from the first batch that is done to the last; and the seconds to the first."""
    from covid19.features.backbone.network import build_base
    from covid19.features.backbone.weights import get_weights
    from covid19.features.tasks import ExtractTask, portable

    task = ExtractTask(build_base(get_weights("random")), "float32")
    begin = time.perf_counter()
    moments = [time.perf_counter() - begin for _ in executor.map(task, [portable(view) for view in views])]
    first, last = moments[BATCH_SIZE - 1], moments[-1]
    return (len(views) - BATCH_SIZE) / (last - first), first


def main() -> None:
    """Measure both in turn and write the table."""
    import_keras()
    from covid19.data.gathering import gather
    from covid19.data.reader import Filter, read_dataset

    rows = []
    with tempfile.TemporaryDirectory() as name, DecodingPool() as decoder:
        root = phantoms(COUNT, Path(name))
        dataset = read_dataset(gather(root), Filter(), ScanCache(None, 10**9), LocalExecutor(), read_picture)
        views = [View(record) for record in dataset.records]
        for _ in range(REPEATS):
            here, start_here = rate(LocalExecutor(decoder.run), views)
            with open_executor("local", decoder.run, FILE_TIMEOUT_S) as cluster:
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
