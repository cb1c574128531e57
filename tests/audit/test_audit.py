"""The shortcut audit: what probes see, whom they accuse, and the verdict."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import helpers.keras_start  # noqa: F401
import msgspec
import numpy as np
import pytest
from helpers.compare import assert_close
from helpers.datasets import read
from helpers.images import write_image
from helpers.runs import settings_in, train
from PIL import Image
from sklearn.metrics import roc_auc_score

from covid19.audit import run as audit
from covid19.audit.result import AuditResult, Interval, Margin, ProbeResult
from covid19.audit.run import measurements_of
from covid19.audit.sources import describe_sources
from covid19.audit.verdict import (
    LabelledFolds,
    Probe,
    assess_shortcuts,
    aucs_of,
    explain_verdict,
    holm,
    make_probe,
    ridge_scores,
)
from covid19.cli.main import main
from covid19.core.executor.local import LocalExecutor
from covid19.data.build.phantoms import write_sample
from covid19.data.images import Picture, read_picture
from covid19.data.lungs import box_mask
from covid19.data.measurements.border_ring import border_ring
from covid19.data.measurements.file_properties import file_properties
from covid19.data.measurements.measurement import cells_from_text
from covid19.data.measurements.registry import MEASUREMENTS
from covid19.data.measurements.thumbnail import thumbnail
from covid19.data.scan_cache import ScanCache
from covid19.evaluation.cross_validation import make_folds


def question(count=30, seed=0):
    positive = np.arange(2 * count) < count
    groups = list(range(2 * count))
    return LabelledFolds(positive, groups, make_folds(positive.astype(int).tolist(), groups, 5, 2, seed), seed)


def test_holm_corrects_as_worked_out_by_hand():
    # sorted .01 .02 .03 -> 3 x .01, 2 x .02, max(.04, .03)
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1, 1]


def test_a_probe_that_knows_the_class_is_significant_and_noise_is_not():
    asked, generator = question(), np.random.default_rng(1)
    noise = generator.normal(size=(60, 4))
    telling = noise + np.outer(asked.positive, [3, 0, 0, 0])
    assert make_probe("a", telling, asked).p_value == pytest.approx(1 / 1000)
    assert make_probe("b", noise, asked).p_value > 0.05
    assert make_probe("c", telling, asked, lung_blind=False).p_value is None
    assert make_probe("b", noise, asked).p_value == make_probe("b", noise, asked).p_value
    rescaled = make_probe("b", noise * [1, 1e3, 1e-3, 1] + 7, asked).p_value
    assert rescaled == pytest.approx(make_probe("b", noise, asked).p_value, abs=0.005)  # rounding may turn a few of 999


def test_a_probe_has_the_scores_of_the_classifier_that_is_given():
    asked, inputs = question(), np.random.default_rng(8).normal(size=(60, 2))
    own = make_probe("d", inputs, asked)
    assert (own.name, own.lung_blind) == ("d", True)
    expected = ridge_scores(inputs, asked.positive[:, None].astype(float), asked.divisions)[:, 0]
    np.testing.assert_allclose(own.scores, expected, atol=1e-9)
    other = make_probe("e", inputs, asked, lung_blind=False, scores=inputs[:, 0])
    assert (other.name, other.lung_blind) == ("e", False)
    np.testing.assert_array_equal(other.scores, inputs[:, 0])


def test_scores_are_summed_over_the_repeats_less_what_the_training_part_says_on_average():
    asked = question()
    inputs, target = np.random.default_rng(9).normal(size=(60, 2)), asked.positive[:, None].astype(float)
    once = ridge_scores(inputs, target, asked.divisions[:1])
    np.testing.assert_allclose(ridge_scores(inputs, target, asked.divisions[:1] * 2), 2 * once)
    # Of inputs that say nothing a regression says the mean, each label's own.
    np.testing.assert_allclose(ridge_scores(0 * inputs, np.hstack([target, 5 + target]), asked.divisions), 0, atol=1e-12)


def test_the_auc_of_each_column_is_scikit_learns():
    generator = np.random.default_rng(10)
    scores, labels = generator.normal(size=(30, 4)).round(1), (generator.random((30, 4)) < [0.2, 0.4, 0.5, 0.8]).astype(float)
    expected = [roc_auc_score(label, score) for label, score in zip(labels.T, scores.T, strict=True)]
    np.testing.assert_allclose(aucs_of(scores, labels), expected)


def test_patients_of_several_images_change_labels_as_one():
    groups = [n // 3 for n in range(60)]
    positive = np.arange(60) < 30
    divisions = make_folds(positive.astype(int).tolist(), groups, 5, 1, 0)
    inputs = positive[:, None] + np.random.default_rng(7).normal(0, 0.1, (60, 1))
    assert make_probe("telling", inputs, LabelledFolds(positive, groups, divisions, 0)).p_value < 0.01


def test_the_best_of_several_probes_decides_and_every_interval_holds_its_value():
    asked, generator = question(), np.random.default_rng(11)
    scores = {"border ring": 0.8, "lungs hidden": 2.0, "thumbnail": 3.0}
    probes = [
        Probe(name, name != "thumbnail", True, asked.positive * shift + generator.normal(size=60), 0.001)
        for name, shift in scores.items()
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


def test_many_images_are_permuted_less_often(monkeypatch):
    asked = question()
    for many, permutations in ((60, 999), (59, 199)):
        monkeypatch.setattr("covid19.audit.verdict.LARGE_SET_IMAGES", many)
        assert make_probe("telling", asked.positive[:, None] * 9.0, asked).p_value == pytest.approx(1 / (1 + permutations))


def test_the_labels_of_four_patients_of_both_classes_can_lie_in_16_ways_of_which_2_are_as_telling():
    groups = [n // 2 for n in range(8)]
    positive = np.arange(8) % 2 == 0
    divisions = make_folds(positive.astype(int).tolist(), groups, 2, 1, 0)
    p_value = make_probe("telling", positive[:, None] * 1.0, LabelledFolds(positive, groups, divisions, 0)).p_value
    assert p_value == pytest.approx(2 / 16, abs=0.03)  # as they are, and all changed over


def test_the_verdict_is_said_in_full():
    files = ProbeResult("file properties", 0.9, 0.8, 0.95, p_value=0.01, lung_blind=True, sees_pixels=False)
    border = ProbeResult("border ring", 0.5, 0.4, 0.6, p_value=0.05, lung_blind=True, sees_pixels=True)
    margin = Margin("file properties", 0.07, 0.01, 0.1)
    audit = AuditResult("present", (files, border), 0.97, Interval(0.9, 0.99), margin, 20, 60)
    advice = "Take controls from the same source, crop to the lungs, and test on another hospital's images."
    found = "By file properties alone the AUC is 0.90 (0.80 to 0.95), by the model 0.97"
    assert explain_verdict(audit) == (
        f"Audit: present. {found}: the classes differ in more than the lungs, though in the files, which a network on pixels "
        f"may not see. {advice}"
    )
    audit = replace(audit, verdict="explained", probes=(files, replace(border, p_value=0.01)))
    assert explain_verdict(audit) == f"Audit: explained. {found}: the score needs no lungs. {advice}"
    none = "Probes that see no lung (file properties, border ring) do no better than chance."
    assert none in explain_verdict(replace(audit, verdict="none-found"))


def test_scores_are_out_of_fold_and_their_auc_is_scikit_learns():
    asked = question()
    inputs = np.random.default_rng(2).normal(size=(60, 3)) + asked.positive[:, None]
    scores = ridge_scores(inputs, asked.positive[:, None].astype(float), asked.divisions)[:, 0]
    found = assess_shortcuts([Probe("x", True, True, scores, 0.001)], scores, asked)
    assert found.model_auc == pytest.approx(roc_auc_score(asked.positive, scores))
    changed = asked.positive.astype(float)[:, None].copy()
    held_out = asked.divisions[0][0].held_out
    changed[held_out] = 1 - changed[held_out]
    one = [[asked.divisions[0][0]]]
    before, after = (ridge_scores(inputs, target, one)[held_out] for target in (asked.positive[:, None].astype(float), changed))
    np.testing.assert_allclose(before, after, atol=1e-12)


def test_labels_are_permuted_by_patient():
    # Two patients a class with many alike images: by image this would be certain, by patient it is a matter of 1 in 6.
    groups = [n // 10 for n in range(40)]
    positive = np.arange(40) < 20
    own = np.random.default_rng(3).normal(size=4)
    inputs = np.sort(own)[groups][:, None] + np.random.default_rng(4).normal(0, 0.01, (40, 1))
    divisions = make_folds(positive.astype(int).tolist(), groups, 2, 1, 0)
    assert make_probe("x", inputs, LabelledFolds(positive, groups, divisions, 0)).p_value > 0.1


def test_a_patient_of_both_classes_keeps_them_and_swaps_within():
    groups = [n // 2 for n in range(40)]
    positive = np.arange(40) % 2 == 0
    divisions = make_folds(positive.astype(int).tolist(), groups, 5, 1, 0)
    asked, generator = LabelledFolds(positive, groups, divisions, 0), np.random.default_rng(6)
    own = generator.normal(0, 0.3, 20)[groups][:, None]
    assert make_probe("telling", own + positive[:, None], asked).p_value == pytest.approx(1 / 1000)
    assert make_probe("of the patient", own, asked).p_value == 1  # the same whichever image is called positive


@pytest.mark.parametrize(
    ("name", "p_value", "probe", "model", "count", "verdict", "words"),
    [
        ("border ring", 0.001, 0.0, 0.0, 30, "explained", "the score needs no lungs"),
        ("border ring", 0.001, 1.5, 0.0, 30, "present", "differ in more than the lungs"),
        ("file properties", 0.001, 0.0, 0.0, 30, "present", "which a network on pixels may not see"),
        ("border ring", 0.2, 0.0, 0.0, 30, "none-found", "do no better than chance"),
        ("border ring", 0.2, 0.0, 0.0, 20, "none-found", "do no better than chance"),
        ("border ring", 0.2, 0.0, 0.0, 19, "too-few", "with 19 patients in the smaller class"),
        ("border ring", 0.001, 0.0, 0.0, 19, "explained", "the score needs no lungs"),
    ],
)
def test_the_verdict(name, p_value, probe, model, count, verdict, words):
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
    assert explain_verdict(found).startswith(f"Audit: {verdict}. ")
    assert words in explain_verdict(found)


def test_the_border_and_the_box_divide_the_picture():
    pixels = np.full((224, 224, 3), 200, np.uint8)
    pixels[23:201, 23:201] = 7  # within the outer tenth on each side
    picture = Picture(pixels, 224, 224)
    ring = cells_from_text(border_ring(Path(), picture))
    assert set(ring.tolist()) == {200}
    assert len(ring) == 144 * 3
    assert len(cells_from_text(thumbnail(Path(), picture))) == 256
    mask = box_mask((0.25, 0.5, 0.75, 1.0))
    assert mask.sum() == 112 * 112
    assert mask[112:, 56:168].all()


def test_file_properties_say_what_the_file_is_and_nothing_of_the_lungs(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (120, 100), np.uint8)
    path = tmp_path / "a.jpg"
    tags = Image.Exif()
    tags[271], tags[305] = "Maker", "Soft 1"
    Image.fromarray(grey).save(path, quality=50, exif=tags, dpi=(300, 300))
    picture = np.full((224, 224, 3), 10, np.uint8)
    picture[box_mask((0.12, 0.15, 0.88, 0.85))] = 250
    stated = file_properties(path, Picture(picture, 100, 120))
    assert stated["device"] == "Maker Soft 1"
    assert (stated["format"], stated["channels"], stated["bits"], stated["tags"], stated["density"]) == ("JPEG", 1, 8, 2, 300)
    assert stated["aspect"] == pytest.approx(100 / 120)
    assert stated["bytes"] == path.stat().st_size
    assert (stated["mean"], stated["spread"], stated["cast"]) == (10, 0, 0)
    better = tmp_path / "b.jpg"
    Image.fromarray(grey).save(better, quality=95)
    assert file_properties(better, Picture(picture, 100, 120))["quantisation"] < stated["quantisation"] / 4


def test_probes_of_a_whole_data_set_have_a_row_for_each_image(phantoms):
    scans, executor = ScanCache(None, 10**9), LocalExecutor()
    records = read(phantoms, scans).records
    measured = measurements_of(records, scans, executor, read_picture)
    with ScanCache(None, 10**9) as begun_anew:  # knows nothing, so the files are read again
        again = measurements_of(records, begun_anew, executor, read_picture)
    for measurement in MEASUREMENTS:
        rows, others = (measurement.as_numbers([own[measurement.name] for own in both]) for both in (measured, again))
        np.testing.assert_allclose(others, rows, rtol=1e-6, atol=1e-9)
        assert len(rows) == 12
        assert np.isfinite(rows).all()


def test_of_many_images_some_are_audited_and_the_report_says_how_many(run, tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "MAX_AUDIT_IMAGES", 8)
    report = train(run.settings_again(tmp_path, audit="full"))
    assert (report["audit"]["images"], report["dataset"]["images"], run.report["audit"]["images"]) == (8, 12, 12)
    assert {probe["name"] for probe in report["audit"]["probes"]} > {"file properties", "border ring", "lungs hidden"}
    assert_close(report["cross_validation"], run.report["cross_validation"])
    assert "The audit looked at 8 of the 12 images" in (tmp_path / "metrics.html").read_text()


def test_a_source_is_recognised_and_left_out(tmp_path):
    rows = ["filename,patientid,source"]
    generator = np.random.default_rng(0)
    for label in ("covid", "normal"):
        for index in range(12):
            name = f"{label}{index}.png"
            write_image(tmp_path / label / name, generator.integers(0, 256, (24, 24), np.uint8))
            rows.append(f"{name},{label}{index},{'one' if index < 6 else 'other'}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    dataset = read(tmp_path)
    positive = np.array([record.label == "covid" for record in dataset.records])
    source = np.array([record.entry.source for record in dataset.records])
    features = np.random.default_rng(1).normal(size=(24, 512)).astype(np.float32)
    features[:, 300:] += 3 * (source == "one")[:, None]
    features[:, 1:200] += 3 * positive[:, None]
    divisions = make_folds(positive.astype(int).tolist(), list(range(24)), 4, 2, 0)
    found = describe_sources(dataset.records, features, positive, divisions)
    assert [(one.source, one.images, one.positive) for one in found.sources] == [("one", 12, 6), ("other", 12, 6)]
    assert all(one.auc == 1 for one in found.sources)
    assert found.recognised > found.by_chance == 0.5


def planted(folder):
    """Phantoms whose covid class has a bright edge."""
    write_sample(folder, 12, 96, 3)
    for path in (folder / "covid").glob("*.png"):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        image[:, :5] = 255
        cv2.imwrite(str(path), image)
    return folder


def test_a_planted_shortcut_is_found_said_and_flagged(tmp_path, capsys, run):
    data = planted(tmp_path / "data")
    given = ["-d", data, "-m", tmp_path / "a.model", "-p", tmp_path / "a.png", "-r", tmp_path / "a.json"]
    short = ["--weights", "random", "--epochs", 3, "--repeats", 2, "--augmentations", 0, "--cache-dir", tmp_path / "cache"]
    assert main([str(word) for word in ("train", *given, *short, "--fail-on", "present")]) == 3
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict.startswith("Verdict: ")
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["audit"]["verdict"] in ("explained", "present")
    assert f"Audit: {report['audit']['verdict']}. By " in verdict
    probes = {probe["name"]: probe for probe in report["audit"]["probes"]}
    assert probes["border ring"]["p_value"] < 0.05
    assert main([str(word) for word in ("train", *given, *short, "--no-audit", "--fail-on", "present")]) == 0
    assert json.loads((tmp_path / "a.json").read_text())["audit"] is None
    assert run.report["audit"]["verdict"] == "too-few"


def test_the_full_audit_hides_the_lungs_and_says_where_the_model_looks(tmp_path, run):
    settings = run.settings_again(tmp_path, model=None, plot=None, audit="full")
    audit = train(settings)["audit"]
    assert [probe["name"] for probe in audit["probes"]] == [
        "file properties",
        "border ring",
        "thumbnail",
        "lungs hidden",
        "lungs and mediastinum hidden",
    ]
    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(audit, AuditResult))) == audit
    assert audit["images_without_lungs"] == 0
    assert 0.2 < audit["lungs"]["area"] < 0.4
    assert set(audit["lungs"]["by_class"]) == {"covid", "normal"}
    assert all(0 <= share <= 1 for share in audit["lungs"]["by_class"].values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.html", "metrics.json"]
    assert "Where it looks" in settings.output.page.read_text()


def test_trained_weights_stand_beside_an_untrained_base(tmp_path, phantoms, official):
    settings = settings_in(tmp_path, phantoms, model=None, plot=None, audit="full", weights=str(official))
    audit = train(settings)["audit"]
    assert [probe["name"] for probe in audit["probes"]][-1] == "untrained base"
    assert set(audit["lungs"]["untrained"]) == {"covid", "normal"}
    assert "a head on an untrained base" in settings.output.page.read_text()


def test_a_folder_without_masks_is_refused_before_anything_is_read(capsys):
    assert main(["audit", "-d", "nowhere", "--lung-masks", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: --lung-masks 'nowhere' holds no masks")


@pytest.mark.parametrize("box", ["0.1,0.1,0.9", "0.9,0.1,0.1,0.9", "a,b,c,d", "0,0,1,1.1"])
def test_a_bad_lung_box_is_refused_in_one_line(capsys, box):
    with pytest.raises(SystemExit) as stop:
        main(["audit", "-d", "x", "--lung-box", box])
    assert stop.value.code == 2
    assert f"received '{box}', expected left,top,right,bottom" in capsys.readouterr().err
