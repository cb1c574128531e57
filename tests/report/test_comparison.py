"""`covid19 compare`: two reports side by side."""

import copy
import json

import numpy as np
import pytest
from helpers.datasets import read
from sklearn.metrics import roc_auc_score

from covid19.core.errors import InputError
from covid19.report.comparison import compare_reports, describe_comparison, read_report


@pytest.fixture
def reports(run, tmp_path):
    """Paths of a run's report and of the same with other probabilities."""
    first, second = copy.deepcopy(run.report), copy.deepcopy(run.report)
    for report, strength in ((first, 0.1), (second, 0.4)):
        generator = np.random.default_rng(3)
        for one in report["cross_validation"]["predictions"]:
            score = float(np.clip(0.5 + strength * (1 if one["label"] == "covid" else -1) + generator.normal(0, 0.2), 0, 1))
            one["probabilities"] = {"covid": score, "normal": 1 - score}
    second["training"]["epochs"] += 1
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, report in zip(paths, (first, second), strict=True):
        path.write_text(json.dumps(report))
    return paths


def change(path, how):
    report = json.loads(path.read_text())
    how(report)
    path.write_text(json.dumps(report))


def test_differences_are_those_of_the_common_images_paired_by_patient(reports):
    found = compare_reports(reports)
    assert (found.common, found.by_patient, found.notes) == (12, True, [])
    predictions = [json.loads(path.read_text())["cross_validation"]["predictions"] for path in reports]
    truth = [one["label"] == "covid" for one in predictions[0]]
    aucs = [roc_auc_score(truth, [one["probabilities"]["covid"] for one in side]) for side in predictions]
    accuracies = [
        np.mean([(one["probabilities"]["covid"] > 0.5) == (one["label"] == "covid") for one in side]) for side in predictions
    ]
    by_name = {one.metric: one for one in found.differences}
    assert set(by_name) == {"roc_auc", "sensitivity", "specificity", "accuracy"}
    assert (by_name["roc_auc"].first, by_name["roc_auc"].second) == pytest.approx(tuple(aucs))
    assert by_name["roc_auc"].value == pytest.approx(aucs[1] - aucs[0])
    assert by_name["accuracy"].value == pytest.approx(accuracies[1] - accuracies[0])
    for one in found.differences:
        assert one.low <= one.value <= one.high
    text = describe_comparison(found)
    assert "B less A is measured on the 12 images that both tested; 95 % interval, paired by patients." in text
    epochs = str(json.loads(reports[0].read_text())["training"]["epochs"])
    assert any(line.split()[:2] == ["epochs", epochs] for line in text.splitlines())


def test_a_report_differs_from_itself_by_nothing(reports):
    found = compare_reports([reports[0], reports[0]])
    assert {one.value for one in found.differences} == {0.0}
    assert all(one.low <= 0 <= one.high for one in found.differences)
    assert found.settings == {}


@pytest.mark.parametrize(
    ("how", "note"),
    [
        (lambda report: report["cross_validation"].update(positive="normal"), "The positive classes differ"),
        (lambda report: report["cross_validation"].update(predictions=[]), "There are no images of both sides"),
        (lambda report: report.update(cross_validation=None), "There are no images of both sides"),
        (lambda report: report["dataset"].update(root="elsewhere"), "The data sets are two folders"),
    ],
)
def test_what_cannot_be_paired_is_said(reports, how, note):
    change(reports[1], how)
    found = compare_reports(reports)
    assert any(note in one for one in found.notes)
    assert bool(found.differences) == ("folders" in note)


def test_reports_that_know_no_patients_are_paired_by_image_and_older_ones_not_at_all(reports):
    def without(*names):
        def forget(report):
            for one in report["cross_validation"]["predictions"]:
                for name in names:
                    one.pop(name)

        return forget

    change(reports[0], without("group"))
    found = compare_reports(reports)
    assert (found.common, found.by_patient) == (12, False)
    assert "each image counts as a patient of its own" in describe_comparison(found)
    change(reports[1], without("label"))
    assert compare_reports(reports).differences == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"split": 3}', "null", "[" * 100_000, '{"not_tested": []}', "\xff"])
def test_what_is_no_report_is_refused_in_one_line(tmp_path, content, call_command):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match="is no report that is known"):
        read_report(path)
    done = call_command("compare", path, path, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_the_command_prints_text_and_json(reports, call_command, tmp_path):
    done = call_command("compare", *reports, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "B less A" in done.stdout
    printed = json.loads(call_command("compare", *reports, "--json", cwd=tmp_path).stdout)
    assert printed["common"] == 12
    assert call_command("compare", "none.json", "none.json", cwd=tmp_path).returncode == 2


def test_predictions_say_the_class_and_the_patient(run):
    records = {record.name: record for record in read(run.dataset).records}
    predictions = run.report["cross_validation"]["predictions"]
    assert [(one["label"], one["group"]) for one in predictions] == [
        (records[one["path"]].label, records[one["path"]].group) for one in predictions
    ]
