"""Cross-validation on stored features: a head for each fold, all trained side by side, which takes about a second.

Features, labels and groups go in; logits of each image come out, by heads that were trained on neither it nor its patient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covid19.core.arrays import Float32Array
from covid19.core.settings import TrainingSettings
from covid19.evaluation.folds import Fold
from covid19.model.head import Features, logits_of, new_heads, train_heads


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
