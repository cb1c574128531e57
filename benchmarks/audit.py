"""Does the audit accuse whom it should? `python3 -m benchmarks.audit --weights FILE`; writes `results/audit.md`.

Phantoms differ in nothing but the lungs; then one shortcut is planted at a time. The probes are those of a default run of
`covid19 train`. Beside them stands what cleanlab's Datalab says of the same files, and how often a marker is found in the
share of the images that the audit itself states as its detection limit.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.datalab import datalab_accuses
from benchmarks.planting import PLANTED
from benchmarks.pool import DataSet, Pool, marked
from benchmarks.record import provenance, table, write
from covid19.audit.detection import detection_limit
from covid19.audit.inputs import LUNGS_HIDDEN
from covid19.audit.probes import Probe, holm
from covid19.audit.verdict import SIGNIFICANT
from covid19.core.keras_startup import import_keras
from covid19.data.measurements.border_ring import BORDER_RING
from covid19.data.measurements.registry import MEASUREMENTS
from covid19.features.cache import open_caches

CLEAN_SIZES = ((25, 25), (40, 10), (200, 20))
CLEAN_SETS, PLANTED_SETS = 200, 50
LIMIT_SIZES, LIMIT_SETS, PLANTINGS = ((15, 15), (25, 25), (40, 10)), 20, 5
LARGE_POOL, SMALL_POOL = 300, 120  # phantoms
NAMES = [*(measurement.name for measurement in MEASUREMENTS if measurement.lung_blind), LUNGS_HIDDEN]


def accusers(probes: Sequence[Probe]) -> list[str]:
    """The probes that tell the classes apart better than chance, corrected for their number."""
    corrected = holm([probe.p_value for probe in probes if probe.p_value is not None])
    return [probe.name for probe, p_value in zip(probes, corrected, strict=True) if p_value < SIGNIFICANT]


def count_accused(pool: Pool, what: str, sizes: tuple[int, int], sets: int) -> list[object]:
    """One row of the table: how often the audit, each probe and Datalab accuse data sets of a kind."""
    accused: Counter[str] = Counter()
    for seed in range(sets):
        data = pool.draw(sizes, PLANTED[what].shares, seed)
        found = accusers(pool.probes(data, what))
        accused.update(found)
        accused["audit"] += bool(found)
        accused["Datalab"] += bool(datalab_accuses(pool.paths(data, what), data.positive.tolist()))
    row = [what, f"{sizes[0]} + {sizes[1]}", sets, accused["audit"], accused["Datalab"], *(accused[name] for name in NAMES)]
    print(row, flush=True)
    return row


def check_limits(pool: Pool, sizes: tuple[int, int]) -> list[object]:
    """One row of the table: which limit the audit states, and how often it finds a marker that is planted just so."""
    stated, found = [], []
    for seed in range(LIMIT_SETS):
        data = pool.draw(sizes, (0, 0), seed)
        rings = [measured[BORDER_RING.name] for measured in pool.measurements(data, "nothing")]
        share = detection_limit(rings, pool.folds(data), SIGNIFICANT / len(NAMES)).share
        if share is None:
            continue
        stated.append(share)
        found += [_is_found(pool, marked(data, (share, 1 - share), planting)) for planting in range(PLANTINGS)]
    limits = ", ".join(f"{share:.0%} {count}" for share, count in sorted(Counter(stated).items()))
    row = [f"{sizes[0]} + {sizes[1]}", LIMIT_SETS, limits, LIMIT_SETS - len(stated), f"{sum(found)} of {len(found)}"]
    print(row, flush=True)
    return row


def _is_found(pool: Pool, data: DataSet) -> bool:
    return bool(accusers(pool.probes(data, "marker in a corner")))


@contextmanager
def _open_pools(weights_flag: str) -> Iterator[tuple[Pool, Pool]]:
    import_keras()
    from covid19.features.backbone.network import build_base
    from covid19.features.backbone.weights import get_weights

    weights = get_weights(weights_flag)
    base = build_base(weights)
    with tempfile.TemporaryDirectory() as name, open_caches(cache=False, cache_dir=None, cache_size=10**9) as caches:
        yield (
            Pool(Path(name) / "large", LARGE_POOL, caches, base, weights),
            Pool(Path(name) / "small", SMALL_POOL, caches, base, weights),
        )


def main() -> None:
    """Draw, plant and probe; write how often each accused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="auto", help="as for covid19 train")
    with _open_pools(parser.parse_args().weights) as (large, small):
        rows = [count_accused(large, "nothing", sizes, CLEAN_SETS) for sizes in CLEAN_SIZES]
        rows += [count_accused(small, what, (25, 25), PLANTED_SETS) for what in PLANTED if what != "nothing"]
        limits = [check_limits(small, sizes) for sizes in LIMIT_SIZES]
    parts = [
        "# How often the audit accuses",
        provenance(),
        "Data sets of phantoms of two classes, drawn from a pool; planted, where nothing else is said, in 90 % of the patients "
        "of one class and 10 % of the other. Audit: at least one of the lung-blind probes of a default run tells the classes "
        "apart after correction for their number, so that the verdict is SHORTCUT or PARTLY. Datalab: a property of the "
        "pictures is reported as correlated with the class, by the threshold that Datalab comes with.",
        table(["planted", "images", "data sets", "audit", "Datalab", *NAMES], rows),
        f"## The detection limit\n\nOf {LIMIT_SETS} clean data sets of each size, the share of one class that the audit states "
        f"as the smallest marker it would find with 80 % power; then that marker is drawn into the images in that share, "
        f"{PLANTINGS} times for each data set, and all probes are asked.",
        table(["images", "data sets", "stated limit", "none stated", "markers found"], limits),
    ]
    write("audit.md", "\n\n".join(parts))


if __name__ == "__main__":
    main()
