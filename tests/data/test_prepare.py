"""Building a data set from checkouts of the two collections."""

import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from types import ModuleType

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.datasets import read_records
from helpers.images import write_image
from helpers.paths import SHARED

from covid19.cli.main import main
from covid19.core.errors import InputError
from covid19.data.build.download import COLLECTION_URL, fetch_collection, fetch_kaggle
from covid19.data.same_sources import have_both_sides
from covid19.lungs.drawn import find_masks

TABLE = """patientid,age,finding,view,modality,folder,filename,doi,url,license
1,50,COVID-19,PA,X-ray,images,a.png,10/a,,CC BY
1,50,COVID-19,PA,X-ray,images,b.png,10/a,,CC BY
2,61,"COVID-19, ARDS",PA,X-ray,images,c.png,,https://www.e.org/2,
3,40,Pneumonia/Viral/COVID-19,PA,X-ray,images,d.png,10/d,,
4,40,COVID-19,AP Supine,X-ray,images,e.png,10/e,,
5,40,COVID-19,Axial,CT,images,f.png,10/f,,
6,70,SARS,PA,X-ray,images,g.png,10/g,,
7,70,No Finding,PA,X-ray,images,h.png,10/h,,
7,70,No Finding,PA,X-ray,images,i.png,10/h,,
8,70,todo,PA,X-ray,images,j.png,10/j,,
9,70,COVID-19,PA,X-ray,images,gone.png,10/k,,
"""


def write_files(folder, names):
    for number, name in enumerate(names):
        write_image(folder / name, np.random.default_rng((len(str(folder)), number)).integers(0, 256, (30, 30), np.uint8))


@pytest.fixture
def collection(tmp_path):
    folder = tmp_path / "collection"
    write_files(folder / "images", [f"{letter}.png" for letter in "abcdefghij"])
    (folder / "metadata.csv").write_text(TABLE)
    return folder


@pytest.fixture
def kaggle(tmp_path):
    folder = tmp_path / "chest_xray"
    for part in ("train", "val", "test"):
        write_files(folder / part / "NORMAL", [f"NORMAL2-IM-000{number}-0001.jpeg" for number in range(3)])
        write_files(folder / part / "PNEUMONIA", [f"person{number}_virus_{number}.jpeg" for number in range(2)])
        (folder / part / "NORMAL" / "._NORMAL2-IM-0000-0001.jpeg").write_bytes(b"left by macOS")
    return folder


def rows_of(folder):
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))


def test_the_controls_are_the_other_findings_of_the_same_collection(tmp_path, collection, capsys):
    out = tmp_path / "out"
    assert main(["prepare", str(out), "--collection", str(collection)]) == 0
    assert files(out) == [
        "covid/a.png",
        "covid/b.png",
        "covid/c.png",
        "covid/d.png",
        "other/g.png",
        "other/h.png",
        "other/i.png",
    ]
    assert (out / "covid/a.png").read_bytes() == (collection / "images/a.png").read_bytes()
    said = capsys.readouterr().out
    assert "11 rows, 1 without an image file; 10 image files, 0 without a row, 2 of another view" in said
    assert "1 without a finding; 7 remain" in said
    assert "covid: 4 images of 3 patients: COVID-19 3, COVID-19, ARDS 1" in said
    row = {row["filename"]: row for row in rows_of(out)}["c.png"]
    assert (row["patientid"], row["view"], row["source"], row["license"]) == ("2", "PA", "e.org", "")
    assert row["finding"] == "COVID-19, ARDS"
    sources = (out / "SOURCES.md").read_text()
    assert "| covid | 10/a | CC BY | 2 |" in sources
    assert "| other | 10/h | not stated | 2 |" in sources
    records = read_records(out)
    assert {record.patient for record in records} == {f"metadata:{number}" for number in (1, 2, 3, 6, 7)}
    # Each of its publications has one finding alone, and still these controls need not be advised again.
    assert have_both_sides(records, np.array([record.label == "covid" for record in records]))


def test_one_image_of_each_patient(tmp_path, collection):
    out = tmp_path / "out"
    main(["prepare", str(out), "--collection", str(collection), "--one-per-patient"])
    assert Counter(row["patientid"] for row in rows_of(out)) == dict.fromkeys("12367", 1)


@pytest.mark.parametrize(
    ("controls", "label", "kinds"),
    [("kaggle-normal", "normal", {"No Finding"}), ("kaggle-pneumonia", "pneumonia", {"Pneumonia"}),
     ("kaggle", "other", {"No Finding", "Pneumonia"})],
)  # fmt: skip
def test_as_many_controls_from_kaggle_by_the_seed(tmp_path, collection, kaggle, controls, label, kinds):
    def build(name, seed):
        flags = ["--collection", collection, "--kaggle", kaggle, "--controls", controls, "--seed", seed]
        assert main([*map(str, ("prepare", tmp_path / name, *flags))]) == 0
        return [row for row in rows_of(tmp_path / name) if row["folder"] == label]

    first, same, other = build("a", 1), build("b", 1), build("c", 2)
    assert len(first) == 4
    assert first == same
    assert first != other
    seen = first + other + build("d", 3) + build("e", 4)
    assert {row["finding"] for row in seen} == kinds
    assert {row["source"] for row in seen} == {"kaggle chest-xray-pneumonia"}
    assert {row["license"] for row in seen} == {"CC BY 4.0"}
    assert len(read_records(tmp_path / "a")) == 8


def test_files_of_one_name_in_several_folders_are_kept_apart(tmp_path, collection, kaggle):
    out = tmp_path / "out"
    for name in "klmnopq":  # enough COVID-19 images to take all nine normal ones, whose three names occur three times each
        write_files(collection / "images", [f"{name}.png"])
    (collection / "metadata.csv").write_text(
        TABLE + "".join(f"1,,COVID-19,PA,X-ray,images,{name}.png,,,\n" for name in "klmnopq")
    )
    flags = ["--collection", collection, "--kaggle", kaggle, "--controls", "kaggle-normal"]
    assert main([*map(str, ("prepare", out, *flags))]) == 0
    normal = [name for name in files(out) if name.startswith("normal/")]
    assert len(normal) == 9
    assert "normal/NORMAL2-IM-0000-0001-3.jpeg" in normal
    patients = Counter(row["patientid"] for row in rows_of(out) if row["folder"] == "normal")
    assert patients == {f"kaggle IM-000{number}": 3 for number in range(3)}


def test_links_and_the_count(tmp_path, collection):
    out = tmp_path / "out"
    main(["prepare", str(out), "--collection", str(collection), "--link", "--count", "2"])
    assert [len(list((out / label).iterdir())) for label in ("covid", "other")] == [2, 2]
    assert all(path.is_symlink() and path.resolve().parent == collection / "images" for path in (out / "covid").iterdir())


def spoil_link_out(folder):
    (folder.parent.parent / "outside.png").write_bytes(b"somebody else's")
    (folder / "bad.png").symlink_to(folder.parent.parent / "outside.png")


def spoil_folder_out(folder):
    (folder.parent.parent / "outside").mkdir()
    (folder / "bad.png").symlink_to(folder.parent.parent / "outside")


SPOILS = {
    "a device": lambda folder: (folder / "bad.png").symlink_to("/dev/zero"),
    "a pipe": lambda folder: os.mkfifo(folder / "bad.png"),
    "a folder": lambda folder: (folder / "bad.png").mkdir(),
    "a loop": lambda folder: (folder / "bad.png").symlink_to(folder / "bad.png"),
    "a link to nowhere": lambda folder: (folder / "bad.png").symlink_to("nowhere"),
    "a link out": spoil_link_out,
    "a link to a folder outside": spoil_folder_out,
    "too large": lambda folder: (folder / "bad.png").touch() or os.truncate(folder / "bad.png", (1 << 29) + 1),
}


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_only_regular_files_inside_the_collection_are_taken(tmp_path, collection, kaggle, capsys, spoil, link):
    (collection / "metadata.csv").write_text(TABLE + "1,,COVID-19,PA,X-ray,images,bad.png,,,\n")
    spoil(collection / "images")
    if "out" not in spoil.__name__:
        spoil(kaggle / "train" / "NORMAL")
    flags = ["--collection", collection, "--kaggle", kaggle, "--controls", "kaggle-normal", *(["--link"] if link else [])]
    assert main([*map(str, ("prepare", tmp_path / "out", *flags))]) == 0
    assert "bad.png" not in {path.name for path in (tmp_path / "out").rglob("*")}
    assert f"{collection / 'images'}: 1 left out: expected regular files in the collection" in capsys.readouterr().out


def test_links_inside_the_collection_are_followed(tmp_path, collection):
    (collection / "store").mkdir()
    (collection / "images" / "a.png").rename(collection / "store" / "a")
    (collection / "images" / "a.png").symlink_to("../store/a")
    assert main(["prepare", str(tmp_path / "out"), "--collection", str(collection)]) == 0
    assert (tmp_path / "out/covid/a.png").read_bytes() == (collection / "store" / "a").read_bytes()
    assert not (tmp_path / "out/covid/a.png").is_symlink()


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "nowhere"])
def test_a_table_that_is_a_link_out_of_the_collection_is_refused(tmp_path, collection, capsys, target):
    (collection / "metadata.csv").unlink()
    (collection / "metadata.csv").symlink_to(target)
    assert main(["prepare", str(tmp_path / "out"), "--collection", str(collection)]) == 2
    assert "holds no metadata.csv and images/" in capsys.readouterr().err


def test_a_file_that_grows_or_changes_its_kind_while_it_is_copied_is_refused(tmp_path, collection, monkeypatch, capsys):
    monkeypatch.setattr(
        "covid19.data.build.sources._is_inside", lambda path, collection: True
    )  # as if it had changed just afterwards
    monkeypatch.setattr("covid19.data.build.sources.MAX_FILE_BYTES", 100)
    assert main(["prepare", str(tmp_path / "out"), "--collection", str(collection)]) == 2
    assert "grows while it is copied" in capsys.readouterr().err
    (collection / "images/a.png").unlink()
    os.mkfifo(collection / "images/a.png")
    assert main(["prepare", str(tmp_path / "out"), "--collection", str(collection)]) == 1
    assert "is no regular file any more" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["collection"]


def test_names_that_are_no_text_are_found_again_and_equal_ones_get_numbers(tmp_path, collection):
    odd = os.fsdecode(b"Zo\xeb \x1b.png")
    write_files(collection / "images" / "deep", ["k.png"])
    (collection / "images" / "deep" / "k.png").rename(collection / "images" / "deep" / odd)
    shutil.copyfile(collection / "images" / "a.png", collection / "images" / "deep" / "A.png")
    with (collection / "metadata.csv").open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"12,,COVID-19,PA,X-ray,images,{odd},,,\n")
    out = tmp_path / "out"
    assert main(["prepare", str(out), "--collection", str(collection)]) == 0
    assert {"covid/a.png", "covid/A-2.png"} <= set(files(out)) or {"covid/A.png", "covid/a-2.png"} <= set(files(out))
    assert {record.patient for record in read_records(out) if record.name == f"covid/{odd}"} == {"metadata:12"}


def test_a_dry_run_writes_nothing(tmp_path, collection, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main(["prepare", str(tmp_path / "out"), "--collection", str(collection), "--dry-run"]) == 0
    assert "covid: 4 images" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["out"], "expected --collection DIR"),
        (["out", "--collection", "circle"], "holds no metadata.csv and images/; expected a checkout"),
        (["out", "--collection", "nowhere"], "holds no metadata.csv and images/; expected a checkout"),
        (["full", "--collection", "collection"], "'full' exists and is not empty; expected a new or empty folder"),
        (["out", "--collection", "collection", "--controls", "kaggle"], "expected --kaggle DIR"),
        (["out", "--collection", "collection", "--controls", "kaggle", "--kaggle", "full"], "holds no train, val or test"),
        (["out", "--collection", "collection", "--kaggle", "chest_xray"], "--kaggle is not used by --controls same-source"),
        (["no/such/out", "--collection", "collection"], "does not exist; expected the place of 'out'"),
    ],
)
def test_what_cannot_be_built_is_named_and_nothing_is_written(
    tmp_path, collection, kaggle, capsys, monkeypatch, flags, message
):
    write_files(tmp_path / "full", ["x.png"])
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["prepare", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_collection_is_cloned_with_its_images_alone(tmp_path, collection, monkeypatch):
    (collection / "volumes").mkdir()
    (collection / "volumes" / "big.nii").write_bytes(b"0")
    for command in ("init -q", "add .", "-c user.name=n -c user.email=e commit -qm m"):
        subprocess.run(["git", "-C", str(collection), *command.split()], check=True)
    redirect = {"COUNT": "2", "KEY_0": f"url.file://{collection}.insteadOf", "VALUE_0": COLLECTION_URL,
                "KEY_1": "protocol.file.allow", "VALUE_1": "always"}  # fmt: skip
    for name, value in redirect.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    folder = fetch_collection(tmp_path / "new" / "clone")
    assert len(list((folder / "images").iterdir())) == 10
    assert (folder / "metadata.csv").read_text() == TABLE
    assert not (folder / "volumes").exists()
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "nothing")
    assert fetch_collection(folder) == folder  # there already: nothing is fetched


def test_a_collection_out_of_reach_is_one_clear_line(tmp_path):
    git = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "url.http://127.0.0.1:9/.insteadOf",
        "GIT_CONFIG_VALUE_0": COLLECTION_URL,
    }
    done = run_command("-m", "covid19", "prepare", "out", "--download", cwd=tmp_path, **git)
    assert done.returncode == 2
    assert "cannot be fetched (see git's words above); expected a connection" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("reachable", [True, False])
def test_kaggles_set_comes_through_kagglehub(monkeypatch, tmp_path, reachable):
    def dataset_download(handle):
        if not reachable:
            raise ConnectionError
        return str(tmp_path / handle)

    hub, errors = ModuleType("kagglehub"), ModuleType("kagglehub.exceptions")
    hub.dataset_download = dataset_download
    for name in ("BackendError", "CredentialError", "DataCorruptionError", "NotFoundError", "UnauthenticatedError"):
        setattr(errors, name, type(name, (Exception,), {}))
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    monkeypatch.setitem(sys.modules, "kagglehub.exceptions", errors)
    if reachable:
        assert fetch_kaggle() == tmp_path / "paultimothymooney" / "chest-xray-pneumonia"
    else:
        with pytest.raises(InputError, match=r"cannot be fetched \(ConnectionError\); expected a connection"):
            fetch_kaggle()


def test_without_kagglehub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(InputError, match=r"pip install 'covid19-xray\[download\]'"):
        fetch_kaggle()


@pytest.mark.parametrize("link", [False, True])
def test_lung_masks_come_along_but_for_those_of_another_size(tmp_path, collection, capsys, link):
    masks = collection / "annotations" / "lungVAE-masks"
    write_files(masks, ["a_mask.png", "c_mask.png", "g_mask.png", "gone_mask.png", "readme.png"])
    write_image(masks / "b_mask.png", np.zeros((20, 30), np.uint8))
    out = tmp_path / "out"
    assert main(["prepare", str(out), "--collection", str(collection), *(["--link"] if link else [])]) == 0
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["a_mask.png", "c_mask.png", "g_mask.png"]
    assert (out / "masks/c_mask.png").read_bytes() == (masks / "c_mask.png").read_bytes()
    assert [path.is_symlink() for path in (out / "masks").iterdir()] == [link] * 3
    written = capsys.readouterr()
    assert f"Lung masks of the collection: covid 2 of 4, other 1 of 3; --lung-masks {out / 'masks'} uses them" in written.out
    assert f"lung mask '{masks / 'b_mask.png'}' is left out: its size is not that of its image" in written.err
    assert "the classes have these masks to a different extent" in written.err
    assert sorted(find_masks(out / "masks")) == ["a", "c", "g"]
    assert {record.label for record in read_records(out)} == {"covid", "other"}


def test_masks_of_images_that_share_a_name_keep_to_theirs(tmp_path, collection):
    masks = collection / "annotations" / "lungVAE-masks"
    write_files(masks, [f"{letter}_mask.png" for letter in "abcdgh"])
    write_files(collection / "images" / "deep", ["a.png"])
    out = tmp_path / "out"
    assert main(["prepare", str(out), "--collection", str(collection)]) == 0
    assert {"covid/a.png", "covid/a-2.png"} <= set(files(out))
    assert {"a_mask.png", "a-2_mask.png"} <= {path.name for path in (out / "masks").iterdir()}


@pytest.mark.skipif(not (SHARED / "ieee8023").is_dir(), reason="the real collection is not here")
def test_the_real_collection_gives_the_counts_of_its_table(tmp_path, capsys):
    # By hand from the table: of 338 rows 218 have their file here; of those 144 are PA X-rays: 99 COVID-19, 11 COVID-19 with
    # ARDS; 16 SARS, 9 Streptococcus, 6 Pneumocystis, and one each of ARDS, Klebsiella and No Finding.
    out = tmp_path / "out"
    assert main(["prepare", str(out), "--collection", str(SHARED / "ieee8023"), "--link"]) == 0
    findings = Counter((row["folder"], row["finding"]) for row in rows_of(out))
    assert findings == {
        ("covid", "COVID-19"): 99, ("covid", "COVID-19, ARDS"): 11, ("other", "SARS"): 16, ("other", "Streptococcus"): 9,
        ("other", "Pneumocystis"): 6, ("other", "ARDS"): 1, ("other", "Klebsiella"): 1, ("other", "No Finding"): 1,
    }  # fmt: skip
    assert len({row["patientid"] for row in rows_of(out)}) == 90
    assert "338 rows, 120 without an image file" in capsys.readouterr().out


@pytest.mark.skipif(not (SHARED / "ieee8023").is_dir(), reason="the real collection is not here")
def test_the_real_images_in_kaggles_layout(tmp_path):
    chest_xray = tmp_path / "chest_xray"
    for number, path in enumerate(sorted((SHARED / "seed50" / "normal").iterdir())):
        kind = "PNEUMONIA" if path.name.startswith("person") else "NORMAL"
        folder = chest_xray / ("train", "val", "test")[number % 3] / kind
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    counts = {}
    for controls in ("kaggle", "kaggle-normal", "kaggle-pneumonia"):
        flags = ["--collection", SHARED / "ieee8023", "--kaggle", chest_xray, "--controls", controls, "--count", 25]
        assert main([*map(str, ("prepare", tmp_path / controls, *flags))]) == 0
        counts[controls] = Counter(row["folder"] for row in rows_of(tmp_path / controls))
    assert counts == {  # the 25 are 18 of pneumonia and 7 normal ones
        "kaggle": {"covid": 25, "other": 25},
        "kaggle-normal": {"covid": 25, "normal": 7},
        "kaggle-pneumonia": {"covid": 25, "pneumonia": 18},
    }
