"""How data sets are laid out: classes, splits, masks, copies, system folders, and what is refused with what to give instead."""

import os
import re
import shutil

import numpy as np
import pytest
from helpers.corpus import dicom, encoded
from helpers.datasets import read, reasons
from helpers.images import write_image

from covid19.core.errors import InputError
from covid19.data.gathering import LabelTable, gather
from covid19.data.layout import find_layout


def each(template, **values):
    """Names from a template, for every combination of values."""
    names = [template]
    for key, own in values.items():
        names = [name.replace(f"<{key}>", str(value)) for name in names for value in own]
    return names


CLASSES = ("COVID", "Normal")
KAGGLE = each("<p>/<c>/<c>-<p>-<n>.jpeg", p=("train", "val", "test"), c=("NORMAL", "PNEUMONIA"), n=range(3))
LAYOUTS = {
    "masks beside images": (
        each("<c>/<k>/<n>.png", c=CLASSES, k=("images", "masks"), n=range(4)), CLASSES, {}, ["COVID/masks", "Normal/masks"],
    ),
    "masks under a name of two words, in parts, in a folder of one name": (
        each("Lungs/Lungs/<p>/<c>/<k>/<p><c><n>.png", p=("Train", "Test"), c=CLASSES, k=("images", "lung masks"), n=range(2)),
        CLASSES, {"train": 4, "test": 4},
        each("Lungs/Lungs/<p>/<c>/lung masks", p=("Test", "Train"), c=CLASSES),
    ),
    "pictures named as the images beside them": (
        each("<c>/<k>/<n>.png", c=CLASSES, k=("images", "heat"), n=range(4)), CLASSES, {}, ["COVID/heat", "Normal/heat"],
    ),
    "masks in the folder of their images": (
        [*each("<c>/<n>.png", c=CLASSES, n=range(3)), "COVID/1_mask.png"], CLASSES, {}, ["COVID"],
    ),
    "a split": (KAGGLE, ("NORMAL", "PNEUMONIA"), {"train": 6, "validation": 6, "test": 6}, []),
    "a split below the classes": (
        each("<c>/<p>/<n>.png", c=CLASSES, p=("training", "testing"), n=range(2)), CLASSES, {"train": 4, "test": 4}, [],
    ),
    "a split that spells a class in two ways": (
        ["train/NORMAL/1.png", "train/SICK/2.png", "test/Normal/3.png", "test/Sick/4.png"],
        ("NORMAL", "SICK"), {"train": 2, "test": 2}, [],
    ),
    "an archive that holds its tree twice": (
        KAGGLE + [f"chest_xray/{name}" for name in KAGGLE],
        ("NORMAL", "PNEUMONIA"), {"train": 6, "validation": 6, "test": 6}, ["chest_xray"],
    ),
    "an archive in a folder": (
        [f"chest_xray/{name}" for name in KAGGLE], ("NORMAL", "PNEUMONIA"), {"train": 6, "validation": 6, "test": 6}, [],
    ),
    "numbers as classes": (each("<c>/<n>.png", c=(0, 1), n=range(2)), ("0", "1"), {}, []),
    "grades": (each("<c>/<n>.png", c=("grade1", "grade2"), n=range(2)), ("grade1", "grade2"), {}, []),
    "a class named for a test": (["pcr test/1.png", "x-ray only/2.png"], ("pcr test", "x-ray only"), {}, []),
    "files of one name in a class and a folder below": (
        ["a/1.png", "a/more/1.png", "b/1.png", "b/more/1.png"], ("a", "b"), {}, [],
    ),
    "NIH": (each("images_00<n>/images/0000000<n>_000.png", n=range(1, 4)), (), {}, []),
    "CheXpert": (
        each("<p>/patient<n>/study1/view1_frontal.jpg", p=("train", "valid"), n=("00001", "00002")),
        (), {"train": 2, "validation": 2}, [],
    ),
    "RSNA": (each("stage_2_<p>_images/<n>.dcm", p=("train", "test"), n=range(2)), (), {"train": 2, "test": 2}, []),
    "COVIDx": (each("<p>/<n>.png", p=("train", "val", "test"), n=range(2)), (), {"train": 2, "validation": 2, "test": 2}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised(name):
    names, classes, parts, left_out = LAYOUTS[name]
    layout = find_layout(names, [], "data" if "twice" not in name else "chest_xray")
    assert layout.classes == tuple(classes)
    assert layout.parts == parts
    assert sorted(item.path for item in layout.skipped) == sorted(left_out)


def noise(root, names):
    """Different small pictures under the given names."""
    generator = np.random.default_rng(3)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".dcm"):
            (root / name).write_bytes(dicom() + name.encode())
        else:
            write_image(root / name, generator.integers(0, 256, (24, 24), np.uint8))
    return root


def test_masks_are_left_out_and_counted(tmp_path):
    dataset = read(noise(tmp_path, each("<c>/<k>/<c><n>.png", c=CLASSES, k=("images", "masks"), n=range(3))))
    assert dataset.counts() == {"COVID": 3, "Normal": 3}
    assert reasons(dataset) == {"COVID/masks": "3 masks, no X-rays", "Normal/masks": "3 masks, no X-rays"}


def test_a_given_split_is_noted_on_each_record(tmp_path):
    dataset = read(noise(tmp_path, KAGGLE))
    assert {record.name.partition("/")[0]: record.part for record in dataset.records} == {
        "train": "train", "val": "validation", "test": "test",
    }  # fmt: skip
    assert gather(tmp_path).parts() == {"train": 6, "validation": 6, "test": 6}


SYSTEM = (
    "__MACOSX/covid/._0.png", "covid/.ipynb_checkpoints/0-checkpoint.png", "covid/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg",
    "covid/._1.png", "covid/Thumbs.db", ".git/x.png", "#recycle/old.png",
)  # fmt: skip


def test_what_systems_leave_behind_is_never_a_class_nor_an_image(tmp_path):
    noise(
        tmp_path, [*each("<c>/<c><n>.png", c=("covid", "normal"), n=range(2)), *(n for n in SYSTEM if n[-3:] in ("png", "jpg"))]
    )
    (tmp_path / "covid" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    dataset = read(tmp_path)
    assert dataset.counts() == {"covid": 2, "normal": 2}
    assert reasons(dataset) == {}


def test_nothing_is_passed_over_in_silence(tmp_path, monkeypatch):
    root = noise(tmp_path / "data", each("<c>/<c><n>.png", c=("covid", "normal"), n=range(2)))
    picture = encoded("JPEG")
    for number, name in enumerate(("a.jfif", "b.jpe", "c.unheard-of", "no extension")):
        (root / "covid" / name).write_bytes(picture + bytes([number]))
    (root / "covid" / "w.webp").write_bytes(encoded("WEBP"))
    (root / "covid" / "g.gif").write_bytes(encoded("GIF"))
    (root / "covid" / "h.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    (root / "covid" / "notes.txt").write_text("hello")
    (root / "covid" / "locked").mkdir()
    (root / "normal" / "elsewhere").symlink_to(tmp_path, target_is_directory=True)
    (root / "normal" / "gone").symlink_to(tmp_path / "not there")
    (root / "results").mkdir()
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("covid19.data.walk.os.scandir", refusing)
    dataset = read(root)
    covid = {record.name for record in dataset.records if record.label == "covid"}
    assert covid == {
        f"covid/{name}" for name in ("covid0.png", "covid1.png", "a.jfif", "b.jpe", "c.unheard-of", "no extension")
    }
    expected = {
        "covid/w.webp": "a WebP picture: convert it", "covid/g.gif": "a GIF picture", "covid/h.heic": "a HEIC picture",
        "covid": "1 file that is no picture", "covid/locked": "Permission denied", "normal/elsewhere": "a link to a folder",
        "normal/gone": "a link that leads nowhere", "results": "holds no image",
    }  # fmt: skip
    found = reasons(dataset)
    assert found.keys() == expected.keys()
    assert all(words in found[name] for name, words in expected.items())


@pytest.mark.parametrize("name", ["1.2.826.0.1.3680043.8.498.1", "IM000001.IMA", "IM000002", "odd.xyz"])
def test_a_dicom_file_is_one_by_its_content_whatever_its_name(tmp_path, name):
    noise(tmp_path, each("<c>/<c><n>.png", c=("covid", "normal"), n=range(2)))
    (tmp_path / "covid" / name).write_bytes(dicom())
    assert f"covid/{name}" in {record.name for record in read(tmp_path).records}


CHEXPERT = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Pneumonia\n"
REFUSED = {
    "nothing": ([], {}, "holds no class folder; expected two or more"),
    "NIH with its table": (
        LAYOUTS["NIH"][0], {"Data_Entry_2017.csv": "Image Index,Finding Labels,Patient ID\n"},
        r"no class folder .*--labels '.*Data_Entry_2017.csv' --label-column 'Finding Labels'",
    ),
    "parts without classes or tables": (LAYOUTS["COVIDx"][0], {}, r"6 images lie in test, train, val.*--labels FILE"),
    "one folder of classes": (
        each("Radiography/<c>/<n>.png", c=CLASSES, n=range(2)), {}, r"--dataset '.*Radiography' holds COVID, Normal",
    ),
    "parts beside a class": (
        ["train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png", "normal/5.png"], {},
        r"parts of a split \(test, train\) beside other folders of images \(normal\)",
    ),
    "a checkout of the collection": (
        each("<k>/<n>.png", k=("images", "docs", "figures"), n=range(3)),
        {"metadata.csv": "patientid,finding,view,filename\n1,COVID-19,PA,0.png\n"},
        r"checkout of the ieee8023 collection.*covid19 prepare NEW_FOLDER --collection",
    ),
    "most images in no class": (
        [*each("images/<n>.png", n=range(5)), "docs/a.png", "figures/b.png"], {}, "5 of 7 images in no class folder",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_layout_of_classes_is_refused_with_what_to_give(tmp_path, name):
    names, tables, message = REFUSED[name]
    for table, text in tables.items():
        (tmp_path / table).write_text(text)
    with pytest.raises(InputError, match=re.compile(message, re.DOTALL)):
        gather(noise(tmp_path, names))


NIH_FILES = each("images_00<a>/images/0000000<a>_00<n>.png", a=(1, 2), n=range(3))
LABELS = {
    "NIH": (
        NIH_FILES,
        "Image Index,Finding Labels,Patient ID\n00000001_000.png,Pneumonia,1\n00000001_001.png,Effusion,1\n"
        "00000001_002.png,Pneumonia|Effusion,1\n00000002_000.png,Pneumonia,2\n00000002_001.png,Effusion,2\n",
        {}, {"Effusion": 2, "Pneumonia": 2},
        {"images_001/images/00000001_002.png": "several labels", "images_002/images/00000002_002.png": "no row"},
    ),
    "NIH, one against the others": (
        NIH_FILES,
        "Image Index,Finding Labels\n"
        + "".join(f"{name.rpartition('/')[2]},{'A|B' if '_000' in name else 'B'}\n" for name in NIH_FILES),
        {"positive": "A"}, {"A": 2, "B": 4}, {},
    ),
    "CheXpert": (
        each("<p>/patient0000<n>/study1/view1_frontal.jpg", p=("train", "valid"), n=range(1, 4)),
        CHEXPERT + "".join(
            f"CheXpert-v1.0/{part}/patient0000{n}/study1/view1_frontal.jpg,F,60,Frontal,PA,,{value}\n"
            for part in ("train", "valid") for n, value in ((1, "1.0"), (2, "0.0"), (3, "-1.0"))
        ),
        {"label_column": "Pneumonia"}, {"Pneumonia": 2, "no Pneumonia": 2},
        {f"{part}/patient00003/study1/view1_frontal.jpg": "uncertain" for part in ("train", "valid")},
    ),
    "COVIDx's list": (
        each("<p>/<n>.png", p=("train", "test"), n=("x y", "b")),
        "1 x y.png positive ricord\n2 b.png negative rsna\n", {}, {"negative": 2, "positive": 2}, {},
    ),
    "RSNA": (
        each("stage_2_train_images/id-<n>.dcm", n=range(4)),
        "patientId,x,Target\nid-0,5,1\nid-0,9,1\nid-1,,0\nid-2,3,1\nid-3,,0\n",
        {"path_column": "patientId"}, {"Target 0": 2, "Target 1": 2}, {},
    ),
    "columns of any name, Windows's paths and another spelling": (
        each("xr/<n>.png", n=range(4)),
        "wo;was\nC:\\data\\xr\\0.png;Krank\nC:\\data\\xr\\1.png;krank\nxr\\2.png;gesund\n3;gesund\n",
        {"label_column": "was", "path_column": "wo"}, {"Krank": 2, "gesund": 2}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_labels_come_from_a_table(tmp_path, name):
    names, text, options, counts, left_out = LABELS[name]
    root, table = noise(tmp_path / "data", names), tmp_path / "labels.csv"
    table.write_text(text)
    positive = options.pop("positive", None) if "positive" in (options := dict(options)) else None
    gathered = gather(root, LabelTable((table,), **options), positive)
    assert gathered.counts() == counts
    found = {item.path: item.reason for item in gathered.skipped}
    assert found.keys() == left_out.keys()
    assert all(words in found[path] for path, words in left_out.items())


@pytest.mark.parametrize(("cell", "label"), [("0", "no Pneumonia"), ("1", "Pneumonia")])
def test_a_table_with_one_label_is_enough_to_test_a_model_on_but_not_to_train(tmp_path, cell, label):
    root, table = noise(tmp_path / "data", ["a.png", "b.png"]), tmp_path / "labels.csv"
    table.write_text(f"filename,Pneumonia\na.png,{cell}\nb.png,{cell}\n")
    given = LabelTable((table,), label_column="Pneumonia")
    assert gather(root, given, fewest_classes=1).counts() == {label: 2}
    with pytest.raises(InputError, match=f"gives one class, '{label}'.*expected two or more"):
        gather(root, given)


def test_one_class_folder_is_enough_to_test_a_model_on_and_none_is_refused(tmp_path):
    assert gather(noise(tmp_path / "one", ["covid/a.png"]), fewest_classes=1).classes == ("covid",)
    with pytest.raises(InputError, match=r"holds no class folder .*; expected one or more"):
        gather(noise(tmp_path / "none", ["a.png"]), fewest_classes=1)


def test_classes_that_become_one_keep_their_patients_apart_and_may_share_an_image(tmp_path):
    root = noise(tmp_path, ["covid/a.png", "covid/b.png", "other/patient1/x.png", "healthy/patient1/y.png", "healthy/z.png"])
    shutil.copy(root / "healthy/z.png", root / "other/z.png")
    dataset = read(root, names={"other": "normal", "healthy": "normal"})
    assert dataset.counts() == {"covid": 2, "normal": 4}
    patients = {record.name: record.patient for record in dataset.records}
    assert patients["other/patient1/x.png"] != patients["healthy/patient1/y.png"]
    assert dataset.conflicts == ()


def test_tables_and_columns_say_the_split(tmp_path):
    root = noise(tmp_path / "data", each("<n>.png", n=range(8)))
    for part, numbers in (("train", range(4)), ("test", range(4, 8))):
        (tmp_path / f"{part}_COVIDx.txt").write_text("".join(f"{n} {n}.png {'ab'[n % 2]} src\n" for n in numbers))
        (tmp_path / f"{part}.txt").write_text("".join(f"{n} {n}.png {'ab'[n % 2]} src\n" for n in numbers))
    gathered = gather(root, LabelTable((tmp_path / "train.txt", tmp_path / "test.txt")))
    assert gathered.parts() == {"train": 4, "test": 4}
    rows = "".join(f"{n}.png,{'ab'[n % 2]},{'validate' if n < 2 else 'train'}\n" for n in range(8))
    (tmp_path / "one.csv").write_text(f"image,label,split\n{rows}")
    assert gather(root, LabelTable((tmp_path / "one.csv",))).parts() == {"train": 6, "validation": 2}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("image,view\n0.png,PA\n", {}, "has no column that is known to hold labels"),
        ("image,label\n0.png,a\n", {"label_column": "nope"}, r"has no column 'nope' \(it has: image, label\)"),
        ("bild,label\n0.png,a\n", {}, "no column that names the image .*--path-column"),
        ("image,label\nx.png,a\ny.png,b\n", {}, r"gives no class to the 3 images.*--path-column"),
        ("image,label\n0.png,a\n1.png,a\n", {}, "gives one class, 'a'"),
    ],
)
def test_a_table_that_gives_no_classes_is_refused(tmp_path, text, options, message):
    root, table = noise(tmp_path / "data", each("<n>.png", n=range(3))), tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        gather(root, LabelTable((table,), **options))
