"""Cross-validation on stored features: a head for each fold, all trained side by side, which takes about a second.

Features, labels and groups go in; logits of each image come out, by heads that were trained on neither it nor its patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.console import warn
from covid19.core.settings import TrainingSettings
from covid19.model.head import Features, logits_of, new_heads, train_heads

MAX_DIVISIONS = 20  # drawn for each repeat until every class is in each training part


class Fold(NamedTuple):
    """Positions of the training and of the held-out images, intp, disjoint."""

    train: IndexArray
    held_out: IndexArray


def make_folds(labels: Sequence[int], groups: Sequence[int], folds: int, repeats: int, seed: int) -> list[list[Fold]]:
    """Divide the images into folds, several times: stratified by class, no group in both parts of a fold.

    Args:
        labels: class of each image.
        groups: of each image; images of one number stay together.
        folds: parts; fewer, with a warning, where a class has fewer groups.
        repeats: divisions.
        seed: of all divisions.

    Returns:
        For each repeat its folds; empty where a class has a single group, or every division leaves a class untrained.
    """
    label, group = np.asarray(labels), np.asarray(groups)
    fewest = min(len(np.unique(group[label == number])) for number in np.unique(label))
    if fewest < folds:
        warn(f"cross-validation with {fewest} folds, not {folds}: a class has {fewest} patients")
    if fewest < 2:
        return []
    divisions = []
    for repeat in range(repeats):
        for attempt in range(MAX_DIVISIONS):
            state = int(np.random.default_rng((seed, repeat, attempt)).integers(2**31))
            divider = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=state)
            division = [Fold(*fold) for fold in divider.split(label, label, group)]
            if all(len(np.unique(label[fold.train])) == len(np.unique(label)) and len(fold.held_out) for fold in division):
                divisions.append(division)
                break
    return divisions


def cross_validate(
    features: Features, labels: Float32Array, divisions: Sequence[Sequence[Fold]], training: TrainingSettings
) -> Float32Array:
    """Train a head for each fold and apply it to the fold's held-out images.

    Standardisation is adapted to each fold's training images alone.

    Args:
        features: of all images, float32 (n, views, 512). Held-out images are represented by view 0, the unrotated image. The
            run's test images have no other views: in the folds where they train, they train unrotated.
        labels: one-hot, float32 (n, classes).
        divisions: from `make_folds`.
        training: epochs, batch_size, learning_rate and seed are used.

    Returns:
        Out-of-fold logits, float32 (divisions, n, classes).
    """
    folds = [fold for division in divisions for fold in division]
    members = [fold.train for fold in folds]
    heads, _ = train_heads(new_heads(features, members, labels.shape[1], training.seed), features, labels, members, training)
    logits = np.empty((len(divisions), len(labels), labels.shape[1]), np.float32)
    numbers = [repeat for repeat, division in enumerate(divisions) for _ in division]
    for head, (repeat, fold) in enumerate(zip(numbers, folds, strict=True)):
        logits[repeat, fold.held_out] = logits_of(heads.one(head), features, fold.held_out)[:, 0]
    return logits
