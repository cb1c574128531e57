"""The shortcut audit: can the classes be told apart without the lungs, and does the model do better than that?

What probes see, and what the model said out of fold, goes in; the report's `audit`, with a verdict in one word, comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from covid19.bootstrap import Ranking, intervals
from covid19.crossval import Fold
from covid19.dataset import FEW

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SIGNIFICANT = 0.05
NEAR = 0.05  # AUC below the model's within which a probe explains the score
PERMUTATIONS = 999
FEWER = 199  # permutations of more than MANY images
MANY = 2000
VERDICTS = ("explained", "present", "none-found", "too-few")


class Probe(NamedTuple):
    """One way of looking at the images.

    Attributes:
        name: in words.
        lung_blind: whether it can see no lung.
        sees_pixels: whether it sees what a network can see; of the file alone it cannot.
        scores: out of fold, higher for the positive class, (n,).
        p_value: of the permutation test, not corrected; None for a probe that may see lungs.
    """

    name: str
    lung_blind: bool
    sees_pixels: bool
    scores: Floats
    p_value: float | None


def make_probe(name: str, inputs: Floats, positive: Flags, groups: Sequence[int], divisions: Sequence[Sequence[Fold]],
               seed: int, lung_blind: bool, sees_pixels: bool, scores: Floats | None = None) -> Probe:  # fmt: skip
    """Score a probe out of fold and, if it is lung-blind, test whether that could be chance.

    The test (Good, Permutation Tests, 2000; Ojala and Garriga, JMLR 11:1833, 2010) gives each patient another's label and does
    the whole cross-validation again. A ridge regression takes all labels at once, so 999 permutations cost little more than one.

    Args:
        name, lung_blind, sees_pixels: of the probe.
        inputs: what it sees of each image, (n, numbers).
        positive: bool (n,).
        groups: of each image, the same for one patient's.
        divisions: the run's own folds.
        seed: of the permutations.
        scores: out of fold by another classifier, for the AUC; None takes the ridge regression's.
    """
    labels = _permuted(positive, groups, seed) if lung_blind else positive[:, None].astype(float)
    said = ridge_scores(inputs, labels, divisions)
    p_value = None
    if lung_blind:
        aucs = _aucs(said, labels)
        p_value = float((aucs >= aucs[0] - 1e-12).mean())
    return Probe(name, lung_blind, sees_pixels, said[:, 0] if scores is None else scores, p_value)


def ridge_scores(inputs: Floats, targets: Floats, divisions: Sequence[Sequence[Fold]]) -> Floats:
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
            model = make_pipeline(StandardScaler(), Ridge(alpha=inputs.shape[1])).fit(inputs[fold.train], targets[fold.train])
            said = model.predict(inputs[fold.held_out]).reshape(len(fold.held_out), -1)
            scores[fold.held_out] += said - targets[fold.train].mean(axis=0)
    return scores


def _permuted(positive: Flags, groups: Sequence[int], seed: int) -> Floats:
    """Labels (n, 1 + permutations): the true ones, then each patient with another's."""
    _, first, member = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    of_patient, generator = positive[first], np.random.default_rng(seed)
    count = PERMUTATIONS if len(positive) <= MANY else FEWER
    return np.stack([positive, *(generator.permutation(of_patient)[member] for _ in range(count))], axis=1).astype(float)


def _aucs(scores: Floats, labels: Floats) -> Floats:
    """ROC AUC of each column by its own labels, from ranks (Hanley and McNeil, Radiology 143:29, 1982)."""
    positives = labels.sum(axis=0)
    above = (rankdata(scores, axis=0) * labels).sum(axis=0) - positives * (positives + 1) / 2
    return np.asarray(above / (positives * (len(labels) - positives)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, Scand. J. Statist. 6:65, 1979), in the order given."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(steps).clip(max=1)
    return corrected.tolist()


def judge(probes: Sequence[Probe], model: Floats, positive: Flags, groups: Sequence[int]) -> dict[str, Any]:
    """Weigh the probes against the model.

    Args:
        probes: from `make_probe`, some of them lung-blind.
        model: the model's scores out of fold, (n,).
        positive: bool (n,).
        groups: of each image, the same for one patient's.

    Returns:
        `verdict`, one of VERDICTS; `probes` [{name, auc, low, high, p_value (Holm-corrected), lung_blind}]; `model_auc`; and
        `margin` {probe, value, low, high}, the model's AUC less that of the best lung-blind probe, the one that decides.
    """
    blind = [probe for probe in probes if probe.lung_blind]
    corrected = dict(zip((p.name for p in blind), holm([p.p_value for p in blind if p.p_value is not None]), strict=True))
    rankings = {probe.name: Ranking(probe.scores, positive) for probe in probes} | {"the model": Ranking(model, positive)}
    limits = intervals(
        lambda weights: {name: ranking.roc_auc(weights) for name, ranking in rankings.items()}, groups, positive.tolist()
    )
    once = np.ones((1, len(positive)))
    aucs = {name: float(ranking.roc_auc(once)[0]) for name, ranking in rankings.items()}
    guilty = [probe for probe in blind if corrected[probe.name] < SIGNIFICANT]
    # A network sees pixels, no files: what the file tells is a warning about the data, not an explanation of the score.
    explaining = [p for p in guilty if p.sees_pixels and aucs["the model"] - aucs[p.name] <= NEAR]
    best = max(explaining or guilty or blind, key=lambda probe: aucs[probe.name]).name
    fewest = min(len(set(np.asarray(groups)[side])) for side in (positive, ~positive))
    verdict = "explained" if explaining else "present" if guilty else "too-few" if fewest < FEW else "none-found"
    return {
        "verdict": verdict,
        "probes": [
            {
                "name": probe.name,
                "auc": aucs[probe.name],
                "low": limits[probe.name][0],
                "high": limits[probe.name][1],
                "p_value": corrected.get(probe.name),
                "lung_blind": probe.lung_blind,
            }
            for probe in probes
        ],
        "model_auc": aucs["the model"],
        "model": {"low": limits["the model"][0], "high": limits["the model"][1]},
        "margin": {"probe": best, **_margin(rankings["the model"], rankings[best], positive, groups)},
        "patients_in_smaller_class": fewest,
    }


def _margin(model: Ranking, probe: Ranking, positive: Flags, groups: Sequence[int]) -> dict[str, float]:
    """The difference of two AUCs with its 95 % interval, both of the same patients in each resample."""

    def halved(weights: Floats) -> dict[str, Floats]:  # to (0, 1), where `intervals` lives
        return {"margin": (1 + model.roc_auc(weights) - probe.roc_auc(weights)) / 2}

    value = float(halved(np.ones((1, len(positive))))["margin"][0])
    low, high = intervals(halved, groups, positive.tolist())["margin"]
    return {name: 2 * share - 1 for name, share in (("value", value), ("low", low), ("high", high))}


def explain_verdict(audit: dict[str, Any] | None) -> str:
    """The verdict in plain words: what was found, what it means, what to do."""
    if audit is None:
        return "Whether the score needs the lungs was not tested."
    margin, model = audit["margin"], audit["model_auc"]
    probes = {probe["name"]: probe for probe in audit["probes"]}
    best, blind = probes[margin["probe"]], [name for name, probe in probes.items() if probe["lung_blind"]]
    against = f"reaches AUC {best['auc']:.2f} ({best['low']:.2f} to {best['high']:.2f}), the model {model:.2f}"
    guilty = [name for name in blind if probes[name]["p_value"] < SIGNIFICANT]
    advice = "Take controls from the same source, crop to the lungs, and test on another hospital's images."
    if audit["verdict"] == "explained":
        return f"Shortcut explained: the {best['name']} alone, without a lung in sight, {against}. The score needs no lungs. {advice}"
    if audit["verdict"] == "present":
        how = f"Shortcut present: the {best['name']} alone {against}."
        if guilty == ["file properties"]:
            how += " A network sees pixels, no files, so this may not be what it uses; but the classes differ beyond the disease."
        return f"{how} {advice}"
    if audit["verdict"] == "none-found":
        return (
            f"No shortcut found: the lung-blind probes ({', '.join(blind)}) do no better than chance. Others may exist: test on "
            "another hospital's images."
        )
    return (
        f"Too few patients to look for shortcuts ({audit['patients_in_smaller_class']} in the smaller class): no probe stands "
        "out, but nothing can be concluded."
    )
