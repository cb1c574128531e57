"""The twelve steps together: what a run writes, and that the same run gives the same numbers."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from helpers.commands import run_command
from helpers.images import write_noise
from helpers.paths import SHARED
from helpers.runs import settings_in, train

import covid19
from covid19.core.errors import InputError
from covid19.data.images import read_picture


def test_the_report_has_its_keys_and_they_agree(run):
    report = run.report
    assert {
        "command", "version", "created", "dataset", "split", "base", "training", "test", "cross_validation", "timing",
        "environment", "notice",
    } <= report.keys()  # fmt: skip
    assert report["dataset"]["root"] == str(run.dataset)
    assert report["dataset"]["classes"] == ["covid", "normal"]
    assert report["dataset"]["counts"] == {"covid": 6, "normal": 6}
    assert report["dataset"]["images"] == 12
    assert report["dataset"]["skipped"] == []
    split = report["split"]
    assert (split["test_size"], split["seed"], len(split["train"]), len(split["test"])) == (0.2, 42, 10, 2)
    assert not set(split["train"]) & set(split["test"])
    assert all((run.dataset / name).is_file() for name in split["train"] + split["test"])
    assert report["base"]["name"] == "VGG16"
    assert report["base"]["weights"] == "random"
    training = report["training"]
    assert (training["epochs"], training["batch_size"], training["learning_rate"]) == (5, 8, 0.001)
    assert (training["augmentations"], training["rotation"]) == (1, 15.0)
    assert {len(training["history"][key]) for key in ("loss", "accuracy", "val_loss", "val_accuracy")} == {5}
    test = report["test"]
    assert sum(map(sum, test["confusion_matrix"])) == 2
    for key in ("accuracy", "sensitivity", "specificity"):
        assert 0 <= test[key]["low"] <= test[key]["value"] <= test[key]["high"] <= 1
    assert report["timing"]["total"] >= report["timing"]["extract"] > 0
    assert {"python", "keras", "backend", "backend_version", "platform"} <= report["environment"].keys()
    assert report["notice"] == covid19.NOTICE


def test_the_saved_model_gives_the_reported_confusion_matrix(run):
    model, info = covid19.load_model(run.model)
    matrix = np.zeros((2, 2), int)
    for name in run.report["split"]["test"]:
        pixels = read_picture(run.dataset / name).pixels[None] / np.float32(255)
        matrix[info.classes.index(name.split("/")[0]), model.predict_on_batch(pixels).argmax()] += 1
    assert matrix.tolist() == run.report["test"]["confusion_matrix"]


def test_the_plot_is_a_png_that_opens(run):
    image = cv2.imread(str(run.settings.output.plot))
    assert run.settings.output.plot.read_bytes()[:4] == b"\x89PNG"
    assert image.shape[0] > 600
    assert len(np.unique(image)) > 50


def test_the_same_run_on_a_copy_of_the_files_gives_identical_numbers(run, tmp_path):
    copy = tmp_path / "copy"
    for path in sorted(run.dataset.rglob("*.*"), reverse=True):  # made in another order
        target = copy / path.relative_to(run.dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    again = train(settings_in(tmp_path, copy))
    assert again["split"] == run.report["split"]
    assert again["test"] == run.report["test"]
    assert again["training"]["history"] == run.report["training"]["history"]


def test_an_image_that_cannot_be_read_again_is_left_out_as_if_it_never_could(run, tmp_path, monkeypatch, capsys):
    gone = run.dataset / run.report["split"]["test"][0]

    def read_all_but_one(path, run):
        if path == gone.absolute():  # which was scanned
            raise FileNotFoundError(2, "No such file or directory")
        return read_picture(path, run)

    monkeypatch.setattr("covid19.features.tasks.read_picture", read_all_but_one)
    report = train(settings_in(tmp_path, run.dataset))
    name = gone.relative_to(run.dataset).as_posix()
    assert f"warning: skipped '{name}': cannot be opened: No such file or directory" in capsys.readouterr().err
    assert report["dataset"]["skipped"] == [{"path": name, "reason": "cannot be opened: No such file or directory"}]
    assert len(report["split"]["train"]) + len(report["split"]["test"]) == 11


def test_an_unreadable_image_is_skipped_and_listed_and_the_run_goes_on(run, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(run.dataset, data)
    (data / "covid" / "zero.png").touch()
    report = train(run.settings_again(tmp_path, data, epochs=1, augmentations=0))
    assert report["dataset"]["skipped"] == [{"path": "covid/zero.png", "reason": "the file is empty"}]
    assert report["dataset"]["images"] == 12
    assert "skipped 'covid/zero.png': the file is empty" in capsys.readouterr().err


def test_from_continues_where_the_earlier_model_stopped_and_says_what_it_has_seen(run, tmp_path, capsys):
    report = train(run.settings_again(tmp_path, start_from=run.model, seed=7, epochs=1))
    seen = set(run.report["split"]["train"]) & set(report["split"]["test"])
    assert seen
    assert f"{len(seen)} of 2 test images were training images of the --from model" in capsys.readouterr().err
    assert report["training"]["from"] == str(run.model)
    assert report["training"]["history"]["loss"][0] < run.report["training"]["history"]["loss"][0]


def test_three_classes_train_too(tmp_path, run):
    data = tmp_path / "data"
    shutil.copytree(run.dataset, data)
    write_noise(data, {"bacteria": 3})
    report = train(run.settings_again(tmp_path, data, epochs=1, augmentations=0, positive="bacteria"))
    assert np.shape(report["test"]["confusion_matrix"]) == (3, 3)
    assert report["test"]["positive"] == "bacteria"


def test_a_class_whose_name_no_model_can_carry_is_refused_before_the_training(tmp_path):
    for number, name in enumerate((os.fsdecode(b"covid\xfe"), "new\nline")):
        data = write_noise(tmp_path / f"data{number}", {"normal": 2})
        write_noise(data, {"plain": 2})
        (data / "plain").rename(data / name)  # OpenCV writes to no such path
        with pytest.raises(InputError, match="has a name that is no text to print"):
            train(settings_in(tmp_path, data))
    for number in range(1001):
        (tmp_path / "many" / str(number)).mkdir(parents=True)
        (tmp_path / "many" / str(number) / "a.png").touch()
    with pytest.raises(InputError, match="holds 1001 classes; expected 1000 at most"):
        train(settings_in(tmp_path, tmp_path / "many"))


def test_what_is_wrong_is_found_before_anything_is_written(tmp_path, run):
    settings = settings_in(tmp_path, run.dataset, positive="tuberculosis")
    settings.output.model.write_text("the last good one")
    with pytest.raises(InputError, match="--positive 'tuberculosis' is no class"):
        train(settings)
    assert settings.output.model.read_text() == "the last good one"
    assert list(tmp_path.iterdir()) == [settings.output.model]


@pytest.mark.skipif(not (SHARED / "seed50").is_dir(), reason="the 50 real images are not here")
@pytest.mark.slow
def test_the_main_command_works_on_the_50_real_images(tmp_path):
    entry = covid19.__path__[0] + "/../train_covid19.py"
    done = run_command(entry, "-d", SHARED / "seed50", "--weights", "random", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["dataset"]["counts"] == {"covid": 25, "normal": 25}
    assert len(report["split"]["test"]) == 10
    assert report["test"]["accuracy"]["value"] >= 0.7
    assert {path.name for path in tmp_path.iterdir()} == {"covid19.model", "metrics.json", "metrics.html", "plot.png"}


def test_cross_validation_judges_every_image_and_its_numbers_are_in_the_report_and_the_model(run):
    cross = run.report["cross_validation"]
    counts = run.report["dataset"]["patients_by_class"]
    assert (cross["folds"], cross["repeats"], cross["grouped_by"]) == (min(5, *counts.values()), 2, ["patient", "duplicates"])
    assert len(cross["predictions"]) == len(cross["predictions"][0]["probabilities"]) * 6
    assert sum(map(sum, cross["confusion_matrix"])) == 12
    predicted = [max(one["probabilities"], key=one["probabilities"].get) for one in cross["predictions"]]
    right = sum(label == one["path"].split("/")[0] for label, one in zip(predicted, cross["predictions"], strict=True))
    assert cross["accuracy"]["value"] == right / 12
    assert len(cross["each_repeat"]) == 2
    assert cross["baselines"]["majority"]["accuracy"]["value"] == 0.5
    assert cross["baselines"]["untrained_base"] is None  # it is this run's
    assert cross["predictive_values"]["prevalence"] == 0.5
    assert not cross["predictive_values"]["given"]
    info = covid19.load_model(run.model).info
    assert vars(info.cross_validation.roc_auc) == cross["roc_auc"]
    assert info.temperature == cross["calibration"]["temperature"]
    assert info.threshold is None


def test_the_temperature_is_folded_into_the_saved_model(run, tmp_path):
    uncalibrated = train(run.settings_again(tmp_path, folds=0))
    assert uncalibrated["cross_validation"] is None
    image = read_picture(run.dataset / uncalibrated["split"]["test"][0]).pixels[None] / np.float32(255)
    sharp, tempered = (
        np.log(covid19.load_model(path).model.predict_on_batch(image))[0] for path in (tmp_path / "covid19.model", run.model)
    )
    temperature = run.report["cross_validation"]["calibration"]["temperature"]
    assert tempered[0] - tempered[1] == pytest.approx((sharp[0] - sharp[1]) / temperature, rel=1e-3)


def test_a_threshold_for_a_wanted_sensitivity_is_stored_and_used(run, tmp_path):
    report = train(run.settings_again(tmp_path, threshold="sens=0.95", prevalence=0.02))
    cross = report["cross_validation"]
    threshold = covid19.load_model(tmp_path / "covid19.model").info.threshold
    assert cross["threshold"] == report["test"]["threshold"] == threshold
    score_of = {one["path"]: one["probabilities"]["covid"] for one in cross["predictions"]}
    scores = [score_of[name] for name in report["split"]["train"] if name.startswith("covid")]
    assert min(scores) == pytest.approx(threshold)  # five of five: the lowest of them
    assert (cross["predictive_values"]["prevalence"], cross["predictive_values"]["given"]) == (0.02, True)


def test_a_threshold_without_cross_validation_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="--threshold youden is found by cross-validation"):
        train(settings_in(tmp_path, run.dataset, threshold="youden", folds=0))


@pytest.mark.skipif(not (SHARED / "ieee8023").is_dir(), reason="the real images are not here")
@pytest.mark.slow
def test_on_the_real_images_the_figure_by_patient_is_the_headline_and_the_one_by_image_is_beside_it(tmp_path, capsys):
    table = SHARED / "ieee8023" / "metadata.csv"
    cross = train(settings_in(tmp_path, SHARED / "seed50", metadata=table, epochs=25, augmentations=0, repeats=5))[
        "cross_validation"
    ]
    assert cross["by_image"]["accuracy"] == pytest.approx(0.94, abs=0.04)
    assert 0.8 <= cross["accuracy"]["value"] <= cross["by_image"]["accuracy"]
    assert "cross-validated by patient" in capsys.readouterr().out
