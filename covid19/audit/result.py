"""What the audit found, as it stands in the report under `audit`."""

from __future__ import annotations

from dataclasses import dataclass

from covid19.core.measures import Count, Difference, Fraction
from covid19.model.info import Verdict


@dataclass(frozen=True)
class Interval:
    """The ends of a 95 % interval."""

    low: Fraction
    high: Fraction


@dataclass(frozen=True)
class ProbeResult:
    """How well one probe tells the classes apart.

    Attributes:
        name: of the probe, in words.
        auc: ROC AUC out of fold.
        low: end of the AUC's 95 % interval.
        high: other end of the interval.
        p_value: of the permutation test, Holm-corrected; None for a probe on which the verdict does not depend: one that may
            see lungs, or sees what the model is not shown.
        lung_blind: whether the probe can see no lung.
        sees_pixels: whether the probe is given what the model is given, or a part of that.
    """

    name: str
    auc: Fraction
    low: Fraction
    high: Fraction
    p_value: Fraction | None
    lung_blind: bool
    sees_pixels: bool


@dataclass(frozen=True)
class Margin:
    """By how much the model's ROC AUC is above that of a probe.

    Attributes:
        probe: its name.
        value: the difference of the AUCs.
        low: end of the difference's 95 % interval, from paired resampling of patients.
        high: other end of the interval.
    """

    probe: str
    value: Difference
    low: Difference
    high: Difference


@dataclass(frozen=True)
class SourceResult:
    """One source of images.

    Attributes:
        source: its name.
        images: number of its images.
        positive: number of those that are of the positive class.
        auc: ROC AUC on this source of a ridge regression that was trained on the others; None where either lacks a class.
        rest: 95 % interval of the model's AUC on all other sources, out of fold; None without `auc`.
        fails: whether the AUC is below that interval, on at least five patients of each side.
    """

    source: str
    images: Count
    positive: Count
    auc: Fraction | None
    rest: Interval | None = None
    fails: bool = False


@dataclass(frozen=True)
class SourcesResult:
    """Whether the features know where an image comes from.

    Attributes:
        recognised: balanced accuracy of the source, predicted out of fold from the features.
        by_chance: the balanced accuracy of a guess.
        sources: each source that the metadata name; small ones are taken together.
    """

    recognised: Fraction
    by_chance: Fraction
    sources: tuple[SourceResult, ...]


@dataclass(frozen=True)
class ImageAttention:
    """How much of the heat map for an image's own class lies on its lungs; `path` is relative to the data set's root."""

    path: str
    label: str
    fraction: Fraction


@dataclass(frozen=True)
class LungAttention:
    """How much of the model's Grad-CAM heat maps lies on the lungs of the held-out images.

    Attributes:
        images: each held-out image.
        by_class: mean fraction of the heat map inside the lungs, for the images of each class.
        area: fraction of the picture that the lungs take, which a heat map that is everywhere the same would give.
        untrained: the same as `by_class` for a head on a backbone that was never trained; None if the run's backbone is that.
    """

    images: tuple[ImageAttention, ...]
    by_class: dict[str, Fraction]
    area: Fraction
    untrained: dict[str, Fraction] | None


@dataclass(frozen=True)
class DetectionLimit:
    """The smallest shortcut that an audit of this data set would have found, by simulation.

    Attributes:
        share: fraction of one class that a marker in a corner must be in, and no more than the rest of the other class, to be
            found with the power; None if even a marker in all of one class and none of the other is missed more often.
        power: fraction of the plantings in which it is found, at least.
        plantings: simulated at each share.
    """

    share: Fraction | None
    power: Fraction
    plantings: Count


@dataclass(frozen=True)
class AuditResult:
    """The audit of one data set and model.

    Attributes:
        verdict: 'explained' if a lung-blind probe of the pixels is as good as the model, 'present' if a lung-blind probe is
            better than chance, 'none-found', or 'too-few' if there are too few patients for that conclusion.
        probes: every probe, in the order in which they were made.
        model_auc: ROC AUC of the model out of fold.
        model: 95 % interval of the model's AUC.
        margin: of the model over the probe that decides the verdict.
        margins: of the model over each probe.
        patients_in_smaller_class: number of patients, positive or others, whichever are fewer.
        images: number of images that were audited.
        sources: None where the metadata name fewer than two sources.
        same_sources: whether nearly all images of either side are of a collection or a source that has images of both.
        detection: what would have been found; None unless nothing was, and for a model that is shown the lungs alone.
        lungs: None in the quick audit.
        images_without_lungs: number of images in which no lungs were found, so that the box was used.
    """

    verdict: Verdict
    probes: tuple[ProbeResult, ...]
    model_auc: Fraction
    model: Interval
    margin: Margin
    margins: tuple[Margin, ...]
    patients_in_smaller_class: Count
    images: Count
    sources: SourcesResult | None = None
    same_sources: bool = False
    detection: DetectionLimit | None = None
    lungs: LungAttention | None = None
    images_without_lungs: Count = 0
