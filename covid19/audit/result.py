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
        p_value: of the permutation test, Holm-corrected; None for a probe that may see lungs.
        lung_blind: whether the probe can see no lung.
        sees_pixels: whether the probe is given what a network is given.
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
    """By how much the model's ROC AUC is above that of the lung-blind probe that decides the verdict.

    Attributes:
        probe: name of that probe.
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
    """

    source: str
    images: Count
    positive: Count
    auc: Fraction | None


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
class LungAttention:
    """How much of the model's Grad-CAM heat maps lies on the lungs of the held-out images.

    Attributes:
        by_class: mean fraction of the heat map inside the lungs, for the images of each class.
        area: fraction of the picture that the lungs take, which a heat map that is everywhere the same would give.
        untrained: the same as `by_class` for a head on a backbone that was never trained; None if the run's backbone is that.
    """

    by_class: dict[str, Fraction]
    area: Fraction
    untrained: dict[str, Fraction] | None


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
        patients_in_smaller_class: number of patients, positive or others, whichever are fewer.
        images: number of images that were audited.
        sources: None where the metadata name fewer than two sources.
        lungs: None in the quick audit.
        images_without_lungs: number of images in which no lungs were found, so that the box was used; None in the quick audit.
    """

    verdict: Verdict
    probes: tuple[ProbeResult, ...]
    model_auc: Fraction
    model: Interval
    margin: Margin
    patients_in_smaller_class: Count
    images: Count
    sources: SourcesResult | None = None
    lungs: LungAttention | None = None
    images_without_lungs: Count | None = None
