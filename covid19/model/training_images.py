"""Was the model trained on this image? Digests and perceptual hashes go in; how an image is known, if it is, comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from covid19.data.duplicates import MAX_NEAR_DISTANCE_BITS, hash_words, is_blank

TrainingImage = Literal["", "same file", "near-duplicate"]


class TrainingImages:
    """The images that a model was trained on.

    Args:
        digests: SHA-256 of each file, in hexadecimal.
        hashes: of each image, from `duplicates.perceptual_hash`.
    """

    def __init__(self, digests: Sequence[str], hashes: Sequence[str]) -> None:
        self._digests = frozenset(digests)
        self._words = hash_words([one for one in hashes if not is_blank(one)])

    def find(self, digest: str, perceptual_hash: str) -> TrainingImage:
        """Whether an image is one of them.

        Returns:
            'same file' for a file of the same bytes, 'near-duplicate' for one whose picture is nearly the same, as after saving
            it again or at another size; '' for an image that the model was not trained on.
        """
        if digest in self._digests:
            return "same file"
        if is_blank(perceptual_hash):
            return ""
        distances = np.bitwise_count(self._words ^ hash_words([perceptual_hash])).sum(axis=1)
        return "near-duplicate" if (distances <= MAX_NEAR_DISTANCE_BITS).any() else ""
