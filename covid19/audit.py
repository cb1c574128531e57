"""The shortcut audit of one run: probes that see no lung, sources, and where the model looks; the report's `audit` comes out.

The quick audit is part of every training run and needs no run of the base; `covid19 audit` adds what does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from covid19.crossval import cross_validate
from covid19.dataset import Dataset, Record
from covid19.estimate import Estimate
from covid19.explain import gradcam
from covid19.features import View, extract, load_batches
from covid19.head import Heads
from covid19.judge import judge, make_probe
from covid19.lungs import Cover, cover_of, find_masks, share_inside
from covid19.probes import probe_inputs
from covid19.reading import Read
from covid19.settings import Settings
from covid19.sources import describe_sources
from covid19.store import FeatureStore
from covid19.weights import Weights

Array = NDArray[np.float32]

PIXELS_ONLY = "file properties"


class Seen(NamedTuple):
    """What the base saw, for the audit.

    Attributes:
        features: of the images as they are, float32 (n, 512).
        untrained: the same of a base that was never trained, or None if the run's base is that.
        hidden: of the images with their lungs hidden, (n, 512) by the probe's name; empty in the quick audit.
    """

    features: Array
    untrained: Array | None
    hidden: dict[str, Array]


def audit(dataset: Dataset, positive: str, labels: Array, estimate: Estimate, seen: Seen, settings: Settings) -> dict[str, Any]:
    """Probe the data set by the run's own folds.

    Args:
        dataset: of the run.
        positive: the positive class; all others together are the other side.
        labels: one-hot, float32 (n, classes).
        estimate: with probabilities, that is with cross-validation.
        seen: what the base saw.
        settings: audit, seed, lung_box and those of the head.

    Returns:
        What `judge` returns, and of the full audit `lungs` and `sources`.
    """
    index = dataset.classes.index(positive)
    truth = labels.argmax(axis=1) == index
    groups = [record.group for record in dataset.records]
    given: Any = (truth, groups, estimate.divisions, settings.seed)
    probes = [
        make_probe(name, inputs, *given, lung_blind=name != "thumbnail", sees_pixels=name != PIXELS_ONLY)
        for name, inputs in probe_inputs(dataset.records).items()
    ]

    def retrained(features: Array) -> NDArray[np.float64]:
        logits = cross_validate(features[:, None], labels, estimate.divisions, settings)
        return np.asarray(softmax(logits, axis=2).mean(axis=0)[:, index], float)

    if settings.audit == "full":
        probes += [
            make_probe(name, features.astype(float), *given, True, True, retrained(features))
            for name, features in seen.hidden.items()
        ]
        if seen.untrained is not None:
            plain = seen.untrained.astype(float)
            probes.append(make_probe("untrained base", plain, *given, False, True, retrained(seen.untrained)))
    score = estimate.probabilities[:, index].astype(float)
    found = judge(probes, score, truth, groups)
    return found | {"sources": describe_sources(dataset, seen.features, truth, estimate.divisions)}


def covers_of(records: Sequence[Record], settings: Settings) -> dict[str, list[Cover]]:
    """What hides the lungs of each image, by the probe's name: the box, and the masks if there are any.

    Raises:
        InputError: the folder of masks holds none.
    """
    masks = find_masks(settings.lung_masks)
    named = {"lungs hidden (box)": [cover_of(record.path, settings.lung_box, {}) for record in records]}
    if masks:
        named["lungs hidden (masks)"] = [cover_of(record.path, settings.lung_box, masks) for record in records]
    return named


def hidden_features(
    records: Sequence[Record], base: keras.Model, weights: Weights, store: FeatureStore, read: Read, settings: Settings
) -> dict[str, Array]:
    """What the base sees with the lungs hidden, float32 (n, 512) by the probe's name; nothing in the quick audit."""
    if settings.audit != "full":
        return {}
    return {
        name: extract([View(record, cover=cover) for record, cover in zip(records, covers, strict=True)], base,
                      weights.digest, store, read)[0]
        for name, covers in covers_of(records, settings).items()
    }  # fmt: skip


def where_it_looks(
    records: Sequence[Record], classes: Sequence[str], base: keras.Model, heads: Heads, read: Read, settings: Settings
) -> dict[str, Any]:
    """Share of the Grad-CAM mass for each image's own class that lies on the lungs, the mean by class.

    Args:
        records: the held-out images.
        classes: in the order of the head's outputs.
        base: whose feature maps the head's weights are laid over.
        heads: whose first head is explained.
        read: decodes a file.
        settings: lung_box, lung_masks.

    Returns:
        `by_class`, and `area`, the share that would lie there by chance.
    """
    covers = list(covers_of(records, settings).values())[-1]
    flags = np.stack([cover.flags() for cover in covers])
    shares = np.empty(len(records))
    for start, pixels in load_batches([View(record) for record in records], read):
        maps = np.asarray(base.predict_on_batch(pixels), np.float32)
        for column, name in enumerate(classes):
            own = [i for i in range(len(maps)) if records[start + i].label == name]
            if own:
                heat = gradcam(maps[own], heads, column)
                shares[[start + i for i in own]] = share_inside(heat, flags[[start + i for i in own]])
    labels = np.array([record.label for record in records])
    by_class = {name: float(shares[labels == name].mean()) for name in classes if (labels == name).any()}
    return {"by_class": by_class, "area": float(flags.mean())}
