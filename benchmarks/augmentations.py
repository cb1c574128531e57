"""How many rotated copies does an image need? Repeated cross-validation with 0 to 25 copies on an untrained base.

`python3 -m benchmarks.augmentations DATASET...`; features are kept in the feature cache, so a second call takes seconds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from benchmarks.record import provenance, table, write
from covid19.core.executor.local import LocalExecutor
from covid19.core.keras_startup import import_keras
from covid19.core.settings import ComputeSettings, TrainingSettings
from covid19.data.dataset import choose_positive
from covid19.data.decoding import DecodingPool
from covid19.data.gathering import gather
from covid19.data.images import read_picture
from covid19.data.reader import Filter, read_dataset
from covid19.evaluation.bootstrap import roc_auc
from covid19.evaluation.metrics import one_hot
from covid19.features.augmentation import View, augmented_views
from covid19.features.backbone.weights import get_weights
from covid19.features.cache import open_caches

COPIES = (0, 1, 2, 3, 4, 6, 10, 25)
FOLDS, REPEATS = 5, 20


def main() -> None:
    """Measure each data set and write `results/augmentations.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET")
    import_keras()
    sections = ["# Out-of-fold ROC AUC by number of rotated copies", provenance()]
    sections.append(
        f"Untrained base, {REPEATS} repeats of {FOLDS} folds stratified by class and grouped by patient, 25 epochs, default "
        "settings. ± is the standard deviation over the repeats; the last column is the mean paired difference to 25 copies "
        "and its own."
    )
    for dataset in parser.parse_args().datasets:
        aucs = measure(dataset)
        reference = aucs[COPIES[-1]]
        rows = [
            [
                copies, f"{auc.mean():.4f} ± {auc.std(ddof=1):.4f}",
                f"{(auc - reference).mean():+.4f} ± {(auc - reference).std(ddof=1):.4f}",
            ]
            for copies, auc in aucs.items()
        ]  # fmt: skip
        sections.append(f"## {dataset.name}\n\n" + table(["copies", "AUC", "less 25 copies"], rows))
    write("augmentations.md", "\n\n".join(sections))


def measure(dataset: Path) -> dict[int, NDArray[np.float64]]:
    """The out-of-fold AUC of each repeat, by number of copies."""
    from covid19.evaluation.cross_validation import cross_validate
    from covid19.evaluation.folds import make_folds
    from covid19.features.backbone.network import build_base
    from covid19.features.extraction import Extractor

    training = TrainingSettings(augmentations=COPIES[-1])
    weights = get_weights("random")
    with DecodingPool() as decoder, open_caches(True, None, ComputeSettings.cache_size) as caches:
        executor, read = LocalExecutor(decoder.run), partial(read_picture, run=decoder.run)
        data = read_dataset(gather(dataset), Filter(), caches.scans, executor, read)
        views = augmented_views([View(record) for record in data.records], range(len(data.records)), training)
        each = len(views) // len(data.records)
        features = Extractor(caches.features, executor, read).extract(views, build_base(weights), weights.digest, each).features
    labels = one_hot([record.label for record in data.records], data.classes)
    positive = data.classes.index(choose_positive(data.classes, None))
    divisions = make_folds(labels.argmax(axis=1).tolist(), [record.group for record in data.records], FOLDS, REPEATS, 0)
    aucs = {}
    for count in COPIES:
        logits = cross_validate(features[:, : 1 + count], labels, divisions, replace(training, augmentations=count))
        probabilities = softmax(logits, axis=2)[:, :, positive]
        aucs[count] = np.array([roc_auc(repeat.astype(float), labels[:, positive] == 1) for repeat in probabilities])
    return aucs


if __name__ == "__main__":
    main()
