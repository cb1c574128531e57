"""The verdict: whom it accuses, and its words."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.folds import question
from sklearn.metrics import roc_auc_score

from covid19.audit.explanation import advise, explain, status
from covid19.audit.probes import LabelledFolds, Probe
from covid19.audit.result import AuditResult, DetectionLimit, Interval, Margin, ProbeResult
from covid19.audit.verdict import assess_shortcuts


def test_the_best_of_several_probes_decides_and_every_interval_holds_its_value():
    asked, generator = question(), np.random.default_rng(11)
    scores = {"border ring": 0.8, "lungs hidden": 2.0, "thumbnail": 3.0}
    probes = [
        Probe(name, name != "thumbnail", True, asked.positive * shift + generator.normal(size=60), p_value)
        for (name, shift), p_value in zip(scores.items(), (0.001, 0.001, None), strict=True)
    ]
    found = assess_shortcuts(probes, asked.positive * 4.0 + generator.normal(size=60), asked)
    assert found.margin.probe == "lungs hidden"
    for probe in found.probes:
        assert 0 < probe.low < probe.auc < probe.high <= 1
    assert 0 < found.model.low < found.model_auc <= found.model.high <= 1
    patients = [*range(30), *[30 + n // 2 for n in range(30)]]
    for positive in (asked.positive, ~asked.positive):
        few = LabelledFolds(positive, patients, asked.divisions, 0)
        assert assess_shortcuts(probes, probes[0].scores, few).patients_in_smaller_class == 15


def test_the_probe_that_explains_is_named_before_better_ones_that_cannot():
    asked, generator = question(), np.random.default_rng(13)

    def probe(name, shift, p_value):
        return Probe(name, True, name != "file properties", asked.positive * shift + generator.normal(size=60), p_value)

    border, better, files = probe("border ring", 1.5, 0.001), probe("a crop", 2.5, 0.001), probe("file properties", 4.0, 0.001)
    chance = probe("chance", 5.0, 0.9)
    named = [assess_shortcuts([files, border, chance, *more], border.scores, asked).margin.probe for more in ([], [better])]
    assert named == ["border ring", "a crop"]
    sure = asked.positive * 9.0 + generator.normal(size=60)
    found = assess_shortcuts([border, chance], sure, asked)  # too far from the model to explain it, but significant
    assert (found.verdict, found.margin.probe) == ("present", "border ring")


FILES = ProbeResult("file properties", 0.9, 0.8, 0.95, p_value=0.01, lung_blind=True, sees_pixels=False)
BORDER = ProbeResult("border ring", 0.8, 0.7, 0.9, p_value=0.01, lung_blind=True, sees_pixels=True)
MARGIN = Margin("border ring", 0.17, 0.05, 0.3)
AUDIT = AuditResult(
    "present", (FILES, BORDER), 0.97, Interval(0.9, 0.99), MARGIN, (MARGIN,), patients_in_smaller_class=20, images=60
)


def test_a_shortcut_is_explained_with_the_difference_and_what_to_do():
    audit = replace(AUDIT, verdict="explained", margin=Margin("border ring", 0.03, -0.02, 0.08))
    assert advise(audit) == (
        "SHORTCUT: without the lungs the classes are told apart about as well as by the model, so its accuracy means nothing. "
        "Do not report it: take controls from the same source or train with --region lungs, and audit again."
    )
    assert explain(audit) == (
        "By border ring alone the AUC is 0.80 (0.70 to 0.90), by the model 0.97 (0.90 to 0.99); the difference of +0.03 (-0.02 "
        "to +0.08) does not show that the score needs the lungs."
    )


def test_what_the_lungs_add_to_a_partial_shortcut_is_told_and_shared_sources_are_not_advised_again():
    assert explain(AUDIT).endswith("by the model 0.97 (0.90 to 0.99); the model adds +0.17 (+0.05 to +0.30).")
    assert "take controls from the same source" in advise(AUDIT)
    again = advise(replace(AUDIT, same_sources=True))
    assert "controls" not in again
    assert "train with --region lungs" in again


def test_a_difference_of_files_is_told_from_one_of_pixels():
    audit = replace(AUDIT, margin=Margin("file properties", 0.07, 0.01, 0.1))
    assert explain(audit).endswith("The files differ, which a network on pixels may not see, unless it sees their traces.")


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.75, "a marker in 75% of one class and 25% of the other would be found with a power of 80%"),
        (None, "even a marker in every image of one class and in none of the other could be missed"),
    ],
)
def test_where_nothing_was_found_the_detection_limit_is_named(share, words):
    audit = replace(AUDIT, verdict="none-found", detection=DetectionLimit(share, 0.8, 20))
    assert advise(audit).startswith("NONE FOUND: ")
    assert "Nothing that sees no lung (file properties, border ring) tells" in explain(audit)
    assert words in explain(audit)
    few = replace(audit, verdict="too-few")
    assert advise(few).startswith("TOO FEW: ")
    assert "There are 20 patients in the smaller class." in explain(few)


def test_without_an_audit_nothing_is_claimed():
    assert status(None) == "NOT TESTED"
    assert advise(None).startswith("NOT TESTED: whether the score needs the lungs was not tested.")
    assert explain(None) == ""


@pytest.mark.parametrize(
    ("name", "p_value", "probe", "model", "count", "verdict"),
    [
        ("border ring", 0.001, 0.0, 0.0, 30, "explained"),
        ("border ring", 0.001, 3.0, 0.0, 60, "present"),
        ("file properties", 0.001, 0.0, 0.0, 30, "present"),
        ("border ring", 0.2, 0.0, 0.0, 30, "none-found"),
        ("border ring", 0.2, 0.0, 0.0, 20, "none-found"),
        ("border ring", 0.2, 0.0, 0.0, 19, "too-few"),
        ("border ring", 0.001, 0.0, 0.0, 19, "explained"),
    ],
)
def test_the_verdict(name, p_value, probe, model, count, verdict):
    asked, generator = question(count), np.random.default_rng(5)
    true = asked.positive * 3.0
    scores = [true + generator.normal(size=2 * count) * (1 + noise) for noise in (probe, model)]
    probes = [
        Probe(name, True, name != "file properties", scores[0], p_value),
        Probe("thumbnail", False, True, scores[1], None),
    ]
    found = assess_shortcuts(probes, scores[1], asked)
    assert found.verdict == verdict
    assert found.margin.probe == name
    aucs = [roc_auc_score(asked.positive, score) for score in scores]
    assert found.margin.value == pytest.approx(aucs[1] - aucs[0])
    assert found.margin.low <= found.margin.value <= found.margin.high
    assert [margin.probe for margin in found.margins] == [name, "thumbnail"]
    assert (
        status(found)
        == {"explained": "SHORTCUT", "present": "PARTLY", "none-found": "NONE FOUND", "too-few": "TOO FEW"}[verdict]
    )


def test_a_difference_that_is_not_shown_is_none():
    # The model is 0.08 above the border ring, but with few patients the interval of the difference holds 0.
    asked, generator = question(12), np.random.default_rng(4)
    scores = [asked.positive * shift + generator.normal(size=24) for shift in (1.5, 2.2)]
    found = assess_shortcuts([Probe("border ring", True, True, scores[0], 0.001)], scores[1], asked)
    assert found.margin.value > 0.05
    assert found.margin.low <= 0
    assert found.verdict == "explained"


def test_what_the_model_is_not_shown_is_not_weighed():
    asked = question()
    unseen = Probe("border ring", True, False, asked.positive * 1.0, None)
    outline = Probe("outline of the lungs", True, True, np.random.default_rng(0).normal(size=60), 0.7)
    found = assess_shortcuts([unseen, outline], asked.positive * 1.0, asked)
    assert found.verdict == "none-found"
    assert [probe.p_value for probe in found.probes] == [None, 0.7]
