"""Is an image like those that the model was trained on? Features in; how unusual they are, as a percentile, out.

A model answers whatever it is shown. This tells a photograph, a CT slice or a page of text from a radiograph, so that no
label is put on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import t as student

from covid19.core.arrays import Float32Array, Float64Array, IndexArray
from covid19.data.appearance import APPEARANCE_WIDTH
from covid19.data.images import COLOURFUL, MIN_CONTRAST_GREY_LEVELS, Pixels, colourfulness
from covid19.features.backbone.description import BACKBONE

MAX_REFERENCE_IMAGES = 2000  # training images whose features are kept, 1 KB each
NEIGHBOURS = 3
OUT_OF_DISTRIBUTION_PERCENTILE = 99.0  # percentile beyond which an image is not like the training images


class NoveltyDetector:
    """The training images, as the base saw them.

    Args:
        features: float32 (n, width), n at least 2.
        groups: of each image, the same for one patient's: nobody is measured by another image of himself.
        appearance: of each image, see `appearance.appearance`, float32 (n, 14), kept for `shift`; None in files of an earlier
            version.
    """

    def __init__(self, features: Float32Array, groups: NDArray[np.intp], appearance: Float32Array | None = None) -> None:
        self._arrays: dict[str, NDArray[Any]] = {"features": _halved(features), "groups": groups.astype(np.int64)}
        if appearance is not None:
            self._arrays["appearance"] = appearance.astype(np.float32)
        features = self._arrays["features"].astype(np.float32)  # the same after a way through a file
        self._mean, self._spread = features.mean(axis=0), features.std(axis=0)
        self._spread = np.maximum(self._spread, max(0.05 * float(self._spread.mean()), 1e-6))
        self._known = self._scaled(features)
        distances = cdist(self._known, self._known)
        distances[groups[:, None] == groups] = np.inf
        nearest = _nearest(distances)
        usual = np.log(nearest[(nearest > 0) & np.isfinite(nearest)])
        self._sorted, self._count = np.sort(usual), len(usual)
        self._usual = usual.mean() if self._count else 0.0
        self._deviation = max(usual.std(ddof=1), 1e-6) if self._count > 1 else 1e-6

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a file must keep to make this again: float16 `features`, int64 `groups` and, if known, float32 `appearance`."""
        return self._arrays

    def percentile(self, features: Float32Array) -> Float64Array:
        """How unusual images are: the share, 0 to 100, of images like the training's that lie nearer to it.

        The distance is the mean of those to the three nearest training images, in features that are standardised. The share is
        the smaller of two: that of the training images' own distances, each with its patient left out, and that of a
        log-normal distribution fitted to these, its parameters unknown; few images know too little of the tail, and the
        fit too little of its weight.

        Args:
            features: float32 (n, width), finite.

        Returns:
            float64 (n,), 0 to 100, never NaN; 100 where the training images are of one patient or all the same, so that nothing
            tells how far from each other they usually are.
        """
        if not self._count:
            return np.full(len(features), 100.0)
        distance = np.log(np.maximum(_nearest(cdist(self._scaled(features), self._known)), 1e-9))
        steps = (distance - self._usual) / (self._deviation * np.sqrt(1 + 1 / self._count))
        fitted = student.cdf(steps, max(self._count - 1, 1))
        return np.asarray(100 * np.minimum(fitted, np.searchsorted(self._sorted, distance) / self._count))

    def _scaled(self, features: Float32Array) -> Float64Array:
        return np.asarray((features - self._mean) / self._spread, float)


def _halved(features: Float32Array) -> NDArray[np.float16]:
    """Features in half as many bytes; what is too large for float16, of odd weights, is its largest value."""
    largest = np.finfo(np.float16).max
    return features.clip(-largest, largest).astype(np.float16)


def reference_images(train: IndexArray, seed: int) -> IndexArray:
    """Which training images a model's file keeps something of: at most `MAX_REFERENCE_IMAGES`, drawn by a seed, in order."""
    return np.sort(np.random.default_rng(seed).permutation(train)[:MAX_REFERENCE_IMAGES])


def checked_detector(features: NDArray[Any], groups: NDArray[Any], appearance: NDArray[Any] | None) -> NoveltyDetector:
    """A detector of arrays that are not trusted, see `NoveltyDetector.arrays`.

    Raises:
        ValueError: one of them has another type or shape than this program writes, or is not finite.
    """
    if features.dtype != np.float16 or groups.dtype != np.int64 or (appearance is not None and appearance.dtype != np.float32):
        raise ValueError("what its training images look like is of another type")
    count = len(groups) if groups.ndim == 1 else 0
    if features.shape != (count, BACKBONE.width) or not 2 <= count <= MAX_REFERENCE_IMAGES:
        raise ValueError("what its training images look like has another shape")
    if appearance is not None and appearance.shape != (count, APPEARANCE_WIDTH):
        raise ValueError("what its training images look like has another shape")
    if not all(np.isfinite(numbers).all() for numbers in (features, appearance) if numbers is not None):
        raise ValueError("what its training images look like is not finite")
    return NoveltyDetector(features.astype(np.float32), groups, appearance)


def is_unlike(pixels: Pixels, percentile: float) -> bool:
    """Whether a picture, uint8 RGB (224, 224, 3), gets no label: it is too unusual, one shade, or colourful as a photograph."""
    return bool(
        percentile > OUT_OF_DISTRIBUTION_PERCENTILE
        or pixels.std() < MIN_CONTRAST_GREY_LEVELS
        or colourfulness(pixels) >= COLOURFUL
    )


def _nearest(distances: Float64Array) -> Float64Array:
    """Mean distance to the nearest ones, of each row; infinite ones do not count unless there are no others."""
    count = min(NEIGHBOURS, distances.shape[1])
    nearest = np.partition(distances, count - 1, axis=1)[:, :count]
    finite = np.isfinite(nearest)
    found = finite.sum(axis=1)
    return np.asarray(np.where(found, np.where(finite, nearest, 0).sum(axis=1) / np.maximum(found, 1), np.inf))
