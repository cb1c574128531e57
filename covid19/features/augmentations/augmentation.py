"""What an augmentation is: parameters drawn for one copy of an image, their text in the cache, and a change of pixels."""

from __future__ import annotations

import hashlib
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from covid19.core.settings import TrainingSettings


class Augmentation(Protocol):
    """A change of one copy of an image, its parameters drawn. It travels to other machines, so make it a `NamedTuple`."""

    @classmethod
    def draw(cls, digest: str, copy: int, training: TrainingSettings) -> Self:
        """Draw the parameters: a pure function of its arguments, so that order and threads cannot change them.

        Args:
            digest: of the image file's bytes.
            copy: number of the augmented copy, 1 and up.
            training: the seed, and what the augmentation needs else.
        """

    @property
    def cache_key(self) -> str:
        """The parameters as text; for other parameters, and for another augmentation, it is another text."""

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Change an image, uint8 RGB (height, width, 3), and return one of the same shape; the input stays as it is."""


def draw_uniform(*parts: object) -> float:
    """A number in [-1, 1], drawn uniformly; it depends on the text of the parts alone."""
    draw = hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8]
    return 2 * int.from_bytes(draw, "big") / (2**64 - 1) - 1
