"""Do the probes that need no backbone accuse whom they should? `python3 -m benchmarks.audit`; writes `results/audit.md`.

These are the probes that `covid19 check` asks. Phantoms differ in nothing but the lungs; then one shortcut is
planted at a time.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.planting import PLANTED, plant
from benchmarks.record import provenance, table, write
from covid19.check import probe_classes
from covid19.core.executor.local import LocalExecutor
from covid19.core.keras_startup import import_keras
from covid19.core.settings import LungSettings
from covid19.data.build.phantoms import write_sample
from covid19.data.gathering import gather
from covid19.data.images import read_picture
from covid19.data.measurements.registry import MEASUREMENTS
from covid19.data.reader import Filter, read_dataset
from covid19.data.scan_cache import ScanCache
from covid19.lungs.measured import measurements_of
from covid19.lungs.scan import LungCache, find_lungs

SEEDS = 20
COUNT = 25  # images of each class
UNBALANCED = "nothing, 40 and 10 images"
NAMES = [measurement.name for measurement in MEASUREMENTS if measurement.lung_blind]


def accusers(root: Path) -> list[str]:
    """The lung-blind probes that tell the classes apart better than chance."""
    executor = LocalExecutor()
    with ScanCache(None, 10**9) as scans, LungCache(None, 10**9) as cache:
        dataset = read_dataset(gather(root), Filter(), scans, executor, read_picture)
        lungs = find_lungs(dataset.records, LungSettings(), cache, executor, read_picture)
        measured = measurements_of(dataset.records, lungs, scans, executor, read_picture)
    return [probe.name for probe in probe_classes(dataset, measured) if probe.is_significant]


def unbalanced(source: Path, target: Path) -> None:
    """A clean data set of 40 and 10 images."""
    shutil.copytree(source, target)
    for label, count in (("covid", 40), ("normal", 10)):
        for path in sorted((target / label).iterdir())[count:]:
            path.unlink()


def main() -> None:
    """Plant and probe, and write how often each was accused."""
    import_keras()
    accused: Counter[str] = Counter()
    by_probe: Counter[tuple[str, str]] = Counter()
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
            folder = Path(name)
            write_sample(folder / "source", COUNT, 256, 1000 + seed)
            write_sample(folder / "many", 40, 256, 5000 + seed)
            roots = {what: folder / str(number) for number, what in enumerate(PLANTED)}
            for what, root in roots.items():
                plant(folder / "source", root, what, seed)
            unbalanced(folder / "many", folder / "unbalanced")
            for what, root in (roots | {UNBALANCED: folder / "unbalanced"}).items():
                found = accusers(root)
                accused[what] += bool(found)
                by_probe.update((what, probe) for probe in found)
        print(seed, dict(accused), flush=True)
    kinds = [*PLANTED, UNBALANCED]
    rows = [[what, f"{accused[what]} of {SEEDS}", *(str(by_probe[what, name]) for name in NAMES)] for what in kinds]
    text = (
        f"{SEEDS} data sets of {COUNT} phantoms of each class, or of 40 and 10; planted, where nothing else is said, in 90 % "
        "of one class and 10 % of the other. Accused: a probe that sees no lung tells the classes apart after correction for "
        "the number of probes. The probe of the hidden lungs, which a training run adds, is not part of this table."
    )
    head = ["planted", "accused", *NAMES]
    write("audit.md", "\n\n".join(["# How often the audit's cheap probes accuse", provenance(), text, table(head, rows)]))


if __name__ == "__main__":
    main()
