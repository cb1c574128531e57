"""The shortcut audit: can the classes be told apart without the lungs, and does the model do better than that?

The probes' and the model's scores out of fold go in; an `AuditResult`, with a verdict in one word, comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from covid19.audit.result import AuditResult, Interval, Margin, ProbeResult
from covid19.core.arrays import BoolArray, Float64Array
from covid19.data.dataset import FEW_PATIENTS
from covid19.evaluation.bootstrap import Ranking, intervals, roc_auc
from covid19.evaluation.cross_validation import Fold
from covid19.model.info import Verdict

SIGNIFICANT = 0.05
EXPLAINING_MARGIN = 0.05  # of AUC: a probe this close to the model explains its score
PERMUTATIONS = 999
PERMUTATIONS_OF_LARGE_SETS = 199
LARGE_SET_IMAGES = 2000


class Probe(NamedTuple):
    """One way of looking at the images.

    Attributes:
        name: in words.
        lung_blind: whether it can see no lung.
        sees_pixels: whether it is given what a network is given.
        scores: out of fold, higher for the positive class, (n,).
        p_value: of the permutation test, not corrected; None for a probe that may see lungs.
    """

    name: str
    lung_blind: bool
    sees_pixels: bool
    scores: Float64Array
    p_value: float | None


class LabelledFolds(NamedTuple):
    """The labels that every probe has to predict, and the folds in which it does.

    Attributes:
        positive: bool (n,).
        groups: of each image, the same for one patient's.
        divisions: the run's own folds.
        seed: of the permutations.
    """

    positive: BoolArray
    groups: Sequence[int]
    divisions: Sequence[Sequence[Fold]]
    seed: int


def make_probe(
    name: str,
    inputs: Float64Array,
    folds: LabelledFolds,
    lung_blind: bool = True,
    sees_pixels: bool = True,
    scores: Float64Array | None = None,
) -> Probe:
    """Score a probe out of fold and, if it is lung-blind, test whether that could be chance.

    The test (Ojala and Garriga, JMLR 11:1833, 2010) gives each patient another's label and does the whole cross-validation
    again. A ridge regression takes all labels at once, so 999 permutations cost little more than one.

    Args:
        name, lung_blind, sees_pixels: of the probe.
        inputs: what it sees of each image, (n, numbers).
        folds: labels, patients and folds.
        scores: out of fold by another classifier, for the AUC; None takes the ridge regression's.
    """
    labels = _permuted(folds) if lung_blind else folds.positive[:, None].astype(float)
    out_of_fold = ridge_scores(inputs, labels, folds.divisions)
    p_value = None
    if lung_blind:
        aucs = aucs_of(out_of_fold, labels)
        p_value = float((aucs >= aucs[0] - 1e-12).mean())
    return Probe(name, lung_blind, sees_pixels, out_of_fold[:, 0] if scores is None else scores, p_value)


def ridge(inputs: Float64Array, targets: Float64Array, held_out: Float64Array) -> Float64Array:
    """Predictions for held-out inputs, (m, k), of a ridge regression of targets (n, k) on standardised inputs (n, numbers)."""
    model = make_pipeline(StandardScaler(), Ridge(alpha=inputs.shape[1])).fit(inputs, targets)
    return np.asarray(model.predict(held_out)).reshape(len(held_out), -1)


def ridge_scores(inputs: Float64Array, targets: Float64Array, divisions: Sequence[Sequence[Fold]]) -> Float64Array:
    """Out-of-fold scores of a ridge regression on standardised inputs, the sum over the repeats.

    Args:
        inputs: (n, numbers).
        targets: (n, k), each column by itself.
        divisions: repeats of folds.

    Returns:
        (n, k), less the training part's mean, which is lower where more of a class is held out.
    """
    scores = np.zeros_like(targets)
    for division in divisions:
        for fold in division:
            predicted = ridge(inputs[fold.train], targets[fold.train], inputs[fold.held_out])
            scores[fold.held_out] += predicted - targets[fold.train].mean(axis=0)
    return scores


def _permuted(folds: LabelledFolds) -> Float64Array:
    """Labels (n, 1 + permutations): the true ones, then each patient with another's.

    A patient with images of both classes keeps them, and the labels change places among these images.
    """
    positive, generator = folds.positive.astype(float), np.random.default_rng(folds.seed)
    member = np.unique(np.asarray(folds.groups), return_inverse=True)[1]
    positive_fraction = np.bincount(member, positive) / np.bincount(member)
    pure = np.flatnonzero((positive_fraction == 0) | (positive_fraction == 1))
    mixed = np.flatnonzero(~np.isin(member, pure))
    by_patient = mixed[np.argsort(member[mixed], kind="stable")]
    columns = [positive]
    for _ in range(PERMUTATIONS if len(member) <= LARGE_SET_IMAGES else PERMUTATIONS_OF_LARGE_SETS):
        of_patient = positive_fraction.copy()
        of_patient[pure] = generator.permutation(positive_fraction[pure])
        labels = of_patient[member]
        labels[by_patient] = positive[mixed[np.lexsort((generator.random(len(mixed)), member[mixed]))]]
        columns.append(labels)
    return np.stack(columns, axis=1)


def aucs_of(scores: Float64Array, labels: Float64Array) -> Float64Array:
    """ROC AUC of each column of scores (n, k) by its own labels (n, k), 0 or 1: (k,)."""
    return np.array([roc_auc(*columns) for columns in zip(scores.T, labels.T == 1, strict=True)])


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, Scand. J. Statist. 6:65, 1979), in the order given."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(steps).clip(max=1)
    return corrected.tolist()


def assess_shortcuts(probes: Sequence[Probe], model: Float64Array, folds: LabelledFolds) -> AuditResult:
    """Weigh the probes against the model.

    Args:
        probes: from `make_probe`, some of them lung-blind.
        model: the model's scores out of fold, (n,).
        folds: labels, patients and folds.

    Returns:
        The result without sources and lungs.
    """
    positive, groups = folds.positive, folds.groups
    blind = [probe for probe in probes if probe.lung_blind]
    corrected = dict(zip((p.name for p in blind), holm([p.p_value for p in blind if p.p_value is not None]), strict=True))
    rankings = {probe.name: Ranking(probe.scores, positive) for probe in probes} | {"the model": Ranking(model, positive)}
    limits = intervals(
        lambda weights: {name: ranking.roc_auc(weights) for name, ranking in rankings.items()}, groups, positive.tolist()
    )
    once = np.ones((1, len(positive)))
    aucs = {name: float(ranking.roc_auc(once)[0]) for name, ranking in rankings.items()}
    significant = [probe for probe in blind if corrected[probe.name] < SIGNIFICANT]
    # A network sees pixels, no files: what the file tells is a warning about the data, not an explanation of the score.
    explaining = [p for p in significant if p.sees_pixels and aucs["the model"] - aucs[p.name] <= EXPLAINING_MARGIN]
    best = max(explaining or significant or blind, key=lambda probe: aucs[probe.name]).name
    fewest = min(len(set(np.asarray(groups)[side])) for side in (positive, ~positive))
    unexplained: Verdict = "too-few" if fewest < FEW_PATIENTS else "none-found"
    verdict: Verdict = "explained" if explaining else "present" if significant else unexplained
    return AuditResult(
        verdict=verdict,
        probes=tuple(
            ProbeResult(p.name, aucs[p.name], *limits[p.name], corrected.get(p.name), p.lung_blind, p.sees_pixels)
            for p in probes
        ),
        model_auc=aucs["the model"],
        model=Interval(*limits["the model"]),
        margin=_margin(best, rankings["the model"], rankings[best], positive, groups),
        patients_in_smaller_class=fewest,
        images=len(positive),
    )


def _margin(name: str, model: Ranking, probe: Ranking, positive: BoolArray, groups: Sequence[int]) -> Margin:
    """The model's AUC less that of a probe, with the 95 % interval from the same patients in each resample."""

    def halved(weights: Float64Array) -> dict[str, Float64Array]:  # to (0, 1), where `intervals` lives
        return {"margin": (1 + model.roc_auc(weights) - probe.roc_auc(weights)) / 2}

    value = float(halved(np.ones((1, len(positive))))["margin"][0])
    low, high = intervals(halved, groups, positive.tolist())["margin"]
    return Margin(name, 2 * value - 1, 2 * low - 1, 2 * high - 1)


def explain_verdict(audit: AuditResult | None) -> str:
    """The verdict in plain words: what was found, what it means, what to do."""
    if audit is None:
        return "Whether the score needs the lungs was not tested."
    probes = {probe.name: probe for probe in audit.probes}
    best, blind = probes[audit.margin.probe], [probe for probe in audit.probes if probe.lung_blind]
    if audit.verdict == "none-found":
        found = f"Probes that see no lung ({', '.join(probe.name for probe in blind)}) do no better than chance."
        return f"Audit: {audit.verdict}. {found} Other shortcuts may exist: test on another hospital's images."
    if audit.verdict == "too-few":
        found = f"No probe stands out, but with {audit.patients_in_smaller_class} patients in the smaller class nothing can be"
        return f"Audit: {audit.verdict}. {found} concluded about shortcuts."
    found = f"By {best.name} alone the AUC is {best.auc:.2f} ({best.low:.2f} to {best.high:.2f}), by the model"
    meaning = "the score needs no lungs" if audit.verdict == "explained" else "the classes differ in more than the lungs"
    if not any(_is_significant(probe) for probe in blind if probe.sees_pixels):
        meaning += ", though in the files, which a network on pixels may not see"
    advice = "Take controls from the same source, crop to the lungs, and test on another hospital's images."
    return f"Audit: {audit.verdict}. {found} {audit.model_auc:.2f}: {meaning}. {advice}"


def _is_significant(probe: ProbeResult) -> bool:
    return probe.p_value is not None and probe.p_value < SIGNIFICANT
