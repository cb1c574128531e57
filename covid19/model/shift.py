"""Do images, as a whole, look like those that the model was trained on? Features of a batch go in, a tested answer comes out.

A model may refuse no single image of another hospital and still be wrong about all of them: each looks usual, and together they
do not. The test pools the batch with the training images and asks whether the batch lies apart from a random part of the pool
of the same size, by several statistics at once, see `_statistics` and `_appearance_statistic`. If both are patients of one
source, all parts are alike, so that the level holds whatever the features are (a permutation test; Good, 2005). The share of
images predicted positive is compared with that of the cross-validation as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist
from scipy.stats import fisher_exact

from covid19.core.arrays import Float32Array, Float64Array, IndexArray
from covid19.core.measures import Count, Fraction
from covid19.model.info import PositiveCount

MIN_BATCH_IMAGES = 20
MIN_TRAINING_IMAGES = 20
MAX_BATCH_IMAGES = 500  # a random part of a larger batch is tested
FEATURES_LEVEL, POSITIVES_LEVEL = 0.04, 0.01  # of significance; together 5 % false alarms at most
PERMUTATIONS = 999
COMPONENTS = 20  # principal components of the pool in which distances are measured


class ImageSet(NamedTuple):
    """What images are compared by.

    Attributes:
        features: of the base, finite, float32 (n, width).
        appearance: see `appearance.appearance`, finite, float32 (n, 14); None where it is not known.
    """

    features: Float32Array
    appearance: Float32Array | None = None

    def part(self, at: IndexArray) -> ImageSet:
        """Those at some positions."""
        return ImageSet(self.features[at], None if self.appearance is None else self.appearance[at])


@dataclass(frozen=True)
class ShiftResult:
    """Whether a batch of images differs from the training images as a whole.

    Attributes:
        images: of the batch that were tested.
        p_value: that images of the training images' source would lie as far from them.
        predicted: how many of the images with a label were predicted positive; None where labels are withheld.
        expected: the same of the training images in the cross-validation; None if the model's file does not tell.
        positives_p_value: that the two come from the same fraction; None without `expected`.
        shifted: whether either p-value is significant.
        finding: the same as a sentence.
        words: the finding with its numbers.
    """

    images: Count
    p_value: Fraction
    predicted: PositiveCount | None
    expected: PositiveCount | None
    positives_p_value: Fraction | None
    shifted: bool
    finding: str
    words: str


def without_counts(result: ShiftResult | None) -> ShiftResult | None:
    """A result without what it tells of labels that are withheld: if all images are positive, so is each."""
    return result and replace(result, predicted=None, positives_p_value=None, words=result.finding)


def compare_batch(
    training: ImageSet,
    groups: NDArray[np.intp],
    batch: ImageSet,
    predicted: PositiveCount,
    expected: PositiveCount | None,
    positive: str,
) -> ShiftResult | None:
    """Compare a batch with the training images.

    Args:
        training: the training images.
        groups: of these, the same for one patient's, intp (m,).
        batch: the images in question.
        predicted, expected: see `ShiftResult`.
        positive: name of the positive class.

    Returns:
        None for too few images to tell.
    """
    images, known = len(batch.features), len(training.features)
    if images < MIN_BATCH_IMAGES or known < MIN_TRAINING_IMAGES or len(set(groups.tolist())) < COMPONENTS // 2:
        return None
    generator = np.random.default_rng(0)
    taken = batch.part(generator.permutation(images)[: min(images, MAX_BATCH_IMAGES, known // 2)])
    p_value = _permutation_test(training, groups, taken, generator)
    positives_p_value = None
    if expected and expected.images and predicted.images:
        table = [[one.positives, one.images - one.positives] for one in (predicted, expected)]
        positives_p_value = float(fisher_exact(table).pvalue)
    shifted = p_value <= FEATURES_LEVEL or (positives_p_value is not None and positives_p_value <= POSITIVES_LEVEL)
    finding = (
        "These images differ from the training images as a whole: the probabilities should not be trusted"
        if shifted
        else f"As a whole, these {images} images look like the training images"
    )
    share = (
        f"{positive} is predicted for {predicted.positives} of {predicted.images}" if predicted.images else "none gets a label"
    )
    if predicted.images and expected and expected.images:
        share += f", expected {expected.positives / expected.images:.0%}"
    words = f"{finding} (by their features p = {p_value:.3f}; {share})."
    return ShiftResult(images, p_value, predicted, expected, positives_p_value, shifted, f"{finding}.", words)


def _permutation_test(training: ImageSet, groups: NDArray[np.intp], batch: ImageSet, generator: np.random.Generator) -> float:
    """The p-value of the batch among random parts of the pool of the same size, patients kept together."""
    pool = np.concatenate([training.features, batch.features]).astype(np.float64)
    numbers = np.unique(groups, return_inverse=True)[1]
    known, count = len(training.features), len(batch.features)
    # How many images the patient of an image has, on average, which is more than a patient has. By that of a patient, the
    # false alarms on 40 images of patients with 1 to 9 were 7 % rather than 4 %.
    images_each = float((np.bincount(numbers) ** 2).sum() / known)
    patients = np.concatenate([numbers, numbers.max() + _presumed_patients(batch.features, images_each)])
    parts = np.zeros((1 + PERMUTATIONS, len(pool)))
    parts[0, known:] = 1
    for part in parts[1:]:
        part[_draw(patients, count, generator)] = 1
    statistics = _statistics(pool, parts)
    if training.appearance is not None and batch.appearance is not None:
        statistics.append(_appearance_statistic(np.concatenate([training.appearance, batch.appearance]), parts))
    # The rank of each part by its most unusual statistic: one test, however many statistics.
    extremes = np.min([_share_at_least(values) for values in statistics], axis=0)
    return float((extremes <= extremes[0]).mean())


def _presumed_patients(batch: Float32Array, images_each: float) -> NDArray[np.intp]:
    """A number from 1 on for each image, the same for images that may be of one patient.

    Who is on the images of a batch is not known. Those most alike are taken for one patient's, so many to a patient: images of
    one patient lie together, and a test that took each for a patient would find that unusual.
    """
    tree = linkage(batch, "complete")
    return np.asarray(fcluster(tree, max(2, round(len(batch) / images_each)), "maxclust"), np.intp)


def _draw(patients: IndexArray, count: int, generator: np.random.Generator) -> IndexArray:
    """Positions of as many images, patient by patient in random order."""
    order = generator.permutation(patients.max() + 1)
    return np.asarray(np.lexsort((generator.random(len(patients)), np.argsort(order)[patients]))[:count], np.intp)


def _share_at_least(values: Float64Array) -> Float64Array:
    """For each value the share of all values that are at least as large."""
    ordered = np.sort(values)
    return np.asarray(1 - np.searchsorted(ordered, values - 1e-12) / len(values))


def _statistics(pool: Float64Array, parts: Float64Array) -> list[Float64Array]:
    """How far each part lies from the rest of the pool, three times (parts,): all are large for a part that differs.

    Args:
        pool: features, (n, width).
        parts: 1 where an image belongs to a part, else 0, (parts, n).

    Returns:
        The distance between the means in whitened principal components (Hotelling's T², up to a factor), the energy distance
        there (Székely and Rizzo, 2013), and the difference in the spread about the pool's mean.
    """
    spread = pool.std(axis=0)
    scaled = (pool - pool.mean(axis=0)) / np.maximum(spread, max(0.05 * float(spread.mean()), 1e-6))
    directions, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    count = min(COMPONENTS, len(pool) // 4, int((sizes > 1e-6 * sizes[0]).sum()))
    whitened = directions[:, :count] * np.sqrt(len(pool))
    inside, outside = parts.sum(axis=1), (1 - parts).sum(axis=1)
    means = (parts @ whitened) / inside[:, None] - ((1 - parts) @ whitened) / outside[:, None]
    distances = cdist(whitened, whitened)
    near, far = parts @ distances, (1 - parts) @ distances
    within = (near * parts).sum(axis=1) / (inside * (inside - 1)) + (far * (1 - parts)).sum(axis=1) / (outside * (outside - 1))
    energy = 2 * (near * (1 - parts)).sum(axis=1) / (inside * outside) - within
    radius = np.log(np.maximum(np.linalg.norm(scaled, axis=1), 1e-9))
    spreads = np.abs(parts @ radius / inside - (1 - parts) @ radius / outside)
    return [(means**2).sum(axis=1), energy, spreads]


def _appearance_statistic(pool: Float32Array, parts: Float64Array) -> Float64Array:
    """How far the appearance of each part is from that of the rest of the pool, (parts,).

    Args:
        pool: numbers of each image, (n, numbers).
        parts: as in `_statistics`, all of one size.

    Returns:
        The largest distance, over the numbers, between the distribution functions of the part and of the rest (Kolmogorov and
        Smirnov): it depends on the numbers' order alone, so that none needs a scale.
    """
    inside = parts[0].sum()
    outside = len(pool) - inside
    largest = np.zeros(len(parts))
    for values in pool.T:
        order = np.argsort(values)
        ordered = values[order]
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # of equal values
        below = parts[:, order].cumsum(axis=1)[:, last]
        largest = np.maximum(largest, np.abs(below / inside - (last + 1 - below) / outside).max(axis=1))
    return largest
