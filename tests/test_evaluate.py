"""External validation: the model as it is, on images that it was not trained on."""

import json
from dataclasses import replace

import fsspec
import helpers.keras_start  # noqa: F401
import jsonschema
import msgspec
import numpy as np
import pytest
from helpers.images import write_noise

from covid19.cli.main import main
from covid19.core.measures import Metric
from covid19.data.build.phantoms import write_sample
from covid19.model.head import Heads
from covid19.model.info import CrossValidationSummary
from covid19.report.conclusion import conclude_externally
from covid19.report.json_schema import FOLDER
from covid19.report.result import Report


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other") / "data"
    write_sample(folder, 6, 96, 99)
    return folder


def evaluate(run, data, folder, *more):
    arguments = ["evaluate", "-m", run.model, "-d", data, "-r", folder / "e.json", "--no-cache", *more]
    code = main([str(argument) for argument in arguments])
    return code, json.loads((folder / "e.json").read_text()) if (folder / "e.json").exists() else None


def test_numbers_drop_and_verdict_are_written_and_said(run, other, tmp_path, capsys):
    code, report = evaluate(run, other, tmp_path)
    assert code == 0
    output = capsys.readouterr().out
    assert report["in_training"] == 0
    schema = json.loads((FOLDER / "evaluation.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(report)
    assert sum(map(sum, report["test"]["confusion_matrix"])) == 12
    internal = run.report["cross_validation"]["roc_auc"]["value"]
    assert report["drop"]["roc_auc"] == pytest.approx(internal - report["test"]["roc_auc"]["value"])
    assert report["test"]["threshold"] is None
    assert output.index(report["conclusion"]) < output.index("AUC, lungs hidden") < output.index("at home   drop")
    assert "12 images of the other data set" in output
    assert "TOO FEW: there are too few patients" in output
    assert "AUC, lungs hidden" in output
    assert "Research only" in output.splitlines()[-1]


def test_a_model_that_gives_no_number_is_an_error_and_no_report(run, other, tmp_path, monkeypatch, capsys):
    original = Heads.logits
    monkeypatch.setattr(Heads, "logits", lambda heads, features: np.nan * original(heads, features))
    code, report = evaluate(run, other, tmp_path)
    assert (code, report) == (2, None)
    assert "the model gave no number for 12 images, such as 'covid/" in capsys.readouterr().err


def test_images_of_the_training_are_left_out_and_counted(run, tmp_path, capsys):
    code, report = evaluate(run, run.dataset, tmp_path)
    trained = len(run.report["split"]["train"])
    if code == 0:
        assert report["in_training"] >= trained
    else:  # too few are left of a class: said in one line
        assert code == 2
        assert f"{trained} images were in the model's training" in capsys.readouterr().err


def test_other_classes_and_a_file_that_is_no_model_are_refused(run, tmp_path, capsys):
    data = write_noise(tmp_path / "data", {"cat": 2, "dog": 2})
    assert evaluate(run, data, tmp_path)[0] == 2
    assert "has the classes cat, dog; expected the model's, covid, normal" in capsys.readouterr().err
    assert main(["evaluate", "-m", str(tmp_path / "none"), "-d", str(data), "-r", str(tmp_path / "e.json")]) == 2
    assert "is no file; expected a model that 'covid19 train' wrote" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("auc", "home", "words"),
    [
        (
            Metric(0.55, 0.32, 0.77),
            0.98,
            "FAILS on this data set: AUC 0.55 (0.32 to 0.77), not shown to be better than chance; 0.98",
        ),
        (Metric(0.8, 0.7, 0.88), 0.98, "WORSE on this data set than at home: AUC 0.80 (0.70 to 0.88); 0.98 at home."),
        (Metric(0.9, 0.8, 0.99), 0.95, "HOLDS on this data set: AUC 0.90 (0.80 to 0.99), not shown to be worse than at home"),
        (Metric(0.9, 0.8, 0.99), None, "BETTER THAN CHANCE on this data set: AUC 0.90 (0.80 to 0.99); nothing is known"),
    ],
)
def test_the_conclusion_on_other_data_is_one_sentence(run, auc, home, words):
    report = msgspec.convert(run.report, Report)
    test = replace(report.test, roc_auc=auc)
    internal = msgspec.convert(report.cross_validation, CrossValidationSummary, from_attributes=True)
    internal = replace(internal, roc_auc=Metric(home, home, home)) if home else None
    assert conclude_externally(test, internal).startswith(words)


def test_evaluate_takes_an_address(run, other, tmp_path):
    store = fsspec.filesystem("memory")
    for path in (path for path in other.rglob("*") if path.is_file()):
        store.pipe(f"/bucket/evaluated/{path.relative_to(other).as_posix()}", path.read_bytes())
    try:
        code, report = evaluate(run, "memory://bucket/evaluated", tmp_path)
    finally:
        store.rm("/bucket", recursive=True)
    assert code == 0
    assert report["dataset"]["root"] == "memory://bucket/evaluated"
    assert report["dataset"]["images"] == 12
