"""Finding and reading the images of a folder."""

import numpy as np
import pytest
from helpers.datasets import read, reasons
from helpers.images import write_image, write_noise

from covid19.core.errors import InputError
from covid19.data.dataset import choose_positive
from covid19.data.gathering import gather
from covid19.data.scan import measure
from covid19.data.scan_cache import ScanCache


def test_records_are_sorted_whatever_the_order_of_the_file_system(tmp_path):
    first = read(write_noise(tmp_path / "one", {"covid": 3, "normal": 4}))
    for record in reversed(first.records):
        copy = tmp_path / "two" / record.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(record.path.read_bytes())
    second = read(tmp_path / "two")
    assert [record.name for record in first.records] == sorted(record.name for record in first.records)
    assert [(r.name, r.label, r.digest) for r in second.records] == [(r.name, r.label, r.digest) for r in first.records]
    assert second.counts() == {"covid": 3, "normal": 4}


def test_a_class_is_the_folder_below_the_root_also_for_images_deeper_down(tmp_path):
    write_noise(tmp_path, {"covid/patient1": 2, "normal": 2, ".hidden": 2})
    dataset = read(tmp_path)
    assert dataset.classes == ("covid", "normal")
    assert dataset.records[0].name == "covid/patient1/000.png"
    assert dataset.records[0].label == "covid"


def test_a_class_folder_may_be_a_link(tmp_path):
    write_noise(tmp_path / "elsewhere", {"normal": 2, "covid": 2})
    root = write_noise(tmp_path / "root", {"normal": 2})
    (root / "covid").symlink_to(tmp_path / "elsewhere" / "covid")
    assert read(root).counts() == {"covid": 2, "normal": 2}


def test_unreadable_and_stray_files_are_skipped_with_their_reason(tmp_path):
    write_noise(tmp_path, {"covid": 2, "normal": 2})
    (tmp_path / "covid" / "empty.jpg").touch()
    (tmp_path / "normal" / "text.png").write_text("not a picture")
    write_image(tmp_path / "stray.png", np.zeros((9, 9), np.uint8))
    skipped = reasons(read(tmp_path))
    assert skipped["covid/empty.jpg"] == "the file is empty"
    assert "not an image" in skipped["normal/text.png"]
    assert skipped["stray.png"] == "not in a class folder"
    assert len(skipped) == 3


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "holds no class folder; expected two or more"),
        ({"covid": 3}, "holds one class folder, 'covid'; expected two or more"),
        ({"covid": 3, "normal": 1}, "class 'normal' has 1 usable image; expected two or more"),
    ],
)
def test_a_folder_without_two_classes_of_two_images_is_refused(tmp_path, counts, message):
    with pytest.raises(InputError, match=message):
        read(write_noise(tmp_path, counts))


def test_a_folder_without_images_is_no_class_and_is_named(tmp_path):
    write_noise(tmp_path, {"covid": 2, "normal": 2})
    (tmp_path / "results").mkdir()
    dataset = read(tmp_path)
    assert dataset.classes == ("covid", "normal")
    assert reasons(dataset) == {"results": "holds no image and is ignored"}


def test_a_class_left_with_one_usable_image_is_refused(tmp_path):
    write_noise(tmp_path, {"covid": 2, "normal": 2})
    (tmp_path / "normal" / "000.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"normal' has 1 usable image \('normal/000.png': the file is empty\); expected two"):
        read(tmp_path)


@pytest.mark.parametrize(("name", "what"), [("missing", "does not exist"), ("file", "is a file")])
def test_a_root_that_is_no_folder_is_refused(tmp_path, name, what):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=what):
        gather(tmp_path / name)


def test_the_positive_class_is_the_one_named_covid_else_the_first_else_the_one_wanted():
    assert choose_positive(("a", "Non-Viral", "SARS-COVID-2"), None) == "SARS-COVID-2"
    assert choose_positive(("normal", "pneumonia"), None) == "normal"
    assert choose_positive(("covid", "normal"), "normal") == "normal"
    with pytest.raises(InputError, match="--positive 'x' is no class; expected one of: covid, normal"):
        choose_positive(("covid", "normal"), "x")
    assert choose_positive(("COVID", "Normal"), "normal") == "Normal"
    assert choose_positive(("a", "A"), "a") == "a"


def test_an_image_that_was_decoded_before_is_not_decoded_again(tmp_path):
    root = write_noise(tmp_path / "data", {"covid": 2, "normal": 3})
    decoded = []

    def run(task, path):
        if task is measure:
            decoded.append(path.parent.name)
        return task(path)

    with ScanCache(tmp_path / "cache", 10**9) as scans:
        first = read(root, scans, run)
        (root / "covid" / "000.png").rename(root / "covid" / "renamed.png")
        write_image(root / "normal" / "new.png", np.eye(30, dtype=np.uint8) * 200)
        decoded.clear()
        second = read(root, scans, run)
    assert decoded == ["normal"]
    assert {record.digest for record in first.records} < {record.digest for record in second.records}
    assert {(record.stats.width, record.stats.height) for record in second.records} == {(24, 24), (30, 30)}
