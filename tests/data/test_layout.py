"""How data sets are laid out: classes, splits, masks, copies, system folders, and what is refused with what to give instead."""

import os
import re
import shutil
import time

import numpy as np
import pytest
from helpers.corpus import dicom, encoded
from helpers.datasets import read, reasons
from helpers.images import write_image

from covid19.core.errors import InputError
from covid19.data.gathering import LabelTable, gather
from covid19.data.joining import join_table
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
    "parts in the names of the classes' folders": (
        each("<p>_<c>/<n>.png", p=("train", "test"), c=CLASSES, n=range(2)), CLASSES, {"train": 4, "test": 4}, [],
    ),
    "parts of another language, and before a capital": (
        each("<p>/<n>.png", p=("trainCovid", "trainNormal", "Normal-validierung", "Covid-validierung"), n=range(2)),
        ("Covid", "Normal"), {"train": 4, "validation": 4}, [],
    ),
    "folders of images in a folder that is named for segmentation": (
        each("Lung Segmentation Data/<p>/<c>/<k>/1.png", p=("Train", "Test"), c=CLASSES, k=("images", "lung masks")),
        CLASSES, {"train": 2, "test": 2}, each("Lung Segmentation Data/<p>/<c>/lung masks", p=("Test", "Train"), c=CLASSES),
    ),
    "all pictures in a folder that is named for segmentation": (
        each("covid-segmentation/patient0000<p> x/<n>.png", p=(1, 2), n=range(2)), ("covid-segmentation",), {}, [],
    ),
    "masks in other languages": (
        each("<c>/<k>/<n>.png", c=CLASSES, k=("Bilder", "Masken"), n=range(2)), CLASSES, {}, each("<c>/Masken", c=CLASSES),
    ),
    "masks by their beginning and by other endings": (
        [*each("COVID/<n>.png", n=("a", "mask_a", "a-lungmask", "a.mask")), *each("Normal/<n>.png", n=("b", "b_left_mask"))],
        CLASSES, {}, ["COVID", "Normal"],
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


def test_many_folders_take_a_time_that_grows_with_their_number():
    names = each("<c>/p<n>/<k>/1.png", c=CLASSES, n=range(5000), k=("images", "masks"))
    start = time.monotonic()
    layout = find_layout(names, [], "data")
    assert len(layout.places) == len(layout.skipped) == 10_000
    assert time.monotonic() - start < 20  # to compare each folder with each other one takes minutes


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
    (root / "odd.bin").write_bytes(bytes(range(9)))
    (root / "README.md").write_text("hello")
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
        ".": "1 file that is no picture (.bin 1)",
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
    "sources around the classes": (
        each("<s>/<c>/<c><s><n>.png", s=("Site A", "Site B"), c=CLASSES, n=range(2)), {},
        r"class folders .*\(Site A, Site B\) all hold the folders COVID, Normal, which look like the classes.*Site A'",
    ),
    "sources around parts around the classes": (
        each("<s>/<p>/<c>/<c><s><p>.png", s=("Site A", "Site B"), p=("train", "test"), c=CLASSES), {}, "all hold the folders",
    ),
    "CheXpert with its table": (
        LAYOUTS["CheXpert"][0], {"train.csv": CHEXPERT}, r"--labels '.*train.csv' --label-column NAME \(it has: Path, Sex",
    ),
    "RSNA with its table": (
        LAYOUTS["RSNA"][0], {"labels.csv": "patientId,x,Target\n"}, r"--label-column 'Target' --path-column NAME",
    ),
    "nothing but masks": (each("<c>/<n>.png", c=("mask", "no_mask"), n=range(2)), {}, r"taken for masks: mask, no_mask"),
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
        ["train/x y.png", "test/b.png", "test/c.png", "train/c.png"],
        "1 x y.png positive ricord\n2 b.png negative rsna\n3 c.png negative rsna\n", {}, {"negative": 1, "positive": 1},
        {f"{part}/c.png": "no row of its own" for part in ("train", "test")},
    ),
    "RSNA": (
        each("stage_2_train_images/id-<n>.dcm", n=range(4)),
        "patientId,x,Target\nid-0,5,1\nid-0,9,1\nid-1,,0\nid-2,3,1\nid-3,,0\n",
        {"path_column": "patientId"}, {"Target 0": 2, "Target 1": 2}, {},
    ),
    "a row for each finding, as in VinDr": (
        each("<n>.png", n="abcd"),
        "image_id,class_name\na,Mass\na,Effusion\nb,No finding\nb,No finding\nc,Effusion\nd,No finding\nd,Mass\n",
        {"positive": "Mass"}, {"Effusion": 1, "Mass": 1, "No finding": 1}, {"d.png": "contradict each other (Mass, No"},
    ),
    "yes and no in other words, and words for nothing": (
        each("<n>.png", n="abcdef"), "Datei;COVID\na;ja\nb;nein\nc;1,0\nd;0.00\ne;n/a\nf;\n", {"label_column": "COVID"},
        {"COVID": 2, "no COVID": 2}, {"e.png": "no label in its row ('n/a')", "f.png": "no label in its row"},
    ),
    "raters who disagree": (
        each("<n>.png", n="abc"), "image,Pneumonia\na,1\na,0\nb,1\nb,1\nc,0\n", {"label_column": "Pneumonia"},
        {"Pneumonia": 1, "no Pneumonia": 1}, {"a.png": "rows that contradict each other"},
    ),
    "a list of two columns": (["a.png", "b.png"], "a.png COVID\nb.png Normal\n", {}, {"COVID": 1, "Normal": 1}, {}),
    "letters of Windows in labels and names": (
        ["\u00e4.png", "b.png"], b"Datei;Befund\n\xe4.png;best\xe4tigt\nb.png;gesund\n".decode("utf-8", "surrogateescape"), {},
        {"best\u00e4tigt": 1, "gesund": 1}, {},
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
    table.write_text(text, encoding="utf-8", errors="surrogateescape")
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


def test_images_of_one_name_in_two_parts_have_the_labels_of_their_own_part(tmp_path):
    root = noise(tmp_path / "data", each("<p>/<n>.png", p=("train", "val"), n=(1, 2)))
    (tmp_path / "train.txt").write_text("p1 1.png sick x\np2 2.png well x\n")
    (tmp_path / "val.txt").write_text("p3 1.png well x\np4 2.png sick x\n")
    gathered = gather(root, LabelTable((tmp_path / "train.txt", tmp_path / "val.txt")))
    assert {image.name: (image.label, image.part) for image in gathered.images} == {
        "train/1.png": ("sick", "train"), "train/2.png": ("well", "train"),
        "val/1.png": ("well", "validation"), "val/2.png": ("sick", "validation"),
    }  # fmt: skip
    entries = join_table(gathered, None).entries
    assert [entries[name].patient for name in sorted(entries)] == ["p1", "p2", "p3", "p4"]


def test_what_is_odd_about_a_table_of_labels_is_said(tmp_path):
    root = noise(tmp_path / "data", each("<c>/<c><n>.png", c=CLASSES, n=range(2)))
    (root / "COVID" / "unknown.xyz").write_bytes(bytes(range(256)))
    (tmp_path / "labels.csv").write_text(
        "filename,finding,label,split\nCOVID0.png,COVID,1,a\nCOVID1.png,Normal,1,a\nNormal0.png,Normal,1,b\nNormal1.png,COVID,1,b\n"
    )
    gathered = gather(root, LabelTable((tmp_path / "labels.csv",)))
    assert [item.path for item in gathered.skipped] == ["COVID"]
    for words in ("column 'finding'.*also has label", "2 of 4 images lie in the folder of another class.*COVID1.png", "a, b"):
        assert any(re.search(words, note) for note in gathered.notes), words


def test_the_patients_of_a_table_beside_the_images_count_where_that_of_the_labels_has_none(tmp_path):
    root = noise(tmp_path / "data", each("<n>.png", n=range(4)))
    (tmp_path / "labels.csv").write_text("image,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(4)))
    (root / "metadata.csv").write_text("image,patient\n" + "".join(f"{n}.png,{n // 2}\n" for n in range(4)))
    gathered = gather(root, LabelTable((tmp_path / "labels.csv",)))
    assert [entry.patient for entry in join_table(gathered, None).entries.values()] == ["0", "0", "1", "1"]
    (root / "metadata.csv").write_text("a,b\n1,2\n")
    assert "no column that names the images" in join_table(gathered, None).notes[0]


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
        ("wo,label\n0.png,a\n", {}, "no column that names the image .*--path-column"),
        ("image,label\nx.png,a\ny.png,b\n", {}, r"no row of --labels .* names an image .*'x.png'.*--path-column"),
        ("image,label\n0.png,a\n1.png,a\n", {}, "gives one class, 'a'"),
        ("image,x,x\n0.png,a,b\n", {"label_column": "x"}, "has the column 'x' more than once"),
        ("<!DOCTYPE html><html>", {}, "no table but a web page: download the file again"),
    ],
)
def test_a_table_that_gives_no_classes_is_refused(tmp_path, text, options, message):
    root, table = noise(tmp_path / "data", each("<n>.png", n=range(3))), tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        gather(root, LabelTable((table,), **options))
