"""Asking a saved model: what is answered, for which files, and how it is written."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import shutil
import stat
import struct
import subprocess
import sys
import termios
import unicodedata
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import cv2
import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from helpers.corpus import dicom
from helpers.datasets import read_records
from helpers.images import write_image
from helpers.paths import PROJECT
from helpers.serving import ABOUT

import covid19
from covid19.cli.main import main
from covid19.data.duplicates import perceptual_hash
from covid19.data.images import read_picture
from covid19.inference.about import describe_decision
from covid19.inference.answer import Answer
from covid19.inference.heatmaps import OVERLAY_ENDING, overlay
from covid19.inference.output_files import output_names
from covid19.inference.predictor import Predictor
from covid19.inference.reading import InputImage, read_image
from covid19.inference.writers import CsvWriter, JsonWriter, TextWriter
from covid19.model.head import Heads
from covid19.model.info import HIGHEST_THRESHOLD, PositiveCount
from covid19.model.novelty import NoveltyDetector
from covid19.model.shift import ShiftResult


def ask(run, *arguments):
    return main([str(word) for word in ("predict", "-m", run.model, *arguments)])


def test_json_says_what_the_model_says_and_what_is_known_of_it(run, capsys):
    assert ask(run, run.dataset / "covid", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    model, info = covid19.load_model(run.model)
    records = [record for record in read_records(run.dataset) if record.label == "covid"]
    assert [answer["file"] for answer in said["answers"]] == [str(record.path) for record in records]
    pixels = np.stack([read_picture(record.path).pixels for record in records]).astype(np.float32) / 255
    expected = model.predict_on_batch(pixels)
    for answer, row in zip(said["answers"], expected, strict=True):
        assert list(answer["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-5)
        assert answer["label"] == info.classes[int(row.argmax())]
    assert said["model"]["notice"] == covid19.NOTICE
    assert said["model"]["audit"]["verdict"] == run.report["audit"]["verdict"]
    assert said["model"]["cross_validation"]["roc_auc"] == run.report["cross_validation"]["roc_auc"]


def test_an_unreadable_file_is_listed_the_rest_go_on_and_the_code_is_1(run, tmp_path, capsys):
    (tmp_path / "bad.png").write_text("no image")
    good = read_records(run.dataset)[0].path
    assert ask(run, tmp_path / "bad.png", good) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("TOO FEW: ")
    assert lines[1].startswith("Model: base with weights 'random', cross-validated accuracy")
    assert lines[2] == "covid is predicted if its probability is 0.500 or more."
    assert next(line for line in lines if "bad.png" in line).endswith("but a text file: give the image itself")
    assert next(line for line in lines if good.name in line).split()[1] in ("covid", "normal")
    assert lines[-1] == covid19.NOTICE


def test_csv_has_a_row_for_each_file(run, capsys):
    assert ask(run, run.dataset, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 12
    assert {row["notice"] for row in rows} == {covid19.NOTICE}
    assert all(float(row["probability_covid"]) + float(row["probability_normal"]) == pytest.approx(1) for row in rows)


def test_what_is_no_radiograph_gets_no_label(run, tmp_path, capsys):
    page = np.full((224, 224, 3), 255, np.uint8)
    for line in range(15, 220, 11):
        cv2.putText(page, "the quick brown fox jumps over it", (5, line), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1)
    photo = np.zeros((224, 224, 3), np.uint8)
    photo[:112], photo[112:] = (110, 170, 240), (50, 150, 40)
    cv2.circle(photo, (150, 110), 50, (220, 60, 30), -1)
    for name, picture in {"text": page, "photo": photo, "black": np.zeros_like(page)}.items():
        write_image(tmp_path / f"{name}.png", picture)
    assert ask(run, tmp_path, "--json") == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert len(answers) == 3
    assert {answer["label"] for answer in answers} == {""}
    assert all(answer["problem"].startswith("not like a frontal chest X-ray: ") for answer in answers)
    assert {answer["heat_on_lungs"] for answer in answers} == {None}
    assert [answer["probabilities"] for answer in answers] == [{}, {}, {}]
    for form in ((), ("--csv",)):
        assert ask(run, tmp_path, *form, "--heatmaps", run.model.parent / "no heat") == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if ".png" in line]
        assert len(lines) == 3
        assert not [line for line in lines if re.search(r"\b[01]\.\d\d\d", line.split("not like")[0].partition(".png")[2])]
    assert not list((run.model.parent / "no heat").iterdir())


def test_an_image_that_the_model_was_trained_on_is_marked_also_when_it_was_saved_again(run, tmp_path, capsys):
    trained_on = covid19.load_model(run.model).info.trained_on
    known, new = (
        [one.path for one in read_records(run.dataset) if (one.digest in trained_on) is wanted] for wanted in (True, False)
    )
    resaved = tmp_path / "resaved.jpg"
    cv2.imwrite(str(resaved), cv2.imread(str(known[0])), [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert ask(run, known[0], resaved, new[0], "--json") == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [answer["training_image"] for answer in answers] == ["same file", "near-duplicate", ""]
    assert ask(run, known[0], new[0]) == 0
    trained, fresh = (line for line in capsys.readouterr().out.splitlines() if ".png" in line)
    assert trained.endswith("the model was trained on this very file: what it says of it means nothing")
    assert "trained" not in fresh


def test_the_threshold_is_in_every_form_of_the_answer(run, capsys):
    predictor = Predictor(run.model)
    predictor.info = replace(predictor.info, threshold=0.855)
    about = predictor.about()
    assert about["threshold"] == 0.855
    answer = Answer("x.png", "normal", {"covid": 0.8, "normal": 0.2}, 1.0, "")
    for writer in (TextWriter, JsonWriter, CsvWriter):
        form = writer(predictor.classes, about, ["x.png"])
        form.begin()
        form.answer(answer)
        form.end(None, None)
        assert "0.855" in capsys.readouterr().out
    assert describe_decision(replace(predictor.info, threshold=None)).endswith("0.500 or more.")
    assert "never predicted" in describe_decision(replace(predictor.info, threshold=HIGHEST_THRESHOLD))


def test_labels_are_withheld_everywhere(run, capsys):
    for form in ("--json", "--csv"):
        assert ask(run, run.dataset / "covid", form, "--withhold-labels") == 0
        text = capsys.readouterr().out
        assert text.count("the label is withheld") == 6
        assert '"covid": 0' not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(row["label"], row["probability_covid"], row["heat_on_lungs"]) for row in rows} == {("", "", "")}


def test_withheld_labels_are_not_told_by_their_number(run, capsys, monkeypatch):
    found = ShiftResult(
        20, 0.001, PositiveCount(20, 20), None, 0.001, True, "They differ.", "They differ (covid for 20 of 20)."
    )
    monkeypatch.setattr(Predictor, "compare", lambda *_: found)
    for form in ((), ("--json",), ("--csv",)):
        assert ask(run, run.dataset / "covid", *form, "--withhold-labels") == 0
        text = "".join(capsys.readouterr())
        assert "They differ." in text
        assert "20 of 20" not in text
        assert form != ("--json",) or json.loads(text)["shift"]["predicted"] is None


@pytest.mark.parametrize("given", ["folders", "table"])
def test_answers_are_compared_with_the_truth_in_every_form(run, tmp_path, capsys, given):
    trained_on = covid19.load_model(run.model).info.trained_on
    records = read_records(run.dataset)
    truth = "folders"
    if given == "table":
        truth = tmp_path / "labels.csv"
        truth.write_text("file,class\n" + "".join(f"{record.name},{record.label}\n" for record in records))
    assert ask(run, run.dataset, "--labels", truth, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    labels = {answer["file"]: answer["label"] for answer in told["answers"]}
    new = [record for record in records if record.digest not in trained_on]
    counted = {name: dict.fromkeys(("covid", "normal", ""), 0) for name in ("covid", "normal")}
    for record in new:
        counted[record.label][labels[str(record.path)]] += 1
    found = told["comparison"]
    assert {name: row | {"": found["no_label"][name]} for name, row in found["confusion_matrix"].items()} == counted
    assert found["training_images"] == 12 - len(new)
    assert (found["status"], found["verdict"]) == (told["model"]["status"], told["model"]["verdict"])
    assert ask(run, run.dataset, "--labels", truth) == 0
    text = capsys.readouterr().out
    assert ask(run, run.dataset, "--labels", truth, "--csv") == 0
    table, told_beside = capsys.readouterr()
    for part in (text, told_beside):
        assert re.search(r"TOO FEW: .*\nCompared with the true classes from .*\nconfusion matrix", part)
    assert len(list(csv.DictReader(io.StringIO(table)))) == 12
    assert ask(run, run.dataset, "--json") == 0
    assert json.loads(capsys.readouterr().out)["comparison"] is None


def on_terminal(*arguments):
    """What a terminal of 120 columns is sent by a command."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "covid19", *map(str, arguments)]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        received = b""
        with suppress(OSError):  # which is how a terminal ends
            while piece := os.read(ours, 1 << 16):
                received += piece
    os.close(ours)
    return received.decode()


def test_lines_and_a_progress_bar_never_stand_in_one_line(run):
    # Each carriage return begins a line anew, and a bar is wiped with spaces before anything else is written.
    lines = [
        line.split("\r") for line in on_terminal("predict", "-m", run.model, run.dataset).replace("\r\n", "\n").split("\n")
    ]
    assert lines[0][0].startswith(f"Loading {run.model}"[:100])
    assert any("Predicting" in part for line in lines for part in line)
    assert sum(".png" in part for line in lines for part in line) == 12
    for line in lines:
        for before, part in pairwise(line):
            assert not ("Predicting" in before and ".png" in part)
        assert not [part for part in line if "Predicting" in part and ".png" in part]


def test_features_too_large_for_the_files_type_are_kept_as_its_largest_value():
    features = np.array([[1e6, 1.0], [-1e6, 2.0], [0.5, 3.0]], np.float32)
    detector = NoveltyDetector(features, np.arange(3))
    kept = detector.arrays()["features"]
    np.testing.assert_array_equal(kept, np.array([[65504, 1], [-65504, 2], [0.5, 3]], np.float16))
    assert np.isfinite(detector.percentile(features)).all()


def test_the_percentile_is_that_of_the_training_images():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 512)).astype(np.float32)
    known = NoveltyDetector(features, np.arange(200))
    same = known.percentile(generator.normal(size=(2000, 512)).astype(np.float32))
    assert (same > 99).mean() < 0.03
    assert 40 < np.median(same) < 60
    assert (known.percentile(5 + features) > 99).all()
    again = NoveltyDetector(*known.arrays().values())
    np.testing.assert_allclose(again.percentile(features), known.percentile(features), atol=1e-6)


def test_nobody_is_measured_by_another_image_of_himself():
    generator = np.random.default_rng(1)
    own = generator.normal(size=(40, 512))
    twice = np.concatenate([own, own + generator.normal(0, 0.01, own.shape)]).astype(np.float32)
    fresh = generator.normal(size=(100, 512)).astype(np.float32)
    assert (NoveltyDetector(twice, np.tile(np.arange(40), 2)).percentile(fresh) > 99).mean() < 0.1


def test_a_model_that_gives_no_number_gives_no_label_but_an_error_for_that_file(run, monkeypatch, capsys):
    original = Heads.probabilities

    def spoiled(heads, features):
        said = original(heads, features)
        said[1] = np.nan
        return said

    monkeypatch.setattr(Heads, "probabilities", spoiled)
    assert ask(run, run.dataset / "covid", "--json", "--heatmaps", run.model.parent / "heat") == 1
    answers = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["answers"]
    assert [answer["problem"] for answer in answers] == ["", "the model gave no number", "", "", "", ""]
    assert (answers[1]["label"], answers[1]["probabilities"], answers[1]["novelty_percentile"]) == ("", {}, None)
    assert ask(run, run.dataset / "covid", "--csv") == 1
    assert "nan" not in capsys.readouterr().out.lower()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_no_answer(run, monkeypatch, value):
    predictor = Predictor(run.model)
    maps = np.ones((2, 7, 7, 512), np.float32)
    maps[1, 0, 0, 0] = value
    monkeypatch.setattr(predictor._base, "predict_on_batch", lambda pixels: maps)
    blank = np.zeros((224, 224, 3), np.uint8)
    first, second = predictor.ask(["a", "b"], [InputImage(blank, "", perceptual_hash(blank))] * 2)
    assert (first.answer.novelty_percentile is None, second.answer.problem) == (False, "the model gave no number")
    assert (second.heat, second.features) == (None, None)


@pytest.mark.parametrize("known", [True, False], ids=["this version's file", "earlier version's file"])
def test_a_batch_of_another_brightness_is_told_by_what_the_file_knows_of_the_training_images(run, known):
    predictor, generator = Predictor(run.model), np.random.default_rng(3)
    features, looks = (generator.normal(size=(80, width)).astype(np.float32) for width in (512, 14))
    predictor._novelty_detector = NoveltyDetector(features[:60], np.arange(60), looks[:60] if known else None)
    alike, brighter = (np.hstack([features[60:], looks[60:] + change]) for change in (0, 3))
    assert not predictor.compare(alike, PositiveCount(0, 0)).shifted
    assert predictor.compare(brighter, PositiveCount(0, 0)).shifted is known
    assert predictor.compare(np.array([], np.float32), PositiveCount(0, 0)) is None


@pytest.mark.parametrize(
    ("tags", "reason"),
    [({"BodyPartExamined": "HAND"}, "body part HAND"), ({"ViewPosition": "LL"}, "projection lateral"), ({}, "")],
)
def test_what_a_dicom_header_says_is_asked_as_in_training(run, tmp_path, tags, reason):
    def change(dataset):
        picture = cv2.imread(str(next((run.dataset / "covid").iterdir())), cv2.IMREAD_GRAYSCALE)
        dataset.Rows, dataset.Columns = picture.shape
        dataset.PixelData = picture.tobytes()
        for name, value in tags.items():
            setattr(dataset, name, value)

    (tmp_path / "a.dcm").write_bytes(dicom(change))
    ((answer, _, _),) = Predictor(run.model).ask(["a"], [read_image(tmp_path / "a.dcm")])
    assert reason in answer.problem
    assert bool(answer.label) is not bool(reason)


@pytest.mark.parametrize(
    "features",
    [np.ones((4, 512)), np.arange(4)[:, None] * np.ones(512), np.zeros((2, 512))],
    ids=["all the same", "few", "nothing"],
)
@pytest.mark.parametrize("groups", [np.arange(4), np.zeros(4, int)], ids=["patients", "one patient"])
def test_the_percentile_of_few_images_is_a_number(features, groups):
    known = NoveltyDetector(features.astype(np.float32), groups[: len(features)])
    percentiles = known.percentile(np.random.default_rng(0).random((3, 512), np.float32))
    assert ((percentiles >= 0) & (percentiles <= 100)).all()


def test_heat_maps_are_laid_over_and_names_do_not_meet(run, tmp_path):
    first = read_records(run.dataset)[0].path
    for folder in ("a", "b"):
        write_image(tmp_path / "in" / folder / "x.png", cv2.imread(str(first)))
    assert ask(run, tmp_path / "in", "--heatmaps", tmp_path / "out") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 2
    assert names[0].endswith("in_a_x_heatmap.png")
    assert cv2.imread(str(tmp_path / "out" / names[0])).shape == (448, 448, 3)


@pytest.mark.parametrize(
    "files",
    [
        ("a/b.png", "a_b.png"),
        ("x.png", "x.jpg"),
        ("x.png", "X.png"),
        ("e\u0301.png", "\u00e9.png"),
        ("../a/b.png", "a/b.png"),
        ("x" * 251 + ".png", "y" * 251 + ".png"),
        ("\u00e9" * 125 + ".png", "\u00e9" * 124 + "\udcff.png"),
        ("z/" * 300 + "x.png", "z/" * 300 + "y.png"),
    ],
)
def test_names_of_heat_maps_that_would_meet_or_are_too_long_carry_a_digest(files, tmp_path):
    names = output_names([*files, "plain/c.dcm"], OVERLAY_ENDING)
    assert names["plain/c.dcm"] == "plain_c_heatmap.png"
    assert names == output_names(["plain/c.dcm", *reversed(files)], OVERLAY_ENDING)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names.values()}) == 3
    for name in names.values():
        assert re.fullmatch(r"[^/]*_heatmap\.png", name)
        (tmp_path / name).touch()


def test_a_name_that_imitates_a_digest_meets_no_heat_map():
    names = output_names(["a/b.png", "a_b.png"], OVERLAY_ENDING)
    imitated = names["a/b.png"].removesuffix("_heatmap.png") + ".png"
    assert len(set(output_names(["a/b.png", "a_b.png", imitated], OVERLAY_ENDING).values())) == 3
    assert output_names(["../a/b.dcm"], OVERLAY_ENDING) == {"../a/b.dcm": "a_b_heatmap.png"}


def test_heat_maps_are_for_the_user_alone_and_never_replace_an_image(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(read_records(run.dataset)[0].path, tmp_path / "x.png")
    assert ask(run, "x.png", "--heatmaps", "maps") == 0
    assert stat.S_IMODE((tmp_path / "maps").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "maps" / "x_heatmap.png").stat().st_mode) == 0o600
    shutil.copyfile(tmp_path / "x.png", tmp_path / "x_heatmap.png")
    before = (tmp_path / "x_heatmap.png").read_bytes()
    assert ask(run, "x.png", "x_heatmap.png", "--heatmaps", ".") == 2
    assert "cannot write 'x_heatmap.png': it is an input of this run" in capsys.readouterr().err
    assert (tmp_path / "x_heatmap.png").read_bytes() == before
    assert ask(run, "x.png", "--heatmaps", "x.png") == 2
    assert "--heatmaps 'x.png' cannot be made (File exists)" in capsys.readouterr().err


ODD_NAMES = [
    "=1+1.png", "+cmd.png", "-2.png", "@SUM.png", "\tx.png", "\rx.png", "Zo\udceb.png",
    "\x1b[31m\x9b\x7f\n\u202e.png", "'.png",
]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_json_of_odd_names_is_valid_and_reads_back_to_them(encoding, monkeypatch):
    about = {"notice": "\x9b\U0001f600"}
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", output)
    writer = JsonWriter((), about, ODD_NAMES)
    writer.begin()
    for name in ODD_NAMES:
        writer.answer(Answer(name, "", {}, None, name))
    writer.end(None, None)
    text = output.buffer.getvalue().decode()
    assert [answer["file"] for answer in json.loads(text)["answers"]] == ODD_NAMES
    assert json.loads(text)["model"] == about
    assert text.replace("\n", "").isprintable()


def test_csv_of_odd_names_is_no_formula_and_no_order_to_a_terminal():
    output = io.StringIO()
    about = ABOUT | {"notice": "=n"}
    writer = CsvWriter(("-a", "=b"), about, (), output)
    writer.begin()
    for name in ODD_NAMES:
        writer.answer(Answer(name, "-a", {"-a": 1.0, "=b": 0.0}, -0.5, "=p"))
    writer.end(None, None)
    text = output.getvalue()
    assert text.replace("\n", "").isprintable()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert not [
        cell
        for row in rows
        for name, cell in row.items()
        if name != "novelty_percentile" and cell.startswith(tuple("=+-@\t\r"))
    ]
    assert rows[0]["file"] == "'=1+1.png"
    assert [row["file"] for row in rows[-3:]] == ["Zo\\udceb.png", r"\x1b[31m\x9b\x7f\n\u202e.png", "'.png"]
    assert {row["novelty_percentile"] for row in rows} == {"-0.5"}


def test_an_overlay_changes_only_where_the_model_looks():
    grey = np.full((224, 224, 3), 100, np.uint8)
    heat = np.zeros((7, 7), np.float32)
    heat[1, 1] = 2
    laid = overlay(grey, heat)
    assert (laid[300:, 300:] == 100).all()
    assert (laid[80:110, 80:110].astype(int) != 100).any()
    np.testing.assert_array_equal(overlay(grey, 0 * heat), np.full((448, 448, 3), 100))


def test_a_missing_path_and_a_folder_without_images_are_refused(run, tmp_path, capsys):
    assert ask(run, tmp_path / "nowhere") == 2
    assert "does not exist; expected an image or a folder of images" in capsys.readouterr().err
    assert ask(run, tmp_path) == 2
    assert "no image in" in capsys.readouterr().err


def test_a_reader_that_goes_away_gets_no_error(run):
    command = f"{sys.executable} -m covid19 predict -m {run.model} {run.dataset} | head -c 9"
    done = subprocess.run(["bash", "-c", command], cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "TOO FEW: "
    assert done.stderr == ""


def test_heat_maps_among_the_images_are_refused_since_the_next_run_would_read_them(run, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    shutil.copyfile(read_records(run.dataset)[0].path, images / "x.png")
    for folder in (images, images / "maps"):
        assert ask(run, images, "--heatmaps", folder) == 2
        assert f"--heatmaps '{folder}' lies in a folder that is read" in capsys.readouterr().err
        assert [path.name for path in images.iterdir()] == ["x.png"]
