"""The shortcut audit of one run: probes that see no lung, sources, and where the model looks; the report's `audit` comes out.

The quick audit is part of every training run and needs no run of the base; `covid19 audit` adds what does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from covid19.audit.result import AuditResult, LungAttention
from covid19.audit.sources import describe_sources
from covid19.audit.verdict import LabelledFolds, assess_shortcuts, make_probe
from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.executor.executor import Executor
from covid19.core.settings import TrainingSettings
from covid19.data.dataset import Dataset, Record
from covid19.data.images import Read
from covid19.data.measurements.registry import MEASUREMENTS, ProbeMeasurements
from covid19.data.scan import scan_files
from covid19.data.scan_cache import ScanCache
from covid19.data.split import Split
from covid19.evaluation.cross_validation import Fold, cross_validate
from covid19.evaluation.estimate import Estimate
from covid19.features.augmentation import View
from covid19.features.backbone.network import build_base
from covid19.features.backbone.weights import Weights, get_weights
from covid19.features.batches import load_batches
from covid19.features.extraction import Extractor
from covid19.lungs.masks import fraction_inside
from covid19.lungs.occlusion import Hides, Occlusion
from covid19.lungs.scan import Lungs
from covid19.model.gradcam import gradcam
from covid19.model.head import Features, Heads, new_heads, train_heads

MAX_AUDIT_IMAGES = 20_000  # of 10,000 a class an AUC has a standard error below 0.005, and all of it fits into memory
OCCLUSIONS = {"lungs hidden": Hides.LUNGS, "lungs and mediastinum hidden": Hides.HULL}  # by the probe's name


class AuditInputs(NamedTuple):
    """What the audit looks at: all images, or `MAX_AUDIT_IMAGES` of them.

    Attributes:
        at: their positions, sorted, (m,).
        features: of the images as they are, float32 (m, 512).
        untrained: the same of a base that was never trained, or None if the run's base is that; used by the full audit alone.
        occluded: of the images with their lungs hidden, (m, 512) by the probe's name; empty in the quick audit.
        without_lungs: how many of the images the box was used for, as no lungs were found; None in the quick audit.
        measurements: what was measured of each image when its file was decoded.
    """

    at: IndexArray
    features: Float32Array
    untrained: Float32Array | None
    occluded: dict[str, Float32Array]
    without_lungs: int | None
    measurements: Sequence[ProbeMeasurements]


def audit_sample(labels: Sequence[str], seed: int) -> IndexArray:
    """The positions of the images to audit: all, or `MAX_AUDIT_IMAGES` drawn by a seed, as many of each class."""
    if len(labels) <= MAX_AUDIT_IMAGES:
        return np.arange(len(labels))
    classes, label = np.unique(labels, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    each = MAX_AUDIT_IMAGES // len(classes)
    return np.sort(np.concatenate([order[label[order] == own][:each] for own in range(len(classes))]))


def measurements_of(records: Sequence[Record], scans: ScanCache, executor: Executor, read: Read) -> list[ProbeMeasurements]:
    """What was measured of each image for the probes: from the cache, or by another scan where that was begun anew."""
    known = scans.measurements([record.digest for record in records])
    missing = [record for record in records if record.digest not in known]
    for number, scan in scan_files([record.path for record in missing], frozenset(), executor, read):
        if scan.measurements:
            known[missing[number].digest] = scan.measurements
    return [known[record.digest] for record in records]


def audit(
    dataset: Dataset, positive: str, labels: Float32Array, estimate: Estimate, inputs: AuditInputs, training: TrainingSettings
) -> AuditResult | None:
    """Probe the data set by the run's own folds.

    Args:
        dataset: of the run.
        positive: the positive class; all others together are the other side.
        labels: one-hot, float32 (n, classes).
        estimate: its probabilities are out of fold, or of a model that never saw the images.
        inputs: what the base saw.
        training: of heads on what the audit alone looks at; its seed is also that of the permutations.

    Returns:
        The result without `lungs`; None without cross-validation.
    """
    index = dataset.classes.index(positive)
    if estimate.probabilities is None:
        return None
    records = [dataset.records[i] for i in inputs.at]
    probabilities, labels = estimate.probabilities[inputs.at], labels[inputs.at]
    divisions = _within(estimate.divisions, inputs.at, len(dataset.records))
    folds = LabelledFolds(labels.argmax(axis=1) == index, [record.group for record in records], divisions, training.seed)
    probes = []
    for measurement in MEASUREMENTS:
        numbers = measurement.as_numbers([own[measurement.name] for own in inputs.measurements])
        probes.append(make_probe(measurement.name, numbers, folds, measurement.lung_blind, measurement.sees_pixels))

    def retrained(features: Float32Array) -> NDArray[np.float64]:
        logits = cross_validate(features[:, None], labels, divisions, training)
        return np.asarray(softmax(logits, axis=2).mean(axis=0)[:, index], float)

    for name, features in inputs.occluded.items():
        probes.append(make_probe(name, features.astype(float), folds, scores=retrained(features)))
    if inputs.untrained is not None:
        scores = retrained(inputs.untrained)
        probes.append(make_probe("untrained base", inputs.untrained.astype(float), folds, lung_blind=False, scores=scores))
    sources = describe_sources(records, inputs.features, folds.positive, divisions)
    found = assess_shortcuts(probes, probabilities[:, index].astype(float), folds)
    return replace(found, sources=sources, images_without_lungs=inputs.without_lungs)


def _within(divisions: Sequence[Sequence[Fold]], at: IndexArray, count: int) -> Sequence[Sequence[Fold]]:
    """The same folds among the images at some positions."""
    place = np.full(count, -1)
    place[at] = np.arange(len(at))
    return [[Fold(*(own[own >= 0] for own in (place[fold.train], place[fold.held_out]))) for fold in one] for one in divisions]


def occlusion_of(lungs: Lungs, hides: Hides) -> Occlusion:
    """What hides a part of an image whose lungs are known; of one without, the box is hidden as it is."""
    return Occlusion(Hides.BOX if lungs.origin == "box" else hides, lungs.packed_mask, lungs.identity)


def occluded_features(
    records: Sequence[Record], lungs: Sequence[Lungs], base: keras.Model, weights: Weights, extractor: Extractor
) -> dict[str, Float32Array]:
    """Features of images with their lungs hidden in each way, float32 (n, width) by the probe's name."""
    occluded = {}
    for name, hides in OCCLUSIONS.items():
        views = [View(record, occlusion=occlusion_of(own, hides)) for record, own in zip(records, lungs, strict=True)]
        occluded[name] = extractor.extract(views, base, weights.digest).features[np.arange(len(records)), 0]
    return occluded


def lungs_looked_at(
    dataset: Dataset,
    split: Split,
    labels: Float32Array,
    base: keras.Model,
    heads: Heads,
    untrained: Features | None,
    lungs: Mapping[str, Lungs],
    read: Read,
    training: TrainingSettings,
) -> LungAttention:
    """How much of the model's Grad-CAM lies on the lungs of the held-out images, and the same of a head on an untrained base.

    The second is the check of Adebayo et al. (NeurIPS 2018): where weights that were never trained look, training has not led.
    """
    tested = [record for record in (dataset.records[i] for i in split.test) if record.digest in lungs]
    found = _where_it_looks(tested, dataset.classes, base, heads, lungs, read)
    if untrained is None:
        return found
    members = [np.array(split.train)]
    fresh = new_heads(untrained, members, len(dataset.classes), training.seed)
    theirs, _ = train_heads(fresh, untrained, labels, members, training)
    looked = _where_it_looks(tested, dataset.classes, build_base(get_weights("random")), theirs, lungs, read)
    return replace(found, untrained=looked.by_class)


def _where_it_looks(
    records: Sequence[Record], classes: Sequence[str], base: keras.Model, heads: Heads, lungs: Mapping[str, Lungs], read: Read
) -> LungAttention:
    """Fraction of the Grad-CAM weight for each image's own class that lies on the lungs, the mean by class.

    Args:
        records: the held-out images.
        classes: in the order of the head's outputs.
        base: whose feature maps the head's weights are laid over.
        heads: whose first head is explained.
        lungs: of each image, by its digest.
        read: decodes a file.
    """
    masks = np.stack([lungs[record.digest].mask for record in records])
    fractions = np.full(len(records), np.nan)
    for batch in load_batches([View(record) for record in records], read):
        if not batch.positions:
            continue
        maps = np.asarray(base.predict_on_batch(batch.as_floats()), np.float32)
        for column, name in enumerate(classes):
            own = [row for row, position in enumerate(batch.positions) if records[position].label == name]
            if own:
                images = [batch.positions[row] for row in own]
                fractions[images] = fraction_inside(gradcam(maps[own], heads, column), masks[images])
    labels = np.array([record.label for record in records])
    by_class = {name: float(np.nanmean(own)) for name in classes if np.isfinite(own := fractions[labels == name]).any()}
    return LungAttention(by_class, area=float(masks.mean()), untrained=None)
