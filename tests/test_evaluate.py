"""External validation: the model as it is, on images that it was not trained on."""

import html
import json
import re
import shutil
import stat
from dataclasses import replace

import fsspec
import helpers.keras_start  # noqa: F401
import jsonschema
import msgspec
import numpy as np
import pytest
from helpers.browsing import assert_shown_well
from helpers.images import write_noise

from covid19.cli.main import main
from covid19.core.measures import Metric
from covid19.data.build.phantoms import write_sample
from covid19.model.head import Heads
from covid19.model.info import CrossValidationSummary
from covid19.report.external_conclusion import conclude_externally
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


def words_of(page):
    """What a page says, without its tags and figures."""
    body = re.sub("(?s)<svg.*?</svg>", "", page[page.index("<body>") :])
    return html.unescape(re.sub("<[^>]*>", " ", body))


@pytest.fixture(scope="module")
def evaluated(run, other, tmp_path_factory):
    """The folder with the report and the page of the model on the other data set."""
    folder = tmp_path_factory.mktemp("evaluated")
    assert evaluate(run, other, folder)[0] == 0
    return folder


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
    error = capsys.readouterr().err
    assert "has the classes cat, dog, but the model knows no cat, dog; expected its classes, covid, normal" in error
    assert "--map 'cat=normal'" in error
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
        (Metric(0.8, 0.7, 0.88), 0.98, "WORSE on this data set: AUC 0.80 (0.70 to 0.88), lower than at home; 0.98 at home."),
        (Metric(0.9, 0.8, 0.99), 0.95, "HOLDS on this data set: AUC 0.90 (0.80 to 0.99), not shown to be worse than at home"),
        (Metric(0.9, 0.8, 0.99), None, "BETTER THAN CHANCE on this data set: AUC 0.90 (0.80 to 0.99); nothing is known"),
    ],
)
def test_the_conclusion_on_other_data_is_one_sentence(run, auc, home, words):
    report = msgspec.convert(run.report, Report)
    test = replace(report.test, roc_auc=auc)
    internal = msgspec.convert(report.cross_validation, CrossValidationSummary, from_attributes=True)
    internal = replace(internal, roc_auc=Metric(home, home, home)) if home else None
    concluded = conclude_externally(test, internal)
    assert concluded.sentence.startswith(words)
    assert concluded.advice


def test_the_page_begins_with_the_status_and_what_to_do_beside_the_models_own_verdict(run, other, tmp_path, capsys):
    _, report = evaluate(run, other, tmp_path)
    text = html.unescape((tmp_path / "e.html").read_text(encoding="utf-8"))
    body = text[text.index("<body>") :]
    model = report["model"]
    order = [
        report["conclusion"],
        report["advice"],
        f"The model at home, {model['status']}.",
        model["verdict"],
        report["notice"],
    ]
    assert [body.index(part) for part in order] == sorted(body.index(part) for part in order)
    assert re.findall(r"<h2>(.*?)</h2>", text) == [
        "On this data set", "Does the score need the lungs here?", "At home and here", "Confusion", "Curves", "Misclassified",
        "Images", "Settings and versions",
    ]  # fmt: skip
    assert re.findall(r"<figcaption>(.*?)</figcaption>", text) == [
        "ROC curve", "Precision and recall", "Reliability", "Scores by class",
    ]  # fmt: skip
    home, here, drop = run.report["cross_validation"]["roc_auc"], report["test"]["roc_auc"], report["drop"]["roc_auc"]
    row = body[body.index("<tr><td>ROC AUC</td>") :].partition("</tr>")[0]
    assert re.findall(r">([-+]?\d\.\d{3})<", row) == [f"{home['value']:.3f}", f"{here['value']:.3f}", f"{drop:+.3f}"]
    assert sum(one["count"] for one in report["reliability"]) == 12
    output = capsys.readouterr().out
    home, here = f"At home, {model['status']}: {model['verdict']}", "On these images, "
    order = [report["conclusion"], home, here, "\nbalanced accuracy  "]
    assert [output.index(part) for part in order] == sorted(output.index(part) for part in order)
    assert not stat.S_IMODE((tmp_path / "e.html").stat().st_mode) & 0o077


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_the_page_without_a_complaint(evaluated, browser, width, scheme):
    assert_shown_well(browser, evaluated / "e.html", width, scheme)


@pytest.fixture
def one_side(other, tmp_path):
    """A function that makes a data set of images of one side alone: a folder, or a table with one label."""

    def make(label, in_table):
        root = tmp_path / "one"
        shutil.copytree(other / label, root / ("pictures" if in_table else label))
        if not in_table:
            return ["-d", root]
        names = sorted(path.name for path in (root / "pictures").iterdir())
        (tmp_path / "labels.csv").write_text("filename,label\n" + "".join(f"{name},{label}\n" for name in names))
        return ["-d", root, "--labels", tmp_path / "labels.csv"]

    return make


@pytest.mark.parametrize("in_table", [False, True])
@pytest.mark.parametrize(
    ("label", "status", "known", "unknown"),
    [("covid", "ONLY POSITIVES", "sensitivity", "specificity"), ("normal", "ONLY NEGATIVES", "specificity", "sensitivity")],
)
def test_of_one_side_alone_its_own_rate_is_told_and_nothing_else(
    run, one_side, tmp_path, capsys, label, status, known, unknown, in_table
):
    given = [str(one) for one in one_side(label, in_table)]
    assert main(["evaluate", "-m", str(run.model), *given, "-r", str(tmp_path / "e.json"), "--no-cache"]) == 0
    report = json.loads((tmp_path / "e.json").read_text(), parse_constant=pytest.fail)
    jsonschema.Draft202012Validator(json.loads((FOLDER / "evaluation.schema.json").read_text())).validate(report)
    rate, test = report["test"].pop(known), report["test"]
    right = test["confusion_matrix"][run.report["dataset"]["classes"].index(label)][["covid", "normal"].index(label)]
    assert rate["value"] == right / 6
    assert rate["low"] < rate["value"] or rate["low"] == 0
    measured = {name: value for name, value in test.items() if value not in (None, {}) and name != "precision"}
    assert measured.keys() <= {"positive", "threshold", "confusion_matrix"}
    assert (report["status"], report["audit"], report["reliability"]) == (status, None, [])
    assert report["drop"][known] == run.report["cross_validation"][known]["value"] - rate["value"]
    assert report["drop"]["roc_auc"] is None
    output = capsys.readouterr().out
    page = words_of((tmp_path / "e.html").read_text(encoding="utf-8"))
    for text in (output, page):
        assert f"{status} in this data set: {known} {rate['value']:.2f}" in text
        assert f"nothing is known of {unknown}" in text
        assert "of one side alone" in text
        here = text.replace(report["model"]["verdict"], "")
        assert not re.search(r"\bnan\b|\bAUC\b", here, re.IGNORECASE)


@pytest.mark.parametrize("tables", [False, True])
def test_classes_are_renamed_and_several_may_become_one(run, other, evaluated, tmp_path, tables):
    root = tmp_path / "renamed"
    normal = sorted((other / "normal").iterdir())
    for name, images in (("COVID-19", (other / "covid").iterdir()), ("other=1", normal[:3]), ("<i>well", normal[3:])):
        (root / name).mkdir(parents=True)
        for path in images:
            shutil.copy(path, root / name)
    more = ["--map", "COVID-19=covid", "--map", "other=1=normal", "--map", "<i>well=normal"]
    if tables:
        rows = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.rglob("*.png"))]
        (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
        more += ["--labels", tmp_path / "labels.csv"]
    plain, renamed = json.loads((evaluated / "e.json").read_text()), evaluate(run, root, tmp_path, *more)[1]
    assert renamed["dataset"]["counts"] == {"covid": 6, "normal": 6}
    assert renamed["renamed"] == {"COVID-19": "covid", "other=1": "normal", "<i>well": "normal"}
    assert renamed["test"]["confusion_matrix"] == plain["test"]["confusion_matrix"]
    assert renamed["test"]["roc_auc"]["value"] == pytest.approx(plain["test"]["roc_auc"]["value"], abs=1e-6)
    page = (tmp_path / "e.html").read_text()
    assert "normal (here: &lt;i&gt;well, other=1)" in page
    assert "<i>well" not in page


@pytest.mark.parametrize(
    ("pairs", "error"),
    [
        (["other"], "received 'other', expected a class of the data set, an equals sign and a class of the model"),
        (["=normal"], "received '=normal', expected a class of the data set"),
        (["covid="], "received 'covid=', expected a class of the data set"),
        (
            ["sick=covid"],
            "--map 'sick=covid' renames 'sick', which is no class of the data set; expected one of its classes: covid",
        ),
        (
            ["normal=well"],
            "makes 'normal' a class that the model does not know; expected one of the model's classes: covid, normal",
        ),
        (["normal=covid", "normal=normal"], "--map gives class 'normal' two names, 'covid' and 'normal'"),
    ],
)
def test_a_map_that_cannot_be_followed_is_refused(run, other, tmp_path, call_command, pairs, error):
    flags = [flag for pair in pairs for flag in ("--map", pair)]
    done = call_command("evaluate", "-m", run.model, "-d", other, "-r", tmp_path / "e.json", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert error in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "e.json").exists()


def test_a_lower_rate_at_the_models_threshold_is_told_where_the_auc_holds(run):
    report = msgspec.convert(run.report, Report)
    internal = msgspec.convert(report.cross_validation, CrossValidationSummary, from_attributes=True)
    rates = {"sensitivity": internal.sensitivity, "specificity": Metric(0.06, 0.01, 0.28)}
    test = replace(report.test, roc_auc=Metric(0.9, 0.8, 0.99), **rates)
    home = replace(internal, roc_auc=Metric(0.95, 0.9, 0.99), specificity=Metric(0.96, 0.8, 0.99))
    told = "At the model's threshold it is worse: specificity 0.06 (0.01 to 0.28), 0.96 at home."
    assert told in conclude_externally(test, home).sentence
    assert "threshold" not in conclude_externally(test, replace(home, specificity=Metric(0.2, 0.1, 0.3))).sentence


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
