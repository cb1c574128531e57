"""How far one driver carries a cluster: extraction with workers that only wait as long as the base takes, on this machine.

`python3 -m benchmarks.scale`; writes `results/scale.md`. Everything but the forward is real: Ray Data, the records, the cache.
Those cells that are in `results/scale.json` are not done again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RESULTS, provenance, table, write
from benchmarks.run import timed
from covid19.core.executor.executor import Resources, Task
from covid19.core.executor.ray_cluster import RayExecutor
from covid19.core.executor.ray_stream import Pool
from covid19.core.settings import FILE_TIMEOUT_S
from covid19.data.columns import Entry
from covid19.data.dataset import ImageStats, Record
from covid19.data.images import read_picture

COST = 0.095  # seconds that VGG16 takes for an image on two cores, see `speed.md`
# Workers, images, seconds an image; without a cost it is the driver's own limit that shows.
CELLS = (
    (1, 1_000, COST), (4, 4_000, COST), (16, 10_000, COST), (64, 10_000, COST),
    (2, 10_000, 0.0), (2, 100_000, 0.0), (2, 1_000_000, 0.0),
)  # fmt: skip

SIZES = (10_000, 100_000, 1_000_000)


class WaitTask(Task[Any, Any]):
    """Waits instead of computing.

    Args:
        seconds: for an image.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def set_up(self, resources: Resources) -> None:
        """Need nothing."""

    def run(self, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """As many features as there are items, after the time they would take."""
        time.sleep(self._seconds * len(items))
        yield from enumerate(np.random.default_rng(0).random((len(items), 512), np.float32))


class Simulated(RayExecutor):
    """A cluster whose workers wait, whatever the task, with a note of when how many items were done."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        super().__init__(pool, pool.actors, FILE_TIMEOUT_S)
        self._seconds = seconds
        self.moments: list[tuple[float, int]] = []

    def map(self, task: Any, items: Any, ordered: bool = False) -> Any:
        """The results of waiting."""
        for done, result in enumerate(super().map(WaitTask(self._seconds), items, ordered), 1):
            self.moments.append((time.perf_counter(), done))
            yield result


def records(count: int) -> list[Record]:
    """As many records as a data set of that size has, with texts of the usual lengths."""
    root = Path("/data/xrays")
    return [
        Record(
            root, f"covid/{number:07d}.png", "covid", hashlib.sha256(b"%d" % number).hexdigest(), f"patient {number}", "name",
            "PA", Entry(f"patient {number}", "PA", "COVID-19", "source", "CC0", "61"),
            ImageStats(1000 + number % 1000, 1200, hashlib.sha256(b"h%d" % number).hexdigest(), 50.0, 0.5), number,
        )
        for number in range(count)
    ]  # fmt: skip


def cell(workers: int, images: int, seconds: float, folder: Path) -> dict[str, float]:
    """One extraction, with Keras imported as in a run."""
    from covid19.core.keras_startup import import_keras
    from covid19.features.augmentation import View

    import_keras()
    import ray

    from covid19.features.backbone.network import build_base
    from covid19.features.backbone.weights import get_weights
    from covid19.features.cache import FeatureCache
    from covid19.features.extraction import Extractor

    where = {"num_cpus": workers, "include_dashboard": False}
    ray.init(address="local", logging_level=logging.ERROR, log_to_driver=False, **where)
    views = [View(record) for record in records(images)]
    executor = Simulated(Pool(workers, 1, 0), seconds)
    with FeatureCache(folder, 100 * 10**9) as store:
        Extractor(store, executor, read_picture).extract(views, build_base(get_weights("random")), "base")
    ray.shutdown()
    half = next(number for number, (_, done) in enumerate(executor.moments) if done >= images / 2)
    (begin, before), (end, after) = executor.moments[half], executor.moments[-1]
    size = sum(file.stat().st_size for file in folder.glob(f"{FeatureCache.FILE_NAME}*"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"rate": (after - before) / (end - begin), "cache": size / 1e6, "memory": peak * 1024 / 1e6}


def main() -> None:
    """Run each cell that is not in the results yet in a process of its own, and write the table and the projection."""
    kept = RESULTS / "scale.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    for arguments in ([str(part) for part in own] for own in CELLS):
        if " ".join(arguments) not in found:
            with tempfile.TemporaryDirectory() as name:
                said = timed(["-m", "benchmarks.scale", *arguments], Path(name)).output
            found[" ".join(arguments)] = json.loads(said.splitlines()[-1])
            kept.write_text(json.dumps(found, indent=1) + "\n")
    write("scale.md", describe({own: found[" ".join(map(str, own))] for own in CELLS}))


def describe(found: dict[tuple[int, int, float], dict[str, float]]) -> str:
    """The result in Markdown."""
    rows, limit = [], math.inf
    for (workers, images, seconds), numbers in found.items():
        limit = limit if seconds else min(limit, numbers["rate"])
        share = f"{numbers['rate'] * seconds / workers:.2f}" if seconds else "the limit"
        sizes = [f"{numbers[name]:.0f} MB" for name in ("cache", "memory")]
        rows.append([workers, f"{images:,}", f"{seconds} s" if seconds else "nothing", f"{numbers['rate']:.1f}", share, *sizes])
    projected = []
    for workers in (1, 4, 16, 64):
        rate = min(workers / COST, limit)
        projected.append([workers, f"{rate:.0f}", *(_hours(images / rate) for images in SIZES)])
    said = (
        "Each worker waits as long as VGG16 takes for an image on two cores; the rate is that of the second half, when all "
        "have started. Memory is the peak of the process that began the run, with Keras imported and a record for each image."
    )
    bottleneck = (
        f"The bottleneck is what one stream carries: where an image takes nothing, {limit:.0f} images/s at the least. That is "
        f"as much as {limit * COST:.0f} workers of two cores do; beyond that more of them do not help. The projection takes "
        "the lesser of that limit and the ideal rate."
    )
    head = ["workers", "images", "an image takes", "images/s", "of the ideal", "cache", "memory"]
    measured = ["# How far one driver carries a cluster", provenance(), said, table(head, rows)]
    again = table(["workers", "images/s", *(f"{images:,} images" for images in SIZES)], projected)
    return "\n\n".join([*measured, "## Projection", bottleneck, again])


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as here:
            print(json.dumps(cell(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(here))))
    else:
        main()
