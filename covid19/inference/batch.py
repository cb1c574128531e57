"""What is kept of the predictions of a run, to say something of all of them together."""

from __future__ import annotations

import numpy as np

from covid19.core.arrays import Float32Array
from covid19.inference.answer import Answer
from covid19.model.info import PositiveCount
from covid19.model.shift import MAX_BATCH_IMAGES


class Batch:
    """The features of a random part of the images that were asked about, and how many of all were predicted positive.

    Images that the model was trained on do not count: they are no new images.

    Args:
        positive: the positive class.
    """

    def __init__(self, positive: str) -> None:
        self._positive = positive
        self._features: list[Float32Array] = []
        self._seen = self._labelled = self._positives = 0
        self._generator = np.random.default_rng(0)

    def add(self, answer: Answer, features: Float32Array | None) -> None:
        """Take one more answer, whose label is not withheld, and the features of its image."""
        if features is None or answer.training_image:
            return
        self._labelled += answer.label != ""
        self._positives += answer.label == self._positive
        self._seen += 1
        if len(self._features) < MAX_BATCH_IMAGES:
            self._features.append(features)
        elif (place := self._generator.integers(self._seen)) < MAX_BATCH_IMAGES:  # each image is kept with the same probability
            self._features[place] = features

    def predicted(self) -> PositiveCount:
        """How many images have a label, and for how many it is the positive class."""
        return PositiveCount(self._positives, self._labelled)

    def features(self) -> Float32Array:
        """Of the images that were kept, float32 (n, width)."""
        return np.array(self._features, np.float32)
