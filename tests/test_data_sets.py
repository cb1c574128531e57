"""Data sets as people have them, trained on by command."""

import json

import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from helpers.images import write_image

from covid19.data.build.phantoms import draw_phantom

QUICK = ("-e", 1, "--folds", 0, "--augmentations", 0, "--weights", "random", "--no-cache", "--no-audit")


def draw(path, seed, sick):
    write_image(path, draw_phantom(np.random.default_rng(seed), np.random.default_rng(seed), 96, sick=sick))


@pytest.fixture
def split(tmp_path):
    """A data set in parts, with a table of patients of whom one is in both."""
    rows = []
    for number in range(24):
        part, label = ("train", "val", "test", "test")[number % 4], ("COVID", "Normal")[number // 4 % 2]
        draw(tmp_path / "data" / part / label / f"{number}.png", number, label == "COVID")
        rows.append(f"{number}.png,{1 if number in (0, 2) else number}\n")
    (tmp_path / "data" / "metadata.csv").write_text("filename,patientid\n" + "".join(rows))
    return tmp_path / "data"


def test_a_given_split_is_kept_and_patients_that_cross_it_are_said(split, tmp_path, call_command):
    done = call_command("train", "-d", split, "--split", "given", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Keeping the split of the data: train 6, validation 6, test 12" in done.stdout
    assert "--split given: 1 of 12 test images share a patient or a duplicate with the training images" in done.stderr
    found = json.loads((tmp_path / "metrics.json").read_text())["split"]
    assert {name.partition("/")[0] for name in found["test"]} == {"test"}
    assert {name.partition("/")[0] for name in found["train"]} == {"train", "val"}
    assert (found["grouped_by"], found["patients"]["both"], found["test_size"]) == ([], 1, 0.5)


def test_by_default_the_parts_are_pooled_and_split_by_patient(split, tmp_path, call_command):
    done = call_command("train", "-d", split, *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the images come with a split (train 6, validation 6, test 12): all are pooled and split anew" in done.stderr
    found = json.loads((tmp_path / "metrics.json").read_text())["split"]
    assert found["patients"]["both"] == 0
    assert len(found["test"]) < 12


def test_labels_of_a_table_are_trained_on_and_checked(tmp_path, call_command):
    rows = []
    for number in range(12):
        draw(tmp_path / "data" / "images" / f"{number:08d}_000.png", number, number % 2 == 0)
        rows.append(f"{number:08d}_000.png,{'Pneumonia' if number % 2 == 0 else 'No Finding'},{number},PA\n")
    table = tmp_path / "Data_Entry.csv"
    table.write_text("Image Index,Finding Labels,Patient ID,View Position\n" + "".join(rows))
    refused = call_command("train", "-d", tmp_path / "data", *QUICK, cwd=tmp_path)
    assert refused.returncode == 2
    flags = ("--labels", table, "--label-column", "Finding Labels")
    done = call_command("train", "-d", tmp_path / "data", *flags, "--positive", "Pneumonia", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["dataset"]["counts"] == {"No Finding": 6, "Pneumonia": 6}
    assert report["dataset"]["patients_by_rule"] == {"metadata": 12}
    checked = call_command("check", tmp_path / "data", *flags, "--no-cache", cwd=tmp_path)
    assert "the positive class is 'No Finding', whose name says that nothing was found" in checked.stdout
