"""What the shortcut audit finds, as its parts pass it on and as `metrics.json` has it under `audit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["explained", "present", "none-found", "too-few"]

NOT_TESTED = "Whether the score needs the lungs was not tested."  # where there is no result


@dataclass(frozen=True)
class Limits:
    """The ends of a 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class ProbeResult:
    """How well one probe tells the positive class from the others, out of fold.

    Attributes:
        name: of the probe.
        auc: ROC AUC, with the ends `low` and `high` of its 95 % interval.
        p_value: of a permutation test, Holm-corrected; None for a probe that may see lungs.
        lung_blind: whether the probe can see no lung.
        sees_pixels: whether it is given what a network is given.
    """

    name: str
    auc: float
    low: float
    high: float
    p_value: float | None
    lung_blind: bool
    sees_pixels: bool


@dataclass(frozen=True)
class Margin:
    """The model's AUC less that of the lung-blind probe that decides, from -1 to 1, with its 95 % interval."""

    probe: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SourceResult:
    """One source of images.

    Attributes:
        source: its name.
        images, positive: how many images it has, and how many of the positive class.
        auc: ROC AUC on this source of a regression that was trained on all others; None where either lacks a class.
    """

    source: str
    images: int
    positive: int
    auc: float | None


@dataclass(frozen=True)
class Sources:
    """Whether features tell where an image comes from.

    Attributes:
        recognised: balanced accuracy with which the features tell the source, out of fold, in [0, 1].
        by_chance: what guessing would reach.
        sources: each source by itself.
    """

    recognised: float
    by_chance: float
    sources: list[SourceResult]


@dataclass(frozen=True)
class HeatOnLungs:
    """How much of the heat maps' weight lies on the lungs, as fractions in [0, 1].

    Attributes:
        by_class: the mean over the held-out images of each class.
        area: the fraction that would lie there by chance: the lungs' share of the picture.
        untrained: `by_class` of a head on an untrained backbone; None if the run's backbone is that.
    """

    by_class: dict[str, float]
    area: float
    untrained: dict[str, float] | None = None


@dataclass(frozen=True)
class AuditResult:
    """What the audit found.

    Attributes:
        verdict: 'explained' (a lung-blind probe comes close to the model), 'present' (one does better than chance),
            'none-found', or 'too-few' (too few patients to find any).
        words: the verdict in plain words: what was found, what it means, what to do.
        probes: every probe.
        model_auc: ROC AUC of the model out of fold; `model` has the ends of its 95 % interval.
        margin: between the model and the best lung-blind probe.
        patients_in_smaller_class: the number on which the power of the tests depends.
        images: that were audited.
        sources: None where the metadata name fewer than two.
        lungs: where the heat maps lie; None but in the full audit.
    """

    verdict: Verdict
    words: str
    probes: list[ProbeResult]
    model_auc: float
    model: Limits
    margin: Margin
    patients_in_smaller_class: int
    images: int
    sources: Sources | None = None
    lungs: HeatOnLungs | None = None
