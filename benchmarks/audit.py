"""Does the audit accuse whom it should? `python3 -m benchmarks.audit`; writes `results/audit.md`.

Phantoms differ in nothing but the lungs. Then a shortcut is planted, one at a time, in 90 % of one class and 10 % of the other.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.record import provenance, table, write
from covid19.audit.run import measurements_of
from covid19.audit.verdict import SIGNIFICANT, LabelledFolds, holm, make_probe
from covid19.core.executor.local import LocalExecutor
from covid19.data.build.phantoms import write_sample
from covid19.data.dataset import list_classes
from covid19.data.images import Pixels, read_picture
from covid19.data.measurements import registry
from covid19.data.reader import Filter, read_dataset
from covid19.data.scan_cache import ScanCache
from covid19.evaluation.folds import make_folds

SEEDS = 40
COUNT = 25  # images of each class
MEASUREMENTS = {measurement.name: measurement for measurement in registry.MEASUREMENTS if measurement.lung_blind}


def marker(image: Pixels) -> Pixels:
    """A letter of a fifteenth of the side in the upper left corner, as technicians leave."""
    side = min(image.shape)
    return cv2.putText(image.copy(), "L", (side // 40, side // 12), cv2.FONT_HERSHEY_SIMPLEX, side / 330, 200, 2)


def shade(image: Pixels) -> Pixels:
    """A border of a twentieth of the side, 12 grey levels brighter."""
    edge = min(image.shape) // 20
    shaded = np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8)
    shaded[edge:-edge, edge:-edge] = image[edge:-edge, edge:-edge]
    return shaded


def smaller(image: Pixels) -> Pixels:
    """Four fifths of the resolution."""
    return np.asarray(cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA), np.uint8)


def same(image: Pixels) -> Pixels:
    """Nothing planted."""
    return image


# What is planted, and the JPEG quality of the marked and of the other images; None writes PNG.
PLANTED: dict[str, tuple[Callable[[Pixels], Pixels], int | None, int]] = {
    "nothing": (same, None, 0),
    "marker in a corner": (marker, None, 0),
    "shade of the border": (shade, None, 0),
    "resolution, 0.8 of the side": (smaller, None, 0),
    "JPEG quality, 75 and 90": (same, 75, 90),
}


def plant(source: Path, target: Path, what: str, seed: int) -> None:
    """Copy a data set with a shortcut in 90 % of the first class and 10 % of the second."""
    change, marked_quality, quality = PLANTED[what]
    for number, folder in enumerate(sorted(path for path in source.iterdir() if path.is_dir())):
        files = sorted(folder.iterdir())
        (target / folder.name).mkdir(parents=True)
        chosen = np.random.default_rng((seed, number)).permutation(len(files)) < round(len(files) * (0.9, 0.1)[number])
        for path, is_chosen in zip(files, chosen, strict=True):
            image = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
            copy = target / folder.name / f"{path.stem}{'.jpg' if marked_quality else '.png'}"
            settings = [cv2.IMWRITE_JPEG_QUALITY, marked_quality if is_chosen else quality] if marked_quality else []
            cv2.imwrite(str(copy), change(image) if is_chosen else image, settings)
    (target / "metadata.csv").write_text((source / "metadata.csv").read_text().replace(".png", ""))


def accusers(root: Path, seed: int) -> list[str]:
    """The lung-blind probes of the quick audit that are significant."""
    scans, executor = ScanCache(None, 10**9), LocalExecutor()
    dataset = read_dataset(root, list_classes(root), Filter(), scans, executor, read_picture)
    positive = np.array([record.label == "covid" for record in dataset.records])
    groups = [record.group for record in dataset.records]
    question = LabelledFolds(positive, groups, make_folds(positive.astype(int).tolist(), groups, 5, 5, seed), seed)
    measured = measurements_of(dataset.records, scans, executor, read_picture)
    found = [
        make_probe(name, MEASUREMENTS[name].as_numbers([own[name] for own in measured]), question) for name in MEASUREMENTS
    ]
    corrected = holm([probe.p_value or 0.0 for probe in found])
    return [probe.name for probe, p_value in zip(found, corrected, strict=True) if p_value < SIGNIFICANT]


def main() -> None:
    """Plant and audit, and write how often each was found."""
    accused: Counter[str] = Counter()
    by_probe: Counter[tuple[str, str]] = Counter()
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            with contextlib.redirect_stdout(io.StringIO()):
                write_sample(Path(folder) / "source", COUNT, 256, 1000 + seed)
            for number, what in enumerate(PLANTED):
                root = Path(folder) / str(number)
                plant(Path(folder) / "source", root, what, seed)
                found = accusers(root, seed)
                accused[what] += bool(found)
                by_probe.update((what, name) for name in found)
        print(seed, dict(accused), flush=True)
    rows = [[what, f"{accused[what]} of {SEEDS}", *(str(by_probe[what, name]) for name in MEASUREMENTS)] for what in PLANTED]
    text = (
        f"{SEEDS} data sets of {COUNT} phantoms of each class; planted in 90 % of one class and 10 % of the other. Accused: "
        "the quick audit calls a lung-blind probe significant after correction."
    )
    write(
        "audit.md",
        "\n\n".join(["# How often the audit accuses", provenance(), text, table(["planted", "accused", *MEASUREMENTS], rows)]),
    )


if __name__ == "__main__":
    main()
