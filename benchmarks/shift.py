"""Does a shifted batch raise an alarm, and only that? `python3 -m benchmarks.shift DATASET [--weights FILE] [--other DIR]...`.

A third of the patients is held out, many times; a head is trained and cross-validated on the rest. Alarms on batches of
held-out images are false; on the same images with changed contrast or brightness, and on other images, they should come.
Writes `results/shift.md`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.novelty import features_of
from benchmarks.record import provenance, table, write
from covid19.core.executor.local import LocalExecutor
from covid19.core.settings import TrainingSettings
from covid19.data.appearance import appearance
from covid19.data.dataset import list_inputs
from covid19.data.gathering import gather
from covid19.data.images import Pixels, read_picture
from covid19.data.reader import Filter, read_dataset
from covid19.evaluation.cross_validation import cross_validate
from covid19.evaluation.folds import make_folds
from covid19.evaluation.metrics import one_hot
from covid19.evaluation.proportions import proportion
from covid19.features.backbone.network import build_base, pooled
from covid19.features.backbone.weights import get_weights
from covid19.features.cache import open_caches
from covid19.model.head import new_heads, probabilities_of, train_heads
from covid19.model.info import PositiveCount
from covid19.model.shift import FEATURES_LEVEL, ImageSet, compare_batch

FOLDS = 5
SIZES = (20, 40)  # images of a batch
Array = NDArray[np.float32]


def with_contrast(factor: float) -> Callable[[Pixels], Pixels]:
    """A change of contrast about the picture's mean."""
    return lambda picture: np.asarray(((picture - picture.mean()) * factor + picture.mean()).clip(0, 255), np.uint8)


def with_gamma(gamma: float) -> Callable[[Pixels], Pixels]:
    """A change of brightness that leaves black and white as they are."""
    return lambda picture: np.asarray(255 * (picture / 255) ** gamma, np.uint8)


def equalised(picture: Pixels) -> Pixels:
    """Contrast-limited adaptive histogram equalisation, as some devices apply it."""
    return np.dstack(
        [cv2.createCLAHE(2.0, (8, 8)).apply(np.ascontiguousarray(channel)) for channel in np.moveaxis(picture, 2, 0)]
    )


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "held out, as they are": lambda picture: picture,
    "contrast x 0.6": with_contrast(0.6),
    "contrast x 0.8": with_contrast(0.8),
    "contrast x 1.25": with_contrast(1.25),
    "contrast x 1.5": with_contrast(1.5),
    "adaptive equalisation": equalised,
    "gamma 0.5": with_gamma(0.5),
    "gamma 0.7": with_gamma(0.7),
    "gamma 1.5": with_gamma(1.5),
    "gamma 2": with_gamma(2.0),
    "negative": lambda picture: 255 - picture,
}


def images_of(model: keras.Model, pictures: list[Pixels]) -> ImageSet:
    """What a batch of pictures is compared by."""
    return ImageSet(features_of(model, pictures), np.array([appearance(picture) for picture in pictures]))


def both_ways(pictures: list[Pixels]) -> list[Pixels]:
    """Pictures and their mirror images, where there are too few for a batch."""
    return pictures if len(pictures) >= SIZES[0] else [*pictures, *(picture[:, ::-1] for picture in pictures)]


class Alarms:
    """Asks about batches for one division into training and held-out patients.

    Args:
        images: all images of the data set.
        labels: one-hot; column 0 is the positive class.
        groups: patients.
        train: positions of the training images.
    """

    def __init__(self, images: ImageSet, labels: Array, groups: NDArray[np.intp], train: NDArray[np.intp]) -> None:
        self._training, self._groups = images.part(train), groups[train]
        own = self._training.features[:, None]
        training = TrainingSettings()
        divisions = make_folds(labels[train].argmax(axis=1).tolist(), self._groups.tolist(), FOLDS, 1, training.seed)
        logits = cross_validate(own, labels[train], divisions, training)
        self._expected = PositiveCount(int((logits[0].argmax(axis=1) == 0).sum()), len(train))
        everything = [np.arange(len(train))]
        self._heads, _ = train_heads(new_heads(own, everything, 2, training.seed), own, labels[train], everything, training)

    def alarm(self, batch: ImageSet) -> tuple[bool, bool]:
        """Whether a batch raises an alarm, and whether it does by its features and appearance."""
        features = batch.features
        probabilities = probabilities_of(self._heads, features[:, None], np.arange(len(features)))[:, 0]
        predicted = PositiveCount(int((probabilities.argmax(axis=1) == 0).sum()), len(features))
        result = compare_batch(self._training, self._groups, batch, predicted, self._expected, "covid")
        assert result is not None
        return result.shifted, result.p_value <= FEATURES_LEVEL


def measure(model: keras.Model, root: Path, others: list[Path], divisions: int) -> list[list[object]]:
    """A row of the table for each kind of batch."""
    with open_caches(False, None, 10**9) as caches:
        gathered = gather(root)
        records = read_dataset(gathered, Filter(), caches.scans, LocalExecutor(), read_picture).records
    pictures = [read_picture(record.path).pixels for record in records]
    changed = {name: images_of(model, [change(picture) for picture in pictures]) for name, change in CHANGES.items()}
    foreign = {
        folder.name: images_of(model, both_ways([read_picture(Path(file)).pixels for file in list_inputs([folder])]))
        for folder in others
    }
    labels = one_hot([record.label for record in records], gathered.classes)
    groups = np.unique([record.group for record in records], return_inverse=True)[1]
    found: dict[tuple[str, int], list[tuple[bool, bool]]] = {}
    for seed in range(divisions):
        generator = np.random.default_rng(seed)
        order = generator.permutation(groups.max() + 1)
        held_out = np.isin(groups, order[: len(order) // 3])
        asked = Alarms(changed["held out, as they are"], labels, groups, np.flatnonzero(~held_out))
        drawn = generator.permutation(np.flatnonzero(held_out))
        for (name, images), size in itertools.product((changed | foreign).items(), SIZES):
            chosen = drawn if name in changed else generator.permutation(len(images.features))
            if len(chosen) >= size:
                found.setdefault((name, size), []).append(asked.alarm(images.part(chosen[:size])))
    return [
        [name, size, len(alarms), *(_with_interval([alarm[which] for alarm in alarms]) for which in (0, 1))]
        for (name, size), alarms in found.items()
    ]


def _with_interval(alarms: list[bool]) -> str:
    share = proportion(sum(alarms), len(alarms))
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"


def main() -> None:
    """Measure with one base after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--weights", nargs="+", default=["random"], help="of the base: random, imagenet or files")
    parser.add_argument("--other", nargs="+", type=Path, default=[], help="folders of images of another kind or source")
    parser.add_argument("--divisions", type=int, default=100)
    arguments = parser.parse_args()
    head = ["batch", "images", "batches", "alarms (95 % interval)", "of these by features and appearance"]
    parts = ["# Batches that are not like the training images", provenance()]
    for name in arguments.weights:
        weights = get_weights(name)
        rows = measure(pooled(build_base(weights)), arguments.dataset, arguments.other, arguments.divisions)
        parts += [f"## {weights.title}", table(head, rows)]
    write("shift.md", "\n\n".join(parts))


if __name__ == "__main__":
    main()
