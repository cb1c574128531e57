"""Proportions of images with their 95 % intervals, which hold where patients have several images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from covid19.core.arrays import BoolArray, Float64Array, IndexArray
from covid19.core.measures import Metric

Groups = Sequence[int] | IndexArray


def proportion(hits: int, total: int, level: float = 0.95, size: float | None = None) -> Metric:
    """A proportion with its Wilson score interval (Wilson, J. Am. Stat. Assoc. 22:209, 1927).

    Args:
        hits: number of successes, at most total.
        total: number of trials, at least one.
        level: of the interval.
        size: how many independent trials the interval is for, above 0; None takes all trials for independent.
    """
    value, size = hits / total, float(total if size is None else size)
    z = norm.ppf((1 + level) / 2)
    centre = (value + z**2 / (2 * size)) / (1 + z**2 / size)
    arm = z * np.sqrt(value * (1 - value) / size + (z / (2 * size)) ** 2) / (1 + z**2 / size)
    return Metric(value, max(0.0, min(value, float(centre - arm))), min(1.0, max(value, float(centre + arm))))


def grouped_proportion(hit: BoolArray, groups: Groups | None = None, level: float = 0.95) -> Metric:
    """The fraction of images that are hits, with Wilson's interval for their effective number (see `effective_size`).

    Args:
        hit: bool (n,), at least one image.
        groups: of each image, the same for images of one patient; None takes each for its own.
        level: of the interval.
    """
    size = None if groups is None else effective_size(hit, groups, level)
    return proportion(int(hit.sum()), len(hit), level, size)


def effective_size(hit: BoolArray, groups: Groups, level: float = 0.95) -> float:
    """How many independent images tell as much of a proportion as these; n, if no patient has two.

    Images are divided by the design effect (Kish, Survey Sampling, 1965), which grows with the images per patient and with how
    alike they are; and by the squared ratio of Student's quantiles for patients and for images (Korn and Graubard, Survey
    Methodology 24:193, 1998). A design effect from each patient's own deviation instead covers less (Franco et al., J. Surv.
    Stat. Methodol. 7:334, 2019).

    Args:
        hit: bool (n,).
        groups: of each image.
        level: of the interval that the size is for.
    """
    member = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(member)
    images, patients = len(hit), len(sizes)
    typical = float((sizes**2).sum()) / images  # patients' number of images, as an image sees it
    design_effect = 1 + (typical - 1) * _alikeness(np.bincount(member, hit) / sizes, sizes)
    quantiles = student.ppf((1 + level) / 2, np.maximum([images - 1, patients - 1], 1))
    return float(images / design_effect * (quantiles[0] / quantiles[1]) ** 2)


def _alikeness(fractions: Float64Array, sizes: IndexArray) -> float:
    """Intraclass correlation in [0, 1], by analysis of variance (Ridout, Demetrio and Firth, Biometrics 55:137, 1999).

    Args:
        fractions: of each patient's images that are hits, (patients,).
        sizes: each patient's images, (patients,).

    Returns:
        1, the cautious value, where nothing tells it: all images are hits or none is, or all are of one patient.
    """
    images, patients = int(sizes.sum()), len(sizes)
    mean = float(sizes @ fractions) / images
    if mean in (0, 1) or patients in (1, images):
        return 1.0
    between = float(sizes @ (fractions - mean) ** 2) / (patients - 1)
    within = float(sizes @ (fractions * (1 - fractions))) / (images - patients)
    usual = (images - float((sizes**2).sum()) / images) / (patients - 1)
    return max(0.0, (between - within) / (between + (usual - 1) * within))
