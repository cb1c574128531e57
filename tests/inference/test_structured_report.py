"""`predict --dicom-sr`: what a DICOM Structured Report says, to whom it belongs, and when there is none."""

import hashlib
import json
import shutil
import stat
import sys
from pathlib import Path

import cv2
import helpers.keras_start  # noqa: F401
import highdicom
import pydicom
import pytest
from helpers.corpus import dicom
from helpers.datasets import read_records
from helpers.serving import ABOUT
from pydicom.uid import generate_uid

import covid19
from covid19.cli.main import main
from covid19.core.errors import InputError
from covid19.data.dicom_identity import OTHERS, read_identity
from covid19.inference import structured_report
from covid19.inference.answer import Answer
from covid19.inference.report_folder import ReportFolder
from covid19.inference.structured_report import SCHEME, StructuredReports
from covid19.model.info import HIGHEST_THRESHOLD

SOURCE = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "SOPInstanceUID": "1.2.3.1", "StudyInstanceUID": "1.2.3.2",
    "SeriesInstanceUID": "1.2.3.3", "PatientID": "P7", "PatientName": "Müller^Jörg", "PatientBirthDate": "19500131",
    "PatientSex": "O", "AccessionNumber": "A1", "StudyDate": "20200202",
}  # fmt: skip


def film(path, picture=None, **tags):
    """A DICOM file with identifiers, of a picture in grey levels or of noise."""

    def change(dataset):
        values = SOURCE | {"SpecificCharacterSet": "ISO_IR 100", "SOPInstanceUID": generate_uid()} | tags
        for name, value in values.items():
            dataset.add(pydicom.DataElement(name, pydicom.datadict.dictionary_VR(name), value, validation_mode=0))
        if picture is not None:
            dataset.Rows, dataset.Columns = picture.shape
            dataset.PixelData = picture.tobytes()

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dicom(change))
    return path


def ask(run, *arguments):
    return main([str(word) for word in ("predict", "-m", run.model, *arguments)])


def xray(run, number=0):
    return cv2.imread(str(read_records(run.dataset)[number].path), cv2.IMREAD_GRAYSCALE)


def group_of(path):
    """The one group of measurements of a report, read by highdicom."""
    (group,) = highdicom.sr.srread(path).content.get_image_measurement_groups()
    return group


def texts_of(group):
    """Text items of a group by the value of their code."""
    items = [item for item in group[0].ContentSequence if item.ValueType == "TEXT"]
    return {item.ConceptNameCodeSequence[0].CodeValue: item.TextValue for item in items}


def predicted_of(group):
    name = highdicom.sr.CodedConcept("PREDICTED", SCHEME, "Predicted class")
    (found,) = group.get_qualitative_evaluations(name=name)
    return found.value


def numbers_of(group):
    return {found.name.meaning: found.value for found in group.get_measurements()}


def made(tmp_path, answer, about=ABOUT, source=SOURCE, model="covid19.model"):
    """The path of a report on an answer."""
    source = dict.fromkeys(OTHERS, "") | source
    report = StructuredReports(Path(model), b"content", about).make(answer, source)
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    return tmp_path / "report.dcm"


def test_a_report_says_what_was_answered_of_whose_image_by_which_model_and_for_research(run, tmp_path, capsys):
    source = pydicom.dcmread(film(tmp_path / "in" / "a.dcm", xray(run)))
    assert ask(run, tmp_path / "in", "--json", "--dicom-sr", tmp_path / "out") == 0
    told, beside = capsys.readouterr()
    (report,) = (tmp_path / "out").iterdir()
    assert report.name.endswith("_a_sr.dcm")
    assert "Wrote DICOM reports on 1 of 1 files; they name the patients." in beside
    assert (stat.S_IMODE(report.stat().st_mode), stat.S_IMODE(report.parent.stat().st_mode)) == (0o600, 0o700)
    read = pydicom.dcmread(report)
    for name in set(SOURCE) - {"SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"}:
        assert read[name].value == source[name].value
    assert read.SOPInstanceUID != source.SOPInstanceUID
    assert read.SeriesInstanceUID != source.SeriesInstanceUID
    assert (read.Modality, read.ContentQualification) == ("SR", "RESEARCH")
    assert (read.PreliminaryFlag, read.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    assert "research only" in read.SeriesDescription
    assert "AI" in read.SeriesDescription
    document = highdicom.sr.srread(report)
    assert document.get_evidence() == [
        (source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID, source.SOPClassUID)
    ]
    group = group_of(report)
    assert [image.referenced_sop_instance_uid for image in group.source_images] == [source.SOPInstanceUID]
    (answer,) = json.loads(told)["answers"]
    assert predicted_of(group).meaning == answer["label"]
    expected = {f"Probability of {name}": value for name, value in answer["probabilities"].items()}
    assert numbers_of(group) == pytest.approx(expected | {"Decision threshold": 0.5})
    texts = texts_of(group)
    assert texts["NOTICE"] == covid19.NOTICE
    assert texts["VERDICT"].startswith("TOO FEW: ")
    assert texts["DECISION"] == "covid is predicted if its probability is 0.500 or more."
    assert texts["111001"] == "covid19, model covid19.model"  # DCM, Algorithm Name
    assert texts["111003"] == covid19.__version__
    digest = hashlib.sha256(run.model.read_bytes()).hexdigest()
    assert digest == read.DeviceSerialNumber
    assert f"model SHA-256 {digest}" in [item.get("TextValue") for item in group[0].ContentSequence]


def test_where_no_label_is_given_the_report_has_no_probability_and_says_why(run, tmp_path, capsys):
    film(tmp_path / "in" / "hand.dcm", xray(run), BodyPartExamined="HAND")
    film(tmp_path / "in" / "broken.dcm", PhotometricInterpretation="NOTHING", SamplesPerPixel=7)
    assert ask(run, tmp_path / "in", "--dicom-sr", tmp_path / "out") == 1
    reports = {path.name.split("_")[-2]: path for path in (tmp_path / "out").iterdir()}
    assert set(reports) == {"hand", "broken"}
    for report in reports.values():
        group = group_of(report)
        assert predicted_of(group).meaning == "No label is given"
        assert list(numbers_of(group)) == ["Decision threshold"]
        assert texts_of(group)["REMARK"]
    assert "body part HAND" in texts_of(group_of(reports["hand"]))["REMARK"]


def test_a_file_that_is_another_patients_by_now_gets_no_report(run, tmp_path, capsys, monkeypatch):
    path = film(tmp_path / "in" / "a.dcm", xray(run))
    original = ReportFolder.add

    def swap_before(reports, answer, digest):
        film(path, xray(run), PatientID="P8")
        original(reports, answer, digest)

    monkeypatch.setattr(ReportFolder, "add", swap_before)
    assert ask(run, path, "--dicom-sr", tmp_path / "out") == 0
    assert "the file was changed after it was answered for: run again" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_no_patients_name_is_printed(run, tmp_path, capsys):
    film(tmp_path / "in" / "a.dcm", xray(run), PatientName="Bono")  # which highdicom would warn of
    assert ask(run, tmp_path / "in", "--dicom-sr", tmp_path / "out") == 0
    assert "Bono" not in "".join(capsys.readouterr())
    (report,) = (tmp_path / "out").iterdir()
    assert pydicom.dcmread(report).PatientName == "Bono"


def test_withheld_labels_are_withheld_in_reports_too(run, tmp_path):
    film(tmp_path / "in" / "a.dcm", xray(run))
    flags = ("--dicom-sr", tmp_path / "out", "--heatmaps", tmp_path / "out", "--withhold-labels")
    assert ask(run, tmp_path / "in", tmp_path / "in" / "a.dcm", *flags) == 0
    (report,) = (tmp_path / "out").iterdir()  # one, although the file was given twice, and no heat map
    group = group_of(report)
    assert predicted_of(group).meaning == "No label is given"
    assert "the label is withheld" in texts_of(group)["REMARK"]
    assert list(numbers_of(group)) == ["Decision threshold"]


def test_files_that_get_no_report_are_said_and_the_others_get_theirs(run, tmp_path, capsys):
    for number in range(2):
        film(tmp_path / "in" / f"{number}.dcm", xray(run))
        shutil.copyfile(read_records(run.dataset)[number].path, tmp_path / "in" / f"{number}.png")
    film(tmp_path / "in" / "nobody.dcm", xray(run), StudyInstanceUID="1.2.x")
    assert ask(run, tmp_path / "in", "--csv", "--dicom-sr", tmp_path / "out") == 0
    table, beside = capsys.readouterr()
    assert len(table.splitlines()) == 6
    assert [line for line in beside.splitlines() if "no DICOM report on" in line] == [
        f"warning: no DICOM report on '{tmp_path}/in/nobody.dcm': its DICOM header has no valid StudyInstanceUID",
        f"warning: no DICOM report on 2 of 5 files, which are no DICOM files, such as '{tmp_path}/in/0.png'",
    ]
    read = [pydicom.dcmread(path) for path in (tmp_path / "out").iterdir()]
    assert sorted(one.InstanceNumber for one in read) == [1, 2]
    assert len({one.SeriesInstanceUID for one in read}) == 1  # of one study
    assert len({one.SOPInstanceUID for one in read}) == 2


def test_a_report_never_replaces_an_image_and_all_appear_or_none(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "x.dcm", xray(run))
    film(tmp_path / "x_sr.dcm", xray(run))
    before = (tmp_path / "x_sr.dcm").read_bytes()
    assert ask(run, "x.dcm", "x_sr.dcm", "--dicom-sr", ".") == 2
    assert "cannot write 'x_sr.dcm': it is an input of this run" in capsys.readouterr().err
    assert ask(run, tmp_path, "--dicom-sr", tmp_path / "reports") == 2
    assert "--dicom-sr" in capsys.readouterr().err
    assert (tmp_path / "x_sr.dcm").read_bytes() == before
    original, made_so_far = StructuredReports.make, []

    def fail_at_the_second(reports, answer, source):
        made_so_far.append(answer.file)
        if len(made_so_far) == 2:
            raise OSError(28, "No space left on device")
        return original(reports, answer, source)

    monkeypatch.setattr(StructuredReports, "make", fail_at_the_second)
    assert ask(run, "x.dcm", "x_sr.dcm", "--dicom-sr", "out", "--heatmaps", "out") == 1
    assert len(made_so_far) == 2
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("threshold", [None, HIGHEST_THRESHOLD, 0.0, 1e-9])
def test_odd_names_and_numbers_read_back(tmp_path, threshold):
    classes = {"no\\rmal | é 山 " + "x" * 250: 1 - 1e-12, "NO LABEL": 1e-12}
    answer = Answer("\udceb.dcm", next(iter(classes)), classes, 3.0, "", training_image="same file")
    group = group_of(made(tmp_path, answer, ABOUT | {"threshold": threshold}, model="Zo\udceb\x1b[31m.model"))
    expected = [*classes.values()] + ([] if threshold is None else [threshold])
    assert list(numbers_of(group).values()) == pytest.approx(expected, abs=1e-15)
    assert predicted_of(group).value == f"CLASS {answer.label}".replace("\\", "/")
    assert "the model was trained on this very file" in texts_of(group)["REMARK"]
    assert texts_of(group)["111001"] == r"covid19, model Zo\udceb\x1b[31m.model"


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        ({"PatientName": "Müller^Jörg"}, "Müller^Jörg"),
        ({"PatientName": "山田^太郎", "SpecificCharacterSet": "ISO_IR 192"}, "山田^太郎"),
        ({"PatientName": "x" * 70}, ""),
        ({"PatientName": "a\x1b[31mb"}, ""),
        ({"PatientBirthDate": "20200230"}, ""),
        ({"StudyDate": "2020-01-01"}, ""),
        ({"StudyTime": "996199"}, ""),
        ({"PatientSex": "unknown"}, ""),
    ],
)
def test_what_a_header_may_not_say_is_left_out_of_a_report(tmp_path, tags, kept):
    identity = read_identity(film(tmp_path / "a.dcm", **tags)).values
    name = next(iter(tags))
    assert identity[name] == kept
    report = pydicom.dcmread(made(tmp_path, Answer("a.dcm", "", {}, None, "damaged"), source=identity))
    assert str(report[name].value or "") == kept
    assert report.PatientID == "P7"


@pytest.mark.parametrize(
    "tags",
    [
        {"SOPInstanceUID": ""}, {"SOPClassUID": "1.02.3"}, {"SeriesInstanceUID": "1.2." + "3" * 70}, {"StudyInstanceUID": "a"},
        {"PatientID": "x" * 65}, {"PatientID": ["a", "b"]}, {"PatientID": "a\tb"},
    ],
)  # fmt: skip
def test_no_report_refers_to_no_image_or_to_a_patient_whose_number_is_in_doubt(tmp_path, tags):
    (name,) = tags
    with pytest.raises(ValueError, match=f"its DICOM header has no valid {name}"):
        read_identity(film(tmp_path / "a.dcm", **tags))


def test_a_file_that_is_no_dicom_file_has_no_identity(tmp_path):
    (tmp_path / "x.dcm").write_text("no image")
    assert read_identity(tmp_path / "x.dcm") is None
    assert read_identity(tmp_path / "missing.dcm") is None


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match=r"pip install 'covid19-xray\[dicom\]'"):
        structured_report.check_packages()
