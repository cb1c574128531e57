"""Tables of any dialect: columns, rows and files that belong together, patients, projections, findings that are denied."""

import builtins
import zipfile

import numpy as np
import pytest
from helpers.datasets import read
from helpers.images import write_image
from openpyxl import Workbook

from covid19.core.errors import InputError
from covid19.data.columns import age_in_years
from covid19.data.dataset import choose_positive, describe_odd_positive
from covid19.data.findings import is_absence, is_covid
from covid19.data.metadata import read_metadata
from covid19.data.patients import as_number, find_patient
from covid19.data.projections import is_other, standard_projection


def table(tmp_path, text, name="metadata.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


DIALECTS = {
    "NIH": "Image Index,Finding Labels,Patient ID,Patient Age,View Position\nx/a.png,Effusion|Mass,7,058Y,PA\n",
    "MIMIC": "dicom_id,subject_id,ViewPosition,age\na,7,PA,58\n",
    "semicolons": "filename;patient;view;age\na.png;7;PA;58\n",
    "tabs": "Image\tPatientID\tProjection\tAge\na.png\t7\tPOSTERO-ANTERIOR\t58\n",
    "pipes": "image|subject|view|age\na.png|7|PA view|58\n",
    "Excel's delimiter": "sep=;\nfilename;patientid;view;age\na.png;7;PA;58\n",
    "commas in quotes": 'filename;patientid;view;age;"note, a, b"\na.png;7;PA;58;"x, y, z"\n',
    "German": "Dateiname;Patienten-ID;Projektion;Alter\na.png;7,0;PA;58\n",
    "lines of delimiters above the header": ";;;\n;;;\nfilename;patient;view;age\na.png;7;PA;58\n",
    "CheXpert": "Path,Age,Frontal/Lateral,AP/PA,patient\nset\\train\\a.png,58,Frontal,PA,7\n",
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_table_of_any_dialect_says_the_same(tmp_path, name):
    entry = read_metadata(table(tmp_path, DIALECTS[name])).of("covid/a.png")
    assert (as_number(entry.patient), entry.projection, entry.age) == ("7", "PA", "58")


def test_an_excel_workbook_is_read_and_without_its_package_refused_by_name(tmp_path, monkeypatch):
    book = Workbook()
    book.active.append(["FILE NAME", "Patient ID", "View"])
    book.active.append(["a.png", 7.0, "AP"])
    book.save(tmp_path / "table.xlsx")
    entry = read_metadata(tmp_path / "table.xlsx").of("covid/a.png")
    assert (entry.patient, entry.projection) == ("7", "AP")
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    with pytest.raises(InputError, match=r"old Excel workbook \(.xls\); save it as .xlsx or CSV"):
        read_metadata(tmp_path / "old.xls")
    (tmp_path / "bad.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="no Excel workbook"):
        read_metadata(tmp_path / "bad.xlsx")
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("openpyxl"):
            raise ModuleNotFoundError("No module named 'openpyxl'", name="openpyxl")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"table.xlsx' is an Excel workbook, .*pip install 'covid19-xray\[excel\]'"):
        read_metadata(tmp_path / "table.xlsx")


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(100_000))
    monkeypatch.setattr("covid19.data.tables.MAX_FILE_BYTES", 10_000)
    with pytest.raises(InputError, match="MB when unpacked, expected"):
        read_metadata(tmp_path / "a.xlsx")


MATCHES = {
    "a longer ending before a shorter one": (
        ["p1/s1/v1.png", "p2/s1/v1.png", "v1.png"], {"covid/p1/s1/v1.png": 0, "covid/p2/s1/v1.png": 1, "covid/v1.png": 2},
    ),
    "a row whose path goes on above the root": (["CheXpert/train/p1/v.jpg"], {"p1/v.jpg": 0, "p2/v.jpg": None}),
    "colliding names of which the table knows one": (["p1/v.png"], {"covid/p2/v.png": None, "covid/p3/v.png": None}),
    "a name alone, if only one has it": (["images/a.png"], {"covid/a.png": 0, "covid/b.png": None}),
    "a name that two rows have": (["x/a.png", "y/a.png"], {"covid/a.png": None}),
    "another extension": (["a.dcm"], {"covid/a.png": 0}),
    "no extension, and a UID": (["1.2.826.0.1", "b"], {"covid/1.2.826.0.1.dcm": 0, "covid/b.jpeg": 1}),
    "one row for two files": (["a.png", "x/b.png"], {"covid/a.png": None, "normal/a.png": None, "b.png": None, "x/b.png": 1}),
    "accented letters in two forms": (["\u00c4rm.png"], {"covid/A\u0308rm.png": 0}),
    "letters and separators": (["Images\\A.PNG"], {"covid/a.png": 0}),
}  # fmt: skip


@pytest.mark.parametrize("name", MATCHES)
def test_rows_and_files_are_matched_by_the_longest_ending(tmp_path, name):
    rows, expected = MATCHES[name]
    metadata = read_metadata(table(tmp_path, "filename,patientid\n" + "".join(f"{row},{n}\n" for n, row in enumerate(rows))))
    keys = metadata.match(expected)
    found = {file: int(metadata.entries[keys[file]].patient) if file in keys else None for file in expected}
    assert found == expected


def data_of(root, count=6):
    generator = np.random.default_rng(5)
    for label in ("covid", "normal"):
        for number in range(count):
            write_image(root / label / f"{label}{number}.png", generator.integers(0, 256, (24, 24), np.uint8))
    return root


def test_a_table_of_other_images_is_an_error_if_it_was_given_and_else_said_loudly(tmp_path):
    root = data_of(tmp_path / "data")
    text = "filename,patientid\n" + "".join(f"other{number}.png,{number}\n" for number in range(10)) + "covid0.png,3\n"
    given = table(tmp_path, text)
    with pytest.raises(InputError, match=r"only 1 of 12 images have a row in .*1 of its 11 images are here.*'other0.png'"):
        read(root, metadata=given)
    table(root, text)
    assert "only 1 of 12 images have a row" in read(root).notes[0]


def test_a_table_of_one_class_or_of_a_whole_collection_belongs_to_the_images_and_few_rows_are_said(tmp_path):
    root = data_of(tmp_path / "data")
    rows = "".join(f"covid{number}.png,{number // 2}\n" for number in range(5)) + "".join(f"more{n}.png,x\n" for n in range(90))
    dataset = read(root, metadata=table(tmp_path, f"filename,patientid\n{rows}"))
    assert len(dataset.patients()["covid"]) == 4
    assert "only 5 of 12 images have a row" in dataset.notes[0]


def test_a_table_without_a_known_column_of_patients_is_said(tmp_path):
    root = data_of(tmp_path / "data")
    table(root, "filename,wer\n" + "".join(f"{label}{n}.png,{n}\n" for label in ("covid", "normal") for n in range(6)))
    assert "no column that is known to name the patient" in read(root).notes[0]


@pytest.mark.parametrize(
    "word",
    [
        "nan",
        "N/A",
        "none",
        "REMOVED",
        "XXXXXXXX",
        "-",
        "null",
        "De-identified",
        "****",
        " ",
        "#N/A",
        "k.A.",
        "-1",
        "Anonymous^Patient",
    ],
)
def test_words_for_nobody_are_no_patient(word):
    assert find_patient("covid/a.png", word, "", "covid").rule == "none"
    assert find_patient("covid/a.dcm", "", word, "covid", is_dicom=True).rule == "none"


@pytest.mark.parametrize(("one", "other"), [("100", "100.0"), ("007", "7"), ("0", "000"), ("7", "7,0"), (" 5 ", "5")])
def test_ids_that_are_equal_as_numbers_are_one_patient(one, other):
    assert find_patient("a", one, "") == find_patient("b", other, "")


def test_ids_that_are_no_numbers_stay_as_they_are():
    assert find_patient("a", "P007", "").name != find_patient("a", "P7", "").name


def test_one_id_for_a_whole_class_is_no_patient(tmp_path):
    root = data_of(tmp_path / "data")
    rows = "".join(f"covid{n}.png,1\nnormal{n}.png,{n // 2}\n" for n in range(6))
    table(root, f"filename,patientid\n{rows}")
    dataset = read(root)
    assert {label: len(own) for label, own in dataset.patients().items()} == {"covid": 6, "normal": 3}
    assert "all images of class 'covid' of which the patient is stated have the one ID '1'" in dataset.notes[0]


@pytest.mark.parametrize(
    ("file", "label", "is_dicom", "name"),
    [
        ("normal/IM-0001-0001.jpeg", "normal", False, "name:IM-0001"),
        ("normal/images/IM-0001-0001.jpeg", "normal", False, "name:IM-0001"),
        ("train/normal/IM-0001-0001.jpeg", "normal", False, "name:IM-0001"),
        ("normal/IM-0001-0001.dcm", "normal", True, "image:normal/IM-0001-0001.dcm"),
        ("normal/Miller/IM-0001-0001.dcm", "normal", True, "name:normal/Miller"),
        ("normal/Smith/IM-0001-0001.jpg", "normal", False, "name:normal/Smith"),
        ("sick/00000013_005.png", "sick", False, "name:NIH 00000013"),
        ("train/patient00042/study2/view1_frontal.jpg", "Pneumonia", False, "name:patient 42"),
        ("files/p10/p10000032/s50414267/x.jpg", "Pneumonia", False, "name:patient 10000032"),
        ("covid/patient1/a.png", "covid", False, "name:covid patient 1"),
        ("covid/sub-02_view.png", "covid", False, "name:covid patient 2"),
        ("sub-S03044/ses-E1/x.png", "covid", False, "name:patient S03044"),
    ],
)
def test_names_tell_patients_where_folders_do_not_contradict_them(file, label, is_dicom, name):
    assert find_patient(file, "", "", label, is_dicom).name == name


@pytest.mark.parametrize(
    ("text", "standard", "other"),
    [
        *((text, "PA", False) for text in ("PA", "pa", "POSTERO-ANTERIOR", "posterior_anterior", "PA view", "XR PA chest")),
        *((text, "AP", True) for text in ("AP", "ANTERO-POSTERIOR", "Anterior posterior", "ap view")),
        ("AP Erect", "AP erect", True), ("AP_portable", "AP portable", True), ("AP semi-erect", "AP semi erect", True),
        *((text, "lateral", True) for text in ("L", "LL", "LATERAL", "RLAT", "Left lateral")),
        ("frontal", "frontal", False), ("PA/AP", "frontal", False), ("unknown", "", False), ("Axial", "Axial", True),
    ],
)  # fmt: skip
def test_projections_have_one_spelling(text, standard, other):
    assert standard_projection(text) == standard
    assert is_other(standard, "PA") is other
    assert not is_other(standard, "any")


def test_a_class_of_ap_views_alone_is_refused_with_the_flag_that_keeps_them(tmp_path):
    root = data_of(tmp_path / "data")
    table(root, "filename,view\n" + "".join(f"covid{n}.png,AP erect\n" for n in range(6)))
    with pytest.raises(InputError, match=r"'covid' has 0 usable images .*keep the 6 of another projection with --view any"):
        read(root)


COVID = (
    "COVID-19",
    "covid",
    "SARS-CoV-2",
    "Pneumonia/Viral/COVID-19",
    "COVID-19, ARDS",
    "covid positive",
    "COVID-19, no effusion",
)
NOT_COVID = (
    "NonCOVID", "non-covid", "noncovid19", "covid_negative", "COVID-19 negative", "negative for COVID-19", "No COVID",
    "COVID-free",     "covid19_neg", "COVID_0", "COVID-19 (-)", "COVID test negative", "Not Covid",
    "SARS-CoV-2 not detected", "COVID-19 -ve", "COVID-19: false", "kein COVID", "sans covid", "other than COVID-19",
)  # fmt: skip


def test_covid_that_is_denied_is_none():
    assert [text for text in COVID if not is_covid(text) or is_absence(text)] == []
    assert [text for text in NOT_COVID if is_covid(text) or not is_absence(text)] == []


def test_the_positive_class_is_never_a_denied_one_and_an_absence_is_said():
    assert choose_positive(("COVID", "NonCOVID"), None) == choose_positive(("COVID", "covid_negative"), None) == "COVID"
    assert choose_positive(("NonCOVID", "covid"), None) == "covid"
    for name in (
        "normal",
        "Negative",
        "No Finding",
        "NORMAL",
        "no_finding",
        "healthy",
        "NonCOVID",
        "Target 0",
        "0",
        "NORMAL2",
        "gesund",
    ):
        assert "--positive" in describe_odd_positive(name)
    for name in ("pneumonia", "COVID", "Abnormal", "Effusion", "unhealthy"):
        assert not describe_odd_positive(name)


def test_ages_have_units():
    assert [age_in_years(text) for text in ("058Y", "58", "006M", "old", "")] == ["58", "58", "0.50", "old", ""]
