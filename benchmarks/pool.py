"""A pool of phantoms from which benchmarks draw many data sets: drawn, planted, measured and extracted once.

Each phantom is drawn sick and healthy, and a data set takes each patient in one of the two. So chance differences between the
classes of the pool are drawn anew with every data set, though the data sets share phantoms.
"""

from __future__ import annotations

import contextlib
import io
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import keras
import numpy as np

from benchmarks.planting import PLANTED, Change, same
from covid19.audit.inputs import LUNGS_HIDDEN, occluded_features
from covid19.audit.probes import LabelledFolds, Probe, make_probe, probe_measurement
from covid19.core.arrays import BoolArray, Float32Array, IndexArray
from covid19.core.executor.local import LocalExecutor
from covid19.core.settings import EvaluationSettings, LungSettings, TrainingSettings
from covid19.data.build.phantoms import draw_phantom
from covid19.data.columns import Entry
from covid19.data.dataset import Record
from covid19.data.images import read_picture
from covid19.data.measurements.registry import MEASUREMENTS, ProbeMeasurements
from covid19.data.scan import scan_files
from covid19.evaluation.folds import make_folds
from covid19.features.backbone.weights import Weights
from covid19.features.cache import Caches
from covid19.features.extraction import Extractor
from covid19.lungs.measured import measurements_of
from covid19.lungs.occlusion import Hides
from covid19.lungs.scan import find_lungs

SIDE_PX = 256
SICK, HEALTHY = "covid", "normal"


class DataSet(NamedTuple):
    """A data set drawn from the pool: for each image its position in the pool, and whether it is sick and marked."""

    at: IndexArray
    positive: BoolArray
    marked: BoolArray
    groups: list[int]


class Version(NamedTuple):
    """What the audit sees of the pool's phantoms in one version, a row for each."""

    paths: list[Path]
    measurements: list[ProbeMeasurements]
    lungs_hidden: Float32Array


class Pool:
    """Draws phantoms, and measures and extracts them as the audit does, each once.

    Args:
        folder: to draw into.
        size: how many phantoms it has.
        caches: where what was measured is kept.
        base, weights: the backbone.
    """

    def __init__(self, folder: Path, size: int, caches: Caches, base: keras.Model, weights: Weights) -> None:
        self._folder, self._size, self._caches, self._executor = folder, size, caches, LocalExecutor()
        extractor = Extractor(caches.features, self._executor, read_picture)
        self._occluded = partial(occluded_features, base=base, weights=weights, extractor=extractor)
        self._versions: dict[tuple[str, str], Version] = {}

    def draw(self, sizes: tuple[int, int], shares: tuple[float, float], seed: int) -> DataSet:
        """Draw a data set: whole patients at random for either class, and a share of the patients of each that is marked.

        Args:
            sizes: images of the positive and of the other class.
            shares: of the patients of each class that are marked.
            seed: of all drawing.
        """
        patients, generator = _patients(self._size), np.random.default_rng((11, seed))
        order = list(generator.permutation(np.unique(patients)))
        rows: list[int] = []
        for size in sizes:
            images: list[int] = []
            while len(images) < size:
                images += np.flatnonzero(patients == order.pop()).tolist()
            rows += images[:size]
        positive, groups = np.repeat((True, False), sizes), patients[rows]
        return marked(DataSet(np.array(rows), positive, np.zeros(len(rows), bool), groups.tolist()), shares, seed)

    def paths(self, data: DataSet, what: str) -> list[Path]:
        """The file of each image of a data set with a shortcut planted."""
        return [version.paths[at] for version, at in zip(self._versions_of(data, what), data.at, strict=True)]

    def probes(self, data: DataSet, what: str) -> list[Probe]:
        """The lung-blind probes that a default run asks of a data set.

        Args:
            data: from `draw`.
            what: the shortcut in the marked images, a name in `PLANTED`.
        """
        measured = self.measurements(data, what)
        hidden = np.stack(
            [version.lungs_hidden[at] for version, at in zip(self._versions_of(data, what), data.at, strict=True)]
        )
        folds = self.folds(data)
        probes = [probe_measurement(own, measured, folds) for own in MEASUREMENTS if own.lung_blind]
        return [*probes, make_probe(LUNGS_HIDDEN, hidden.astype(float), folds)]

    def measurements(self, data: DataSet, what: str) -> list[ProbeMeasurements]:
        """What is measured of each image of a data set with a shortcut planted."""
        return [version.measurements[at] for version, at in zip(self._versions_of(data, what), data.at, strict=True)]

    @staticmethod
    def folds(data: DataSet) -> LabelledFolds:
        """The folds of a default run on a data set."""
        settings, seed = EvaluationSettings(), TrainingSettings.seed
        divisions = make_folds(data.positive.astype(int).tolist(), data.groups, settings.folds, settings.repeats, seed)
        return LabelledFolds(data.positive, data.groups, divisions, seed)

    def _versions_of(self, data: DataSet, what: str) -> list[Version]:
        """For each image the version of the pool that it is taken from."""
        flags = zip(data.positive.tolist(), data.marked.tolist(), strict=True)
        return [self._version(SICK if sick else HEALTHY, what, marked) for sick, marked in flags]

    def _version(self, label: str, what: str, marked: bool) -> Version:
        """All phantoms, sick or healthy, with the shortcut or only in the file format that it comes with."""
        shortcut = PLANTED[what]
        change = shortcut.change if marked else same
        quality = shortcut.jpeg_quality and shortcut.jpeg_quality[0 if marked else 1]
        key = (label, f"{change.__name__}-{quality or 'png'}")
        if key not in self._versions:
            folder = self._folder / "-".join(key)
            self._draw(folder, label == SICK, change, quality)
            with contextlib.redirect_stdout(io.StringIO()):
                self._versions[key] = self._read(sorted(folder.iterdir()), label)
        return self._versions[key]

    def _draw(self, folder: Path, is_sick: bool, change: Change, quality: int | None) -> None:
        folder.mkdir(parents=True)
        settings = [cv2.IMWRITE_JPEG_QUALITY, quality] if quality else [cv2.IMWRITE_PNG_COMPRESSION, 9]
        for index, patient in enumerate(_patients(self._size).tolist()):
            anatomy, exposure = np.random.default_rng((9, 0, patient)), np.random.default_rng((9, 1, index))
            image = change(draw_phantom(anatomy, exposure, SIDE_PX, is_sick), np.random.default_rng((10, index)))
            cv2.imwrite(str(folder / f"{index:04d}.{'jpg' if quality else 'png'}"), image, settings)

    def _read(self, paths: list[Path], label: str) -> Version:
        executor, scans = self._executor, self._caches.scans
        found = dict(scan_files(paths, frozenset(), executor, read_picture))
        records = []
        for number, path in enumerate(paths):
            scan = found[number]
            assert scan.stats, f"a phantom cannot be read: {scan.problem}"
            records.append(Record(path.parent, path.name, label, scan.digest, path.stem, "none", "PA", Entry(), scan.stats))
        lungs = find_lungs(records, LungSettings(), self._caches.lungs, executor, read_picture)
        measured = measurements_of(records, lungs, scans, executor, read_picture)
        return Version(paths, measured, self._occluded(records, lungs, {LUNGS_HIDDEN: Hides.LUNGS})[LUNGS_HIDDEN])


def marked(data: DataSet, shares: tuple[float, float], seed: int) -> DataSet:
    """The data set with a share of the patients of each class marked, drawn by a seed."""
    generator, groups, has_shortcut = np.random.default_rng((12, seed)), np.array(data.groups), np.zeros(len(data.at), bool)
    for side, share in zip((data.positive, ~data.positive), shares, strict=True):
        own = generator.permutation(np.unique(groups[side]))
        has_shortcut |= np.isin(groups, own[: round(share * len(own))]) & side
    return data._replace(marked=has_shortcut)


def _patients(count: int) -> IndexArray:
    """The patient of each phantom of a pool; one in seven has two or three images."""
    images = np.random.default_rng(7).choice((1, 2, 3), count, p=(0.85, 0.1, 0.05))
    return np.repeat(np.arange(count), images)[:count]
