"""Data sets behind an address that fsspec knows, here an archive: read as a folder is."""

import shutil
import zipfile

import fsspec
import pytest
from helpers.datasets import read

from covid19.core import addresses
from covid19.core.addresses import as_path, list_files, on_disk
from covid19.core.errors import InputError
from covid19.data.dataset import list_inputs
from covid19.data.images import read_picture


@pytest.fixture(scope="module")
def archive(phantoms, tmp_path_factory):
    """The phantoms in a zip file, as an address; with a table of patients."""
    root = tmp_path_factory.mktemp("archive")
    shutil.copytree(phantoms, root / "data")
    with zipfile.ZipFile(root / "x.zip", "w") as file:
        for path in sorted((root / "data").rglob("*.*")):
            file.write(path, path.relative_to(root).as_posix())
    return f"zip://data::{root / 'x.zip'}"


def test_records_behind_an_address_are_those_of_the_folder(phantoms, archive):
    here, there = read(phantoms), read(as_path(archive))
    kept = ("name", "label", "digest", "patient", "rule", "projection", "group", "stats")
    for one, other in zip(here.records, there.records, strict=True):
        assert [getattr(one, field) for field in kept] == [getattr(other, field) for field in kept]
        assert (read_picture(other.path).pixels == read_picture(one.path).pixels).all()
    assert there.metadata["rows"] == here.metadata["rows"] == 12


def test_the_command_trains_on_an_address(archive, run, tmp_path, call_command):
    flags = ("--weights", "random", "-e", "2", "--folds", "0", "--no-cache")
    done = call_command("train", "-d", archive, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Reading 12 images of 2 classes (covid, normal) from {archive}" in done.stdout


def test_keys_with_empty_parts_are_told_apart_and_can_be_opened(phantoms):
    store = fsspec.filesystem("memory")
    images = sorted(phantoms.rglob("*.png"))
    keys = ["covid//0.png", "covid/0.png", "covid/x///0.png", "covid///0.png", "normal/0.png", "normal/x//y//0.png"]
    for key, image in zip(keys, images[:3] + images[-3:], strict=True):
        store.pipe(f"/bucket/data/{key}", image.read_bytes())
    store.pipe("/bucket/data//stray.png", images[3].read_bytes())
    try:
        dataset = read(as_path("memory://bucket/data"))
        assert {record.name: record.label for record in dataset.records} == {key: key.split("/")[0] for key in keys}
        assert len({read_picture(record.path).pixels.tobytes() for record in dataset.records}) == 6
        given = list_inputs([as_path("memory://bucket/data")])
        assert len(set(given)) == 7
        assert all(read_picture(as_path(file)).width for file in given)
    finally:
        store.rm("/bucket", recursive=True)


def test_a_copy_on_disk_goes_and_a_file_on_disk_stays(phantoms, archive):
    file = sorted(list_files(as_path(archive)))[0]
    with on_disk(file) as copy:
        assert copy.read_bytes() == file.read_bytes()
    assert not copy.exists()
    with on_disk(phantoms / "metadata.csv") as same:
        assert same == phantoms / "metadata.csv"
    assert same.exists()


def test_a_file_behind_an_address_that_is_too_large_is_refused_before_it_is_written(archive, monkeypatch):
    monkeypatch.setattr(addresses, "MAX_FILE_BYTES", 100)
    file = sorted(list_files(as_path(archive)))[0]
    with pytest.raises(ValueError, match="the file has more than"), on_disk(file):
        pass


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("zip://data::/nowhere/x.zip", r"cannot be used \(FileNotFoundError: .*; expected a folder, or an address"),
        (
            "nonsense://bucket/data",
            r"cannot be used \(ValueError: Unsupported filesystem: 'nonsense'\); expected a folder, or an address",
        ),
    ],
)
def test_an_address_that_cannot_be_reached_is_one_line(address, message, tmp_path, call_command):
    done = call_command("train", "-d", address, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(InputError, match=message):
        as_path(address)


def test_without_the_package_an_address_is_refused(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "upath", None)
    with pytest.raises(InputError, match=r"is an address, which needs a package; .* pip install 'covid19-xray\[cluster\]'"):
        as_path("s3://bucket/data")


def test_check_takes_an_address(phantoms, tmp_path, call_command):
    store = fsspec.filesystem("memory")
    for path in (path for path in phantoms.rglob("*") if path.is_file()):
        store.pipe(f"/bucket/checked/{path.relative_to(phantoms).as_posix()}", path.read_bytes())
    try:
        done = call_command("check", "memory://bucket/checked", "--no-cache", cwd=tmp_path)
        assert "images" in done.stdout
        assert done.stderr == ""
        done = call_command("check", "memory://bucket/nothing", cwd=tmp_path)
        assert done.returncode == 2
        assert "does not exist" in done.stderr
    finally:
        store.rm("/bucket", recursive=True)
