"""Steps 4 to 6 of a training run: split, find lungs, augment, run the backbone over everything, measure appearances.

Keras must have been imported before, see `keras_startup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from covid19.audit.inputs import AuditInputs, audit_sample, count_boxes, hidden_parts, occluded_features, seen_views
from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.console import shortened, warn
from covid19.core.errors import InputError
from covid19.core.executor.executor import Executor
from covid19.core.settings import Settings
from covid19.data.dataset import Dataset
from covid19.data.images import Read
from covid19.data.scan_cache import ScanCache
from covid19.data.shared_files import UnreadableError
from covid19.data.split import Split, given_split, stratified_split
from covid19.features.appearances import find_appearances
from covid19.features.array_file import Features
from covid19.features.augmentation import View, augmented_views
from covid19.features.backbone.network import build_base
from covid19.features.backbone.weights import UNTRAINED, Weights, get_weights
from covid19.features.cache import Caches
from covid19.features.extraction import Extracted, Extractor
from covid19.lungs.measured import measurements_of
from covid19.lungs.scan import Lungs, find_lungs
from covid19.model.novelty import NoveltyDetector, reference_images


class SplitFeatures(NamedTuple):
    """The features of a data set that has been split.

    Attributes:
        dataset: without the images that could not be read again.
        split: of its records.
        views: each image as the backbone is given it, without augmentations.
        extracted: features of the run's backbone, float32 (images, 1 + augmentations, width).
        untrained: features of an untrained backbone, float32 (images, 1, width); None but in the full audit with
            cross-validation, or if the run's own backbone is untrained.
        audited: positions of the images to audit, (m,).
        lungs: of the images to audit, or of all where the backbone is given the lungs alone, by the image's digest; empty
            without either.
        detector: what the model's file keeps of the training images; None if no model is written.
        occluded: features of the images to audit with a part hidden, float32 (m, width) by the probe's name; empty without an
            audit.
    """

    dataset: Dataset
    split: Split
    views: list[View]
    extracted: Extracted
    untrained: Features | None
    audited: IndexArray
    lungs: dict[str, Lungs]
    detector: NoveltyDetector | None
    occluded: dict[str, Float32Array]

    @property
    def lungs_found(self) -> float | None:
        """Fraction of the images whose lungs were found or drawn; None where they were not looked for."""
        lungs = self.lungs.values()
        return sum(own.origin != "box" for own in lungs) / len(lungs) if lungs else None


def split_and_extract(
    dataset: Dataset,
    base: keras.Model,
    weights: Weights,
    caches: Caches,
    executor: Executor,
    read: Read,
    settings: Settings,
) -> SplitFeatures:
    """Split the data set, augment the training images and run the backbone over all of them.

    An image that has become unreadable since it was scanned is left out as if it had never been readable: the split is drawn
    anew without it. What was extracted before is then in the cache.
    """
    training, records, level, region = settings.training, dataset.records, settings.audit.level, settings.lungs.region
    split, extractor = _split(dataset, settings), Extractor(caches.features, executor, read)
    audited = audit_sample([record.label for record in records], training.seed)
    try:
        own = [records[i] for i in audited] if level != "none" else []
        lungs = find_lungs(records if region == "lungs" else own, settings.lungs, caches.lungs, executor, read)
        views = seen_views(records, lungs, region)
        augmented = augmented_views(views, split.train, training)
        extracted = extractor.extract(augmented, base, weights.digest, 1 + training.augmentations)
        detector = None
        if settings.output.model:
            kept = reference_images(np.array(split.train), training.seed)
            groups = np.array([records[i].group for i in kept])
            looks = find_appearances([views[i] for i in kept], caches.appearances, read)
            detector = NoveltyDetector(extracted.features[kept, 0], groups, looks)
        with_untrained = level == "full" and settings.evaluation.folds
        untrained = _untrained_features(views, weights, extractor) if with_untrained else None
        parts = hidden_parts(region, level) if own else {}
        occluded = occluded_features(own, lungs, parts, base, weights, extractor)
    except UnreadableError as error:
        for line in shortened([f"skipped '{name}': {why}" for name, why in error.lost.items()]):
            warn(line)
        return split_and_extract(dataset.without(error.lost), base, weights, caches, executor, read, settings)
    return SplitFeatures(dataset, split, views, extracted, untrained, audited, lungs, detector, occluded)


def audit_inputs(
    prepared: SplitFeatures, settings: Settings, scans: ScanCache, executor: Executor, read: Read
) -> AuditInputs | None:
    """What the audit looks at, of the images that it takes; None without an audit."""
    if settings.audit.level == "none":
        return None
    at, lungs = prepared.audited, prepared.lungs
    records = [prepared.dataset.records[i] for i in at]
    untrained = prepared.untrained[at, 0] if prepared.untrained is not None else None
    measured, without_lungs = measurements_of(records, lungs, scans, executor, read), count_boxes(records, lungs)
    features = prepared.extracted.features[at, 0]
    return AuditInputs(at, features, untrained, prepared.occluded, without_lungs, measured, settings.lungs.region)


def _untrained_features(views: Sequence[View], weights: Weights, extractor: Extractor) -> Features | None:
    """Features of a backbone that was never trained, float32 (images, 1, 512); None if the run's own is that."""
    if not weights.trained:
        return None
    untrained = get_weights(UNTRAINED)
    return extractor.extract(views, build_base(untrained), untrained.digest).features


def _split(dataset: Dataset, settings: Settings) -> Split:
    """Divide by patient; or as given, or by image, with a warning that says how much the two parts share."""
    records, test_size, seed = dataset.records, settings.evaluation.test_size, settings.training.seed
    labels, groups = [record.label for record in records], [record.group for record in records]
    try:
        if settings.data.split == "given":
            split = given_split(labels, [record.part for record in records])
        elif settings.evaluation.groups:
            return stratified_split(labels, groups, test_size, seed)
        else:
            split = stratified_split(labels, range(len(records)), test_size, seed)
    except ValueError as error:
        raise InputError(
            f"{error}; expected at least two groups of each class, to hold one out: add patients, or split by image with "
            "--no-groups"
        ) from error
    known = {groups[i] for i in split.train}
    shared = sum(groups[i] in known for i in split.test)
    flag = "--split given" if settings.data.split == "given" else "--no-groups"
    if shared or not settings.evaluation.groups:
        warn(f"{flag}: {shared} of {len(split.test)} test images share a patient or a duplicate with the training images")
    return split
