"""The collection's table in its versions."""

import pytest
from helpers.paths import SHARED

from covid19.core.errors import InputError
from covid19.data.columns import Entry
from covid19.data.findings import is_covid
from covid19.data.metadata import read_metadata


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "metadata.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "Patientid,finding,view,modality,filename,doi, url\n7,COVID-19,PA,X-ray,a.jpg,10/x,https://e.org/1\n",
        "patientid,finding,view,modality,folder,filename,doi,url\n7,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.jpg,10/x,\n",
        "PatientID , Finding,VIEW,imagename,DOI\n 7 ,COVID-19, PA ,A.JPG,10/x\n",
    ],
)
def test_every_version_gives_the_same_entry(tmp_path, text):
    entry = read_metadata(table(tmp_path, text)).of("covid/A.jpg")
    assert (entry.patient, entry.projection, entry.source) == ("7", "PA", "10/x")
    assert entry.finding == "COVID-19"


def test_names_match_without_their_folder_and_without_the_tables_missing_extension(tmp_path):
    metadata = read_metadata(table(tmp_path, "filename,patientid\nimages/x.png,1\ny,2\n"))
    assert metadata.of("covid/deep/x.png").patient == "1"
    assert metadata.of("y.jpeg").patient == "2"
    assert metadata.of("z.png") is None
    assert metadata.without_file({"covid/x.png"}) == 1


@pytest.mark.parametrize(
    ("finding", "read"),
    [("COVID-19", "COVID-19"), ("COVID-19, ARDS", "COVID-19, ARDS"), ("Pneumonia/Viral/COVID-19", "COVID-19"), ("todo", ""),
     ("Unknown", ""), ("No Finding", "No Finding"), ("Pneumonia/Bacterial/Streptococcus", "Streptococcus")],
)  # fmt: skip
def test_the_styles_of_findings(tmp_path, finding, read):
    entry = read_metadata(table(tmp_path, f'filename,finding\na.jpg,"{finding}"\n')).of("a.jpg")
    assert entry.finding == read
    assert is_covid(entry.finding) == ("COVID" in finding)


def test_rows_that_contradict_each_other_are_counted_and_only_what_they_agree_on_is_kept(tmp_path):
    text = "filename,patientid,view,doi\na.png,1,PA,x\na.png,2,PA,x\nb.png,3,PA,x\nb.png,3,PA,x\n"
    metadata = read_metadata(table(tmp_path, text))
    assert metadata.conflicts == ("a.png",)
    assert metadata.of("a.png") == Entry(projection="PA", source="x")
    assert metadata.of("b.png").patient == "3"
    assert metadata.rows == 4


def test_a_ct_slice_is_known_by_its_modality_where_the_view_does_not_say(tmp_path):
    metadata = read_metadata(table(tmp_path, "filename,view,modality\na.png,,CT\nb.png,Axial,CT\nc.png,,X-ray\n"))
    assert [metadata.of(name).projection for name in ("a.png", "b.png", "c.png")] == ["CT", "Axial", ""]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_other_encodings_ragged_rows_and_quotes_do_no_harm(tmp_path, encoding):
    text = 'filename,patientid,notes\na.png,1,"Zoë said ""ill"", then\nwent"\n\nb.png\nc.png,3,x,y,z\n,9,no file\n'
    metadata = read_metadata(table(tmp_path, text, encoding))
    assert [metadata.of(name).patient for name in ("a.png", "b.png", "c.png")] == ["1", "", "3"]
    assert metadata.rows == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,view\n1,PA\n", r"has no column that names the image \(its first line has: patient, view\)"),
        ("", r"has no column .* \(its first line has: nothing\)"),
        ('filename,x\n"' + "a\n" * 600_000 + '",1\n', r"cannot be read .*field larger than field limit"),
        ("filename,x\n" + "a" * 2_000_000 + ",1\n", r"cannot be read .*a line has more than 1000000 characters"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_metadata(table(tmp_path, text))


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read .*No such file"):
        read_metadata(tmp_path / "no.csv")


@pytest.mark.skipif(not (SHARED / "ieee8023").is_dir(), reason="the real collection is not here")
def test_the_real_table():
    metadata = read_metadata(SHARED / "ieee8023" / "metadata.csv")
    assert metadata.rows == len(metadata.entries) == 338
    assert metadata.conflicts == ()
    assert metadata.without_file({path.name for path in (SHARED / "ieee8023" / "images").iterdir()}) == 120
    assert sum(is_covid(entry.finding) for entry in metadata.entries.values()) == 274
    assert sum(entry.projection == "PA" for entry in metadata.entries.values()) == 192
