"""What the audit looks at: a sample of the images, what is measured of them, and features of them with a part hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from covid19.core.arrays import Float32Array, IndexArray
from covid19.data.dataset import Record
from covid19.data.measurements.registry import ProbeMeasurements
from covid19.features.augmentation import View
from covid19.lungs.occlusion import Hides
from covid19.lungs.scan import Lungs, seen_part

if TYPE_CHECKING:  # an audit of given scores needs no Keras
    import keras

    from covid19.features.backbone.weights import Weights
    from covid19.features.extraction import Extractor

MAX_AUDIT_IMAGES = 20_000  # of 10,000 a class an AUC has a standard error below 0.005, and all of it fits into memory
LUNGS_HIDDEN, MEDIASTINUM_HIDDEN, LUNGS_ALONE = "lungs hidden", "lungs and mediastinum hidden", "lungs alone"
OUTLINE = "outline of the lungs"
PARTS = (LUNGS_HIDDEN, MEDIASTINUM_HIDDEN, LUNGS_ALONE, OUTLINE)
UNTRAINED = "untrained base"


class AuditInputs(NamedTuple):
    """What the audit looks at: all images, or `MAX_AUDIT_IMAGES` of them.

    Attributes:
        at: their positions, sorted, (m,).
        features: of the images as the model sees them, float32 (m, width); None of a model of which only scores are known.
        untrained: the same of a backbone that was never trained; None but in the full audit, and if the run's backbone is that.
        occluded: of the images with a part hidden, (m, width) by the probe's name, see `hidden_parts`.
        without_lungs: how many of the images the box was used for, as no lungs were found.
        measurements: what was measured of each image.
        region: that the model sees, 'image' or 'lungs'.
    """

    at: IndexArray
    features: Float32Array | None
    untrained: Float32Array | None
    occluded: dict[str, Float32Array]
    without_lungs: int
    measurements: Sequence[ProbeMeasurements]
    region: str


def audit_sample(labels: Sequence[str], seed: int) -> IndexArray:
    """The positions of the images to audit: all, or `MAX_AUDIT_IMAGES` drawn by a seed, as many of each class."""
    if len(labels) <= MAX_AUDIT_IMAGES:
        return np.arange(len(labels))
    classes, label = np.unique(labels, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    each = MAX_AUDIT_IMAGES // len(classes)
    return np.sort(np.concatenate([order[label[order] == own][:each] for own in range(len(classes))]))


def seen_views(records: Sequence[Record], lungs: Mapping[str, Lungs], region: str) -> list[View]:
    """The images as a model is shown them, without augmentations.

    Args:
        records: the images.
        lungs: of each, by its digest; used only for the region 'lungs'.
        region: that the model is shown, 'image' or 'lungs'.
    """
    return [View(own, occlusion=seen_part(lungs[own.digest], region) if region == "lungs" else None) for own in records]


def count_boxes(records: Sequence[Record], lungs: Mapping[str, Lungs]) -> int:
    """How many images have no lungs that were found or drawn, so that the box is used."""
    return sum(lungs[record.digest].origin == "box" for record in records)


def hidden_parts(region: str, level: str) -> dict[str, Hides]:
    """What an audit hides of the images that a model sees, by the probe's name.

    Of pictures that are cropped to the lungs, nothing is left without these but their outline.
    """
    if region == "lungs":
        return {OUTLINE: Hides.ALL_BUT_OUTLINE}
    further = {MEDIASTINUM_HIDDEN: Hides.HULL, LUNGS_ALONE: Hides.SURROUNDINGS} if level == "full" else {}
    return {LUNGS_HIDDEN: Hides.LUNGS, **further}


def occluded_features(
    records: Sequence[Record],
    lungs: Mapping[str, Lungs],
    parts: Mapping[str, Hides],
    base: keras.Model,
    weights: Weights,
    extractor: Extractor,
) -> dict[str, Float32Array]:
    """Features of images with a part hidden, float32 (n, width) by the probe's name.

    Args:
        records: the images.
        lungs: of each, by its digest.
        parts: from `hidden_parts`.
        base, weights: the backbone.
        extractor: runs it.

    Raises:
        UnreadableError: some images cannot be read any more.
    """
    occluded = {}
    for name, hides in parts.items():
        views = [View(record, occlusion=lungs[record.digest].hiding(hides)) for record in records]
        occluded[name] = extractor.extract(views, base, weights.digest).features[np.arange(len(records)), 0]
    return occluded
