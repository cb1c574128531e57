"""The twelve steps together: what a run writes, and that the same run gives the same numbers."""

import json
import shutil

import cv2
import numpy as np
import pytest
from conftest import SHARED, run_command, settings_in, write_noise

import covid19
from covid19.errors import InputError
from covid19.images import read_picture
from covid19.train import train


def test_the_report_has_its_keys_and_they_agree(run):
    report = run.report
    assert {
        "command", "version", "created", "dataset", "split", "base", "training", "test", "timing", "environment", "notice",
    } <= report.keys()  # fmt: skip
    assert report["dataset"]["root"] == str(run.settings.dataset)
    assert report["dataset"]["classes"] == ["covid", "normal"]
    assert report["dataset"]["counts"] == {"covid": 6, "normal": 6}
    assert report["dataset"]["images"] == 12
    assert report["dataset"]["skipped"] == []
    split = report["split"]
    assert (split["test_size"], split["seed"], len(split["train"]), len(split["test"])) == (0.2, 42, 10, 2)
    assert not set(split["train"]) & set(split["test"])
    assert all((run.settings.dataset / name).is_file() for name in split["train"] + split["test"])
    assert report["base"]["name"] == "VGG16"
    assert report["base"]["weights"] == "random"
    training = report["training"]
    assert (training["epochs"], training["batch_size"], training["learning_rate"]) == (5, 8, 0.001)
    assert (training["views"], training["rotation"]) == (1, 15.0)
    assert {len(training["history"][key]) for key in ("loss", "accuracy", "val_loss", "val_accuracy")} == {5}
    test = report["test"]
    assert sum(map(sum, test["confusion_matrix"])) == 2
    for key in ("accuracy", "sensitivity", "specificity"):
        assert 0 <= test[key]["low"] <= test[key]["value"] <= test[key]["high"] <= 1
    assert report["timing"]["total"] >= report["timing"]["extract"] > 0
    assert {"python", "keras", "backend", "backend_version", "platform"} <= report["environment"].keys()
    assert report["notice"] == covid19.NOTICE


def test_the_saved_model_gives_the_reported_confusion_matrix(run):
    model, info = covid19.load_model(run.settings.model)
    matrix = np.zeros((2, 2), int)
    for name in run.report["split"]["test"]:
        pixels = read_picture(run.settings.dataset / name).pixels[None] / np.float32(255)
        matrix[info["classes"].index(name.split("/")[0]), model.predict_on_batch(pixels).argmax()] += 1
    assert matrix.tolist() == run.report["test"]["confusion_matrix"]


def test_the_plot_is_a_png_that_opens(run):
    image = cv2.imread(str(run.settings.plot))
    assert run.settings.plot.read_bytes()[:4] == b"\x89PNG"
    assert image.shape[0] > 600
    assert len(np.unique(image)) > 50


def test_the_same_run_on_a_copy_of_the_files_gives_identical_numbers(run, tmp_path):
    copy = tmp_path / "copy"
    for path in sorted(run.settings.dataset.rglob("*.*"), reverse=True):  # made in another order
        target = copy / path.relative_to(run.settings.dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    again = train(settings_in(tmp_path, copy))
    assert again["split"] == run.report["split"]
    assert again["test"] == run.report["test"]
    assert again["training"]["history"] == run.report["training"]["history"]


def test_an_unreadable_image_is_skipped_and_listed_and_the_run_goes_on(run, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(run.settings.dataset, data)
    (data / "covid" / "zero.png").touch()
    report = train(settings_in(tmp_path, data, epochs=1, views=0))
    assert report["dataset"]["skipped"] == [{"path": "covid/zero.png", "reason": "the file is empty"}]
    assert report["dataset"]["images"] == 12
    assert "skipped 'covid/zero.png': the file is empty" in capsys.readouterr().err


def test_from_continues_where_the_earlier_model_stopped_and_says_what_it_has_seen(run, tmp_path, capsys):
    report = train(settings_in(tmp_path, run.settings.dataset, start_from=run.settings.model, seed=7, epochs=1))
    seen = set(run.report["split"]["train"]) & set(report["split"]["test"])
    assert seen
    assert f"{len(seen)} of 2 test images were training images of the --from model" in capsys.readouterr().err
    assert report["training"]["from"] == str(run.settings.model)
    assert report["training"]["history"]["loss"][0] < run.report["training"]["history"]["loss"][0]


def test_three_classes_train_too(tmp_path, run):
    data = tmp_path / "data"
    shutil.copytree(run.settings.dataset, data)
    write_noise(data, {"bacteria": 3})
    report = train(settings_in(tmp_path, data, epochs=1, views=0, positive="bacteria"))
    assert np.shape(report["test"]["confusion_matrix"]) == (3, 3)
    assert report["test"]["positive"] == "bacteria"


def test_what_is_wrong_is_found_before_anything_is_written(tmp_path, run):
    settings = settings_in(tmp_path, run.settings.dataset, positive="tuberculosis")
    settings.model.write_text("the last good one")
    with pytest.raises(InputError, match="--positive 'tuberculosis' is no class"):
        train(settings)
    assert settings.model.read_text() == "the last good one"
    assert list(tmp_path.iterdir()) == [settings.model]


@pytest.mark.skipif(not (SHARED / "seed50").is_dir(), reason="the 50 real images are not here")
def test_the_main_command_works_on_the_50_real_images(tmp_path):
    entry = covid19.__path__[0] + "/../train_covid19.py"
    done = run_command(entry, "-d", SHARED / "seed50", "--weights", "random", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["dataset"]["counts"] == {"covid": 25, "normal": 25}
    assert len(report["split"]["test"]) == 10
    assert report["test"]["accuracy"]["value"] >= 0.7
    assert {path.name for path in tmp_path.iterdir()} == {"covid19.model", "metrics.json", "plot.png"}
