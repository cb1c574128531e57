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

from covid19.base import build_base
from covid19.crossval import cross_validate
from covid19.dataset import Dataset, Record
from covid19.estimate import Estimate
from covid19.explain import gradcam
from covid19.features import View, extract, load_batches
from covid19.head import Heads, new_heads, train_heads
from covid19.judge import Question, judge, make_probe
from covid19.lungs import Cover, cover_of, find_masks, share_inside
from covid19.probes import probe_inputs
from covid19.reading import Read
from covid19.settings import Settings
from covid19.sources import describe_sources
from covid19.split import Split
from covid19.store import FeatureStore
from covid19.weights import Weights, get_weights

Array = NDArray[np.float32]


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


def audit(
    dataset: Dataset, positive: str, labels: Array, estimate: Estimate, seen: Seen, settings: Settings
) -> dict[str, Any] | None:
    """Probe the data set by the run's own folds.

    Args:
        dataset: of the run.
        positive: the positive class; all others together are the other side.
        labels: one-hot, float32 (n, classes).
        estimate: its probabilities are out of fold, or of a model that never saw the images.
        seen: what the base saw.
        settings: audit, seed, lung_box and those of the head.

    Returns:
        What `judge` returns, `sources`, and room for `lungs`; None without an audit, or without cross-validation.
    """
    index = dataset.classes.index(positive)
    said = estimate.probabilities
    if said is None or settings.audit == "none":
        return None
    groups = [record.group for record in dataset.records]
    question = Question(labels.argmax(axis=1) == index, groups, estimate.divisions, settings.seed)
    probes = [
        make_probe(name, inputs, question, lung_blind=name != "thumbnail")
        for name, inputs in probe_inputs(dataset.records).items()
    ]

    def retrained(features: Array) -> NDArray[np.float64]:
        logits = cross_validate(features[:, None], labels, estimate.divisions, settings)
        return np.asarray(softmax(logits, axis=2).mean(axis=0)[:, index], float)

    for name, features in seen.hidden.items():
        probes.append(make_probe(name, features.astype(float), question, scores=retrained(features)))
    if settings.audit == "full" and seen.untrained is not None:
        inputs, scores = seen.untrained.astype(float), retrained(seen.untrained)
        probes.append(make_probe("untrained base", inputs, question, lung_blind=False, scores=scores))
    sources = describe_sources(dataset, seen.features, question.positive, estimate.divisions)
    return judge(probes, said[:, index].astype(float), question) | {"sources": sources, "lungs": None}


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


def lungs_looked_at(
    dataset: Dataset, split: Split, labels: Array, base: keras.Model, heads: Heads, seen: Seen, read: Read, settings: Settings
) -> dict[str, Any]:
    """How much of the model's Grad-CAM lies on the lungs of the held-out images, and the same of a head on an untrained base.

    The second is the check of Adebayo et al. (NeurIPS 2018): where weights that were never trained look, training has not led.

    Returns:
        What `_where_it_looks` returns, and `untrained`, the same by class, or None if the run's base is that.
    """
    tested = [dataset.records[i] for i in split.test]
    found = _where_it_looks(tested, dataset.classes, base, heads, read, settings)
    if seen.untrained is None:
        return found | {"untrained": None}
    members, plain = [np.array(split.train)], seen.untrained[:, None]
    untrained, _ = train_heads(new_heads(plain, members, len(dataset.classes), settings.seed), plain, labels, members, settings)
    theirs = _where_it_looks(tested, dataset.classes, build_base(get_weights("random")), untrained, read, settings)
    return found | {"untrained": theirs["by_class"]}


def _where_it_looks(
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
