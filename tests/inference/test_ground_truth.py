"""Answers compared with the truth: where the true classes come from, and what the comparison says."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.images import write_image

from covid19.core.errors import InputError
from covid19.core.settings import CLASS_FOLDERS, PredictSettings
from covid19.data.dataset import list_inputs
from covid19.evaluation.metrics import grouped_roc_auc
from covid19.inference.answer import Answer
from covid19.inference.comparison import Comparer, describe_comparison
from covid19.inference.ground_truth import GroundTruth, read_ground_truth

MODEL = SimpleNamespace(classes=("covid", "normal"), positive="covid")


def answer(file, label, probability=0.5, **more):
    return Answer(file, label, {"covid": probability, "normal": 1 - probability} if label else {}, 1.0, "", **more)


def compare(truth, answers, patients=()):
    comparer = Comparer(truth, MODEL)
    headers = dict(patients)
    for given in answers:
        comparer.add(given, headers.get(given.file, ""))
    return comparer.result()


def truth_of(classes, **more):
    return GroundTruth("a table", classes, **({"patients": {}, "read_as": {}, "other_labels": {}} | more))


def write_table(path, *rows):
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def read(inputs, *, classes=MODEL.classes, **given):
    settings = PredictSettings(model=None, inputs=inputs, **given)
    info = SimpleNamespace(classes=classes, positive=classes[0])
    return read_ground_truth(settings, info, list_inputs(inputs))


@pytest.fixture
def images(tmp_path):
    """`images/covid/1.png` and so on; equal names in both folders."""
    for name in ("covid/1.png", "covid/2.png", "normal/1.png", "normal/2.png", "other/3.png"):
        write_image(tmp_path / "images" / name, np.zeros((8, 8), np.uint8))
    return tmp_path / "images"


def test_the_numbers_can_be_checked_on_paper():
    classes = {f"p{n}": "covid" for n in range(10)} | {f"n{n}": "normal" for n in range(10)} | {"t": "covid"}
    given = [answer(f"p{n}", "covid" if n < 8 else "", 0.9) for n in range(10)]
    given += [answer(f"n{n}", "normal" if n < 5 else "covid", 0.2 if n < 5 else 0.9) for n in range(10)]
    given += [answer("t", "covid", training_image="same file"), answer("unheard of", "covid"), given[0]]
    found = compare(truth_of(classes), given)
    assert found.confusion_matrix == {"covid": {"covid": 8, "normal": 0}, "normal": {"covid": 5, "normal": 5}}
    assert found.no_label == {"covid": 2, "normal": 0}
    assert (found.training_images, found.unknown, found.patients) == (1, 1, 18)
    assert found.accuracy.value == pytest.approx(13 / 18)
    assert found.sensitivity.value == 1
    assert (found.specificity.low, found.specificity.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # Wilson's
    assert found.roc_auc.value == pytest.approx(0.75)  # half of the negatives tie with the positives
    words = describe_comparison(found, "SHORTCUT", "The score needs no lungs.")
    assert words.startswith("SHORTCUT: The score needs no lungs.\nCompared with the true classes from a table:\n")
    assert re.search(r"covid +8 +0 +2\n", words)
    assert (
        "Left out of these numbers: 2 images that got no label, 1 image that the model was trained on, 1 image whose class is "
        "not known." in words
    )


def test_what_cannot_be_measured_is_undefined_and_said():
    found = compare(truth_of({"a": "covid", "b": "normal"}), [answer("a", "covid", 0.9), answer("b", "")])
    assert (found.specificity, found.roc_auc) == (None, None)
    words = describe_comparison(found, "TOO FEW", "-")
    assert "specificity: undefined: no image of another class got a label" in words
    assert "sensitivity: 1.0000  (95 % interval" in words
    nothing = compare(truth_of({"a": "covid"}), [answer("a", "")])
    assert (nothing.accuracy, nothing.sensitivity, nothing.patients) == (None, None, 0)


@pytest.mark.parametrize("told_by", ["table", "header", "name"])
def test_several_images_of_one_patient_make_the_interval_wider(told_by):
    files = [f"patient0000{n // 5}_{n}.png" if told_by == "name" else f"{n}.png" for n in range(20)]
    whose = {file: f"P{n // 5}" for n, file in enumerate(files)}
    classes = {file: "covid" if n < 10 else "normal" for n, file in enumerate(files)}
    given = [answer(file, classes[file] if n % 5 else "covid", 0.9) for n, file in enumerate(files)]
    alone = compare(truth_of({str(n): classes[file] for n, file in enumerate(files)}), [
        answer(str(n), one.label, 0.9) for n, one in enumerate(given)
    ])  # fmt: skip
    grouped = compare(
        truth_of(classes, patients=whose if told_by == "table" else {}), given, whose if told_by == "header" else {}
    )
    assert (alone.patients, grouped.patients) == (20, 4)
    assert grouped.accuracy.value == alone.accuracy.value
    assert grouped.accuracy.low < alone.accuracy.low


def test_one_id_for_a_whole_class_is_no_patient():
    classes = {str(n): "covid" if n < 10 else "normal" for n in range(20)}
    found = compare(truth_of(classes, patients=dict.fromkeys(classes, "7")), [answer(file, "covid", 0.9) for file in classes])
    assert found.patients == 20


def test_the_auc_of_patients_with_images_of_both_classes_has_an_interval():
    scores, positive = np.array([0.9, 0.1, 0.8, 0.3, 0.2, 0.4]), np.array([1, 0, 1, 0, 0, 1], bool)
    for groups in ([0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 3, 4], [0] * 6, range(6)):
        found = grouped_roc_auc(scores, positive, list(groups))
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_true_classes_are_the_folders_from_the_given_path_on(images, monkeypatch):
    by_name = {f"{images}/{name}/{n}.png": name for name in ("covid", "normal") for n in (1, 2)}
    folders = {"labels": (CLASS_FOLDERS,)}
    assert read([images], **folders).classes == by_name
    assert read([images / "covid"], **folders).classes == {file: own for file, own in by_name.items() if own == "covid"}
    assert read([images / "normal" / "1.png"], **folders).classes == {f"{images}/normal/1.png": "normal"}
    monkeypatch.chdir(images / "covid")
    assert set(read([Path()], **folders).classes.values()) == {"covid"}


def test_what_lies_above_the_given_path_and_a_folder_of_masks_say_nothing(tmp_path):
    project = tmp_path / "covid"
    for name in ("set/Normal/1.png", "set/NORMAL/masks/1.png", "set/unsorted/1.png"):
        write_image(project / name, np.zeros((8, 8), np.uint8))
    assert read([project / "set"], labels=(CLASS_FOLDERS,)).classes == {f"{project}/set/Normal/1.png": "normal"}


def test_a_table_names_files_by_path_or_by_name(images, tmp_path):
    rows = ("Label,File,Patient ID", "covid,covid/1.png,a", "normal,normal/1.png,b", "covid,9.png,c", "normal,3.png,d")
    table = write_table(tmp_path / "labels.csv", *rows)
    found = read([images], labels=(table,))
    assert found.classes == {
        f"{images}/covid/1.png": "covid", f"{images}/normal/1.png": "normal", f"{images}/other/3.png": "normal",
    }  # fmt: skip
    assert found.patients[f"{images}/other/3.png"] == "d"
    # The whole path counts, however short it was given.
    assert read([images / "normal" / "1.png"], labels=(table,)).classes == {f"{images}/normal/1.png": "normal"}


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [
        (
            "filename,finding",
            ("1.png,Pneumonia/Viral/COVID-19", "2.png,No Finding", "3.png,Tuberculosis"),
            ["covid", "normal", ""],
        ),
        ("Image Index|Finding Labels", ("1.png|COVID", "2.png|NORMAL", "3.png|Effusion"), ["covid", "normal", ""]),
        ("file,covid", ("1.png,1", "2.png,0", "3.png,-1"), ["covid", "normal", ""]),
        ("file,label", ("1.png,covid|Effusion", "2.png,Non-COVID", "3.png,"), ["covid", "normal", ""]),
    ],
)
def test_other_words_for_the_classes_are_read_as_them_and_said(tmp_path, columns, rows, expected):
    table = write_table(tmp_path / "labels.csv", columns, *rows)
    for name in ("1.png", "2.png", "3.png"):
        write_image(tmp_path / "in" / name, np.zeros((8, 8), np.uint8))
    given = {"label_column": "covid"} if columns == "file,covid" else {}
    found = read([tmp_path / "in"], labels=(table,), **given)
    assert [found.classes.get(f"{tmp_path}/in/{n}.png", "") for n in (1, 2, 3)] == expected
    words = describe_comparison(compare(found, [answer(file, "covid") for file in list_inputs([tmp_path / "in"])]), "", "")
    for label, meant in found.read_as.items():
        assert f"'{label}' as {meant}" in words
    for label in found.other_labels:
        assert f"1 image of '{label}', which is no class of the model" in words


@pytest.mark.parametrize(
    ("rows", "flags", "reason"),
    [
        (("finding\n1.png",), {}, "has no column that names the image"),
        (("file,shade", "1.png,covid"), {}, "has no column that is known to hold labels"),
        (("file,label", "1.png,covid"), {"label_column": "class"}, "has no column 'class'"),
        (("file,label", "1.png,pneumonia"), {}, "labels found: pneumonia); expected covid, normal"),
        (("file,label", "9.png,covid"), {}, "labels found: none); expected covid, normal"),
        (("file,label", "1.png," + "x" * 2_000_000), {}, "cannot be read"),
        (("file,label", "1.png,covid"), {"withhold_labels": True}, "--withhold-labels gives none"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(tmp_path, rows, flags, reason):
    write_image(tmp_path / "in" / "1.png", np.zeros((8, 8), np.uint8))
    table = write_table(tmp_path / "labels.csv", *rows)
    with pytest.raises(InputError, match=re.escape(reason)):
        read([tmp_path / "in"], labels=(table,), **flags)


def test_folders_and_a_table_are_not_given_together(images, tmp_path):
    for flags in ({"labels": (CLASS_FOLDERS, tmp_path / "x.csv")}, {"labels": (CLASS_FOLDERS,), "label_column": "x"}):
        with pytest.raises(InputError, match="expected one or the other"):
            read([images], **flags)
    with pytest.raises(InputError, match=r"by the names of the folders no image is of a class .* \(labels found: none\)"):
        read([images / "other"], labels=(CLASS_FOLDERS,))
    with pytest.raises(InputError, match="expected it as well: give it with --labels"):
        read([images], label_column="x")
    assert read([images]) is None
