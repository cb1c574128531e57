"""The verdict: probes' and the model's scores out of fold go in; an `AuditResult`, with a verdict in one word, comes out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covid19.audit.probes import LabelledFolds, Probe, holm
from covid19.audit.result import AuditResult, Interval, Margin, ProbeResult
from covid19.core.arrays import Float64Array
from covid19.data.dataset import FEW_PATIENTS
from covid19.evaluation.bootstrap import Ranking, resample
from covid19.model.info import Verdict

SIGNIFICANT = 0.05
THE_MODEL = "the model"  # among the probes
EXPLAINING_MARGIN = 0.05  # of AUC: a probe this close to the model explains its score


def assess_shortcuts(probes: Sequence[Probe], model: Float64Array, folds: LabelledFolds) -> AuditResult:
    """Weigh the probes against the model.

    Of the lung-blind probes of the pixels that are better than chance (Holm-corrected), the best is compared with the model. It
    explains the model's score if the model's AUC is at most 0.05 above it, or not shown to be above it at all.

    Args:
        probes: from `make_probe`, some of them lung-blind.
        model: the model's scores out of fold, (n,).
        folds: labels, patients and folds.

    Returns:
        The result without sources, lungs and detection limit.
    """
    positive, groups = folds.positive, folds.groups
    tested = [probe for probe in probes if probe.p_value is not None]
    corrected = dict(zip((p.name for p in tested), holm([p.p_value for p in tested if p.p_value is not None]), strict=True))
    rankings = {probe.name: Ranking(probe.scores, positive) for probe in probes} | {THE_MODEL: Ranking(model, positive)}
    resampled = resample(
        lambda weights: {name: ranking.roc_auc(weights) for name, ranking in rankings.items()}, groups, positive.tolist()
    )
    aucs, limits = resampled.measured, resampled.intervals()
    margins = {
        name: Margin(name, aucs[THE_MODEL] - aucs[name], *ends) for name, ends in resampled.differences(THE_MODEL).items()
    }
    significant = [probe for probe in tested if corrected[probe.name] < SIGNIFICANT]
    # A network sees pixels, no files: what the file tells is a warning about the data, not an explanation of the score.
    of_pixels = [probe for probe in significant if probe.sees_pixels]
    best = max(of_pixels or significant or tested, key=lambda probe: aucs[probe.name]).name
    fewest = min(len(set(np.asarray(groups)[side])) for side in (positive, ~positive))
    return AuditResult(
        verdict=_verdict(margins[best] if of_pixels else None, bool(significant), fewest),
        probes=tuple(
            ProbeResult(p.name, aucs[p.name], *limits[p.name], corrected.get(p.name), p.lung_blind, p.sees_pixels)
            for p in probes
        ),
        model_auc=aucs[THE_MODEL],
        model=Interval(*limits[THE_MODEL]),
        margin=margins[best],
        margins=tuple(margins.values()),
        patients_in_smaller_class=fewest,
        images=len(positive),
    )


def _verdict(margin: Margin | None, significant: bool, patients: int) -> Verdict:
    """The verdict.

    Args:
        margin: of the model over the best significant lung-blind probe of the pixels, or None if there is none.
        significant: whether any lung-blind probe is better than chance.
        patients: of the smaller class.
    """
    if margin and (margin.value <= EXPLAINING_MARGIN or margin.low <= 0):
        return "explained"
    if significant:
        return "present"
    return "too-few" if patients < FEW_PATIENTS else "none-found"
