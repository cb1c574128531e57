"""Lungs of a data set: found once, drawn masks instead of found ones, and what the cache refuses."""

import csv
import zlib
from pathlib import Path

import cv2
import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from helpers.datasets import read_records
from helpers.images import write_image

from covid19.cli.main import main
from covid19.core.errors import InputError
from covid19.core.executor.local import LocalExecutor
from covid19.core.settings import LungSettings
from covid19.data.images import Picture, read_picture
from covid19.data.lungs import LUNG_BOX, box_mask
from covid19.data.measurements.registry import take_measurements
from covid19.data.shared_files import UnreadableError
from covid19.lungs.drawn import find_masks, read_masks
from covid19.lungs.masks import packed
from covid19.lungs.scan import LungCache, Lungs, find_lungs, lungs_key

GB = 10**9
MEASURED = take_measurements(Path(), Picture(np.zeros((224, 224, 3), np.uint8), 224, 224), lungs_hidden=True)


def never(*_):
    raise AssertionError("a file was read again")


def test_lungs_are_found_once_and_kept_by_the_image(tmp_path, phantoms):
    records = read_records(phantoms)[:3]
    with LungCache(tmp_path, GB) as cache:
        found = find_lungs([*records, records[0]], LungSettings(), cache, LocalExecutor(), read_picture)
    assert found.keys() == {record.digest for record in records}
    assert all(own.origin == "found" and own.reason == "" for own in found.values())
    assert all(own.measurements.keys() == {"border ring", "brightness and tint"} for own in found.values())
    with LungCache(tmp_path, GB) as cache:
        assert find_lungs(records, LungSettings(), cache, LocalExecutor(never), never) == found


def test_the_box_is_used_where_no_lungs_are_found_and_a_drawn_mask_goes_before_both(tmp_path):
    for number, name in enumerate(("a/w", "a/x", "b/y", "b/z")):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64), np.uint8)
        write_image(tmp_path / "data" / f"{name}.png", noise)
    records, drawn = read_records(tmp_path / "data"), box_mask((0.2, 0.2, 0.4, 0.8))
    write_image(tmp_path / "masks" / "y_mask.png", 255 * drawn.astype(np.uint8))
    settings = LungSettings(lung_masks=tmp_path / "masks")
    with LungCache(None, GB) as cache:
        found = find_lungs(records, settings, cache, LocalExecutor(), read_picture)
        assert find_lungs(records, settings, cache, LocalExecutor(never), read_picture) == found
    box, own = (found[records[number].digest] for number in (1, 2))
    assert (box.origin, box.packed_mask) == ("box", packed(box_mask(LUNG_BOX)))
    assert box.reason
    assert (own.origin, own.packed_mask, own.confidence) == ("drawn", packed(drawn), 1.0)


def test_an_image_that_cannot_be_read_any_more_is_named_and_the_others_are_kept(tmp_path):
    for number, label in enumerate("aabb"):
        write_image(tmp_path / "data" / label / f"{number}.png", np.eye(40, dtype=np.uint8) * (50 + 40 * number))
    records = read_records(tmp_path / "data")
    records[1].path.unlink()
    with LungCache(tmp_path, GB) as cache, pytest.raises(UnreadableError, match=r"1 images could be read once but not again"):
        find_lungs(records, LungSettings(), cache, LocalExecutor(), read_picture)
    with LungCache(tmp_path, GB) as cache:
        rest = [record for record in records if record.path.exists()]
        assert len(find_lungs(rest, LungSettings(), cache, LocalExecutor(never), never)) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"packed_mask": b"x"},
        {"packed_mask": zlib.compress(bytes(10**7))},
        {"origin": "guessed"},
        {"area": 2.0},
        {"confidence": -0.1},
        {"reason": 3},
        {"measurements": {}},
        *({"measurements": MEASURED | {"border ring": value}} for value in ("", "AAAA", "é", 5, None, [], "A" * 575 + "!")),
        {"measurements": {"border ring": MEASURED["border ring"], "brightness and tint": [0.0, 1.0, 1e9]}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_entry_that_the_finder_cannot_have_written_counts_as_missing(change):
    good = Lungs(packed(box_mask(LUNG_BOX)), "found", "", 0.3, 0.9, MEASURED)
    key = lungs_key("ab" * 32, LUNG_BOX, None)
    with LungCache(None, GB) as cache:
        cache.put([(key, good)])
        assert cache.get([key]) == {key: good}
        assert cache.decode(cache.encode(good._replace(**change))) is None
        assert cache.decode(b"[1]") is None
        assert cache.decode(b"[" * 100_001) is None


def test_masks_are_found_by_the_stem_of_their_image(tmp_path, phantoms):
    records = read_records(phantoms)
    mask = np.zeros((50, 50), np.uint8)
    mask[:25] = 255
    write_image(tmp_path / "masks" / f"{records[0].path.stem}_mask.png", mask)
    masks = read_masks(tmp_path / "masks", {record.path.stem for record in records}, read_picture)
    assert masks == {records[0].path.stem: packed(box_mask((0, 0, 1, 0.5)))}
    assert find_masks(None) == {}
    with pytest.raises(InputError, match="holds no masks; expected files named as their image and _mask"):
        find_masks(phantoms)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: write_image(path, np.zeros((50, 50), np.uint8)), "marks nothing as lung"),
        (lambda path: write_image(path, np.full((50, 50), 255, np.uint8)), "marks everything as lung"),
        (lambda path: path.touch(), "cannot be read: the file is empty"),
        (lambda path: path.write_text("no image"), "cannot be read: not an image"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "cannot be read: OpenCV cannot decode it"),
    ],
)
def test_a_mask_that_does_not_say_where_the_lungs_are_is_left_out_with_a_warning(tmp_path, phantoms, capsys, spoil, reason):
    records = read_records(phantoms)
    for record in records[1:]:
        mask = np.zeros((50, 50), np.uint8)
        mask[:25] = 255
        write_image(tmp_path / f"{record.path.stem}_mask.png", mask)
    bad = tmp_path / f"{records[0].path.stem}_mask.png"
    spoil(bad)
    masks = read_masks(tmp_path, {record.path.stem for record in records}, read_picture)
    assert masks.keys() == {record.path.stem for record in records[1:]}
    printed = capsys.readouterr().err
    assert printed.startswith(f"warning: mask '{bad}' {reason}")
    assert printed.count("\n") == 1


def test_the_command_writes_a_mask_of_each_images_size_and_a_table(tmp_path, phantoms, capsys, monkeypatch):
    records = read_records(phantoms)
    # The picture without its lungs is measured for audits alone.
    monkeypatch.setattr("covid19.lungs.scan.take_measurements", lambda *_, **__: pytest.fail("measured for nobody"))
    write_image(tmp_path / "odd" / "noise.png", np.random.default_rng(0).integers(0, 256, (70, 90), np.uint8))
    (tmp_path / "odd" / "broken.png").write_text("no image")
    out = tmp_path / "masks"
    assert main(["lungs", str(records[0].path), str(tmp_path / "odd"), "-o", str(out)]) == 1
    printed = capsys.readouterr()
    assert "Found lungs in 1 of 3 images" in printed.out
    assert "never be used to diagnose" in printed.out
    assert "broken.png: not an image" in printed.err
    stem = records[0].path.stem
    mask = read_picture(out / f"{stem}_mask.png")
    assert (mask.width, mask.height) == (records[0].stats.width, records[0].stats.height)
    grey = cv2.imread(str(out / f"{stem}_mask.png"), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(grey).tolist()) == {0, 255}
    assert grey.ndim == 2
    assert cv2.imread(str(out / "noise_mask.png"), cv2.IMREAD_UNCHANGED).max() == 0
    rows = list(csv.DictReader((out / "lungs.csv").read_text().splitlines()))
    assert [(row["found"], row["mask"]) for row in rows] == [("yes", f"{stem}_mask.png"), ("", ""), ("no", "noise_mask.png")]
    assert 0.15 < float(rows[0]["area"]) < 0.5
    assert float(rows[0]["confidence"]) > 0.8
    assert main(["lungs", str(tmp_path / "odd"), "-o", str(tmp_path / "odd")]) == 2
    assert "lies in a folder that is read" in capsys.readouterr().err
