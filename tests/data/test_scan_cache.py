"""The scan cache: what decoding told is kept as JSON, checked when it is read, and completed when a measurement is new."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from helpers.corpus import READ, cases
from helpers.images import write_image

from covid19.core.executor.local import LocalExecutor
from covid19.core.sqlite_cache import checksum
from covid19.data.dataset import ImageStats
from covid19.data.gathering import gather
from covid19.data.images import Picture, read_picture
from covid19.data.measurements import registry
from covid19.data.measurements.measurement import Measurement
from covid19.data.measurements.registry import take_measurements
from covid19.data.reader import Filter, survey
from covid19.data.scan import measure, scan_files
from covid19.data.scan_cache import MAX_ENTRY_BYTES, ScanCache, ScannedImage, scan_key

GB = 10**9
STATS = ImageStats(10, 20, "0f" * 32, 1.5, 0.5)


@pytest.fixture
def measured(tmp_path):
    """The measurements of one image."""
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    path = tmp_path / "image.png"
    write_image(path, pixels)
    return take_measurements(path, Picture(pixels, 224, 224))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def replace_entry(folder, digest, content):
    """Write bytes as a digest's entry, with a checksum that fits them."""
    key = scan_key(digest)
    with closing(sqlite3.connect(folder / ScanCache.FILE_NAME)) as database, database:
        statement = f"UPDATE {ScanCache.TABLE} SET value = ?, checksum = ? WHERE key = ?"
        database.execute(statement, (content, checksum(key, content), key))


def entry(measured):
    return json.loads(ScanCache(None, GB).encode(ScannedImage(STATS, measured)))


def test_scans_come_back_in_a_later_run(folder, measured):
    with ScanCache(folder, GB) as scans:
        scans.put_scans([("ab", STATS, measured)])
    with ScanCache(folder, GB) as scans:
        assert scans.stats(["ab", "cd"]) == {"ab": STATS}
        assert scans.measurements(["ab", "cd"]) == {"ab": measured}
        assert scans.known_keys() == {scan_key("ab")}


def test_what_decoding_tells_of_files_of_every_kind_is_kept(tmp_path):
    paths = []
    for number, (name, (content, expected)) in enumerate(cases().items()):
        if expected is READ:
            paths.append(tmp_path / f"{number}{Path(name).suffix}")
            paths[-1].write_bytes(content)
    found = {scan.digest: scan for _, scan in scan_files(paths, frozenset(), LocalExecutor(), read_picture) if scan.stats}
    assert len(found) > 20
    with ScanCache(None, GB) as scans:
        scans.put_scans((digest, scan.stats, scan.measurements) for digest, scan in found.items())
        assert scans.stats(list(found)) == {digest: scan.stats for digest, scan in found.items()}
        assert scans.measurements(list(found)) == {digest: scan.measurements for digest, scan in found.items()}


def changed(entry, part, name, value):
    """The entry's JSON with another value, which stands for itself where it is bytes."""
    marker = "here"
    text = json.dumps({**entry, part: {**entry[part], name: marker}}).encode()
    return text.replace(b'"here"', value if isinstance(value, bytes) else json.dumps(value).encode())


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        *[("stats", side, value) for side in ("width", "height") for value in (0, -1, 10**18, 1.5, "wide", None)],
        *[("stats", "hash", value) for value in ("ff", "g" * 64, 7, None, ["0f"])],
        *[("stats", grey, value) for grey in ("contrast", "colour") for value in (-1.0, 1e9, b"1e999", b"NaN", "much", None)],
        ("stats", "other", 1),
        *[("measurements", "file properties", value) for value in (None, 1, "text", [], {"other": 1}, {"width": "wide"})],
        *[("measurements", "file properties", {"width": value}) for value in (None, [1], 1e31)],
        *[("measurements", "file properties", {name: 1}) for name in ("device", "format")],
        *[
            ("measurements", "file properties", b'{"width": ' + number + b"}")
            for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400, b"9" * 5000)
        ],
        ("measurements", "file properties", {"device": "x" * MAX_ENTRY_BYTES}),
        ("measurements", "file properties", b"[" * 50_000),
        *[("measurements", "thumbnail", value) for value in ("", "AAAA", "é", 5, None, [])],
        ("measurements", "thumbnail", "A" * 343 + "!"),
        ("measurements", "thumbnail", "A" * 344),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_believed_is_missing_and_rewritten(folder, measured, part, name, value):
    with ScanCache(folder, GB) as scans:
        scans.put_scans([("bad", STATS, measured), ("good", STATS, measured)])
    replace_entry(folder, "bad", changed(entry(measured), part, name, value))
    with ScanCache(folder, GB) as scans:
        assert scans.stats(["bad", "good"]) == {"good": STATS}
        assert scans.measurements(["bad", "good"]) == {"good": measured}
        assert scans.known_keys() == {scan_key("good")}
        scans.put_scans([("bad", STATS, measured)])
        assert scans.stats(["bad"]) == {"bad": STATS}
    assert not list(folder.glob("*.damaged-*"))


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[]", b"1", b"{}", b'{"stats": {}}', b"\xff\xfe", b"\xc3\x28"])
def test_an_entry_of_another_form_is_missing(folder, measured, content):
    with ScanCache(folder, GB) as scans:
        scans.put_scans([("bad", STATS, measured)])
    replace_entry(folder, "bad", content)
    with ScanCache(folder, GB) as scans:
        assert scans.stats(["bad"]) == {}


def brightness(_, picture):
    return {"mean": float(picture.pixels.mean())}


def is_brightness(value):
    return isinstance(value, dict) and value.keys() == {"mean"}


def test_a_newly_registered_measurement_is_taken_of_known_images_without_another_schema(tmp_path, folder, monkeypatch):
    for number, label in enumerate(("a", "a", "b", "b")):
        write_image(tmp_path / "data" / label / f"{number}.png", np.eye(30, dtype=np.uint8) * (40 * number + 50))
    decoded = []

    def run(task, path):
        if task is measure:
            decoded.append(path.name)
        return task(path)

    def read():
        decoded.clear()
        with ScanCache(folder, GB) as scans:
            records = survey(gather(tmp_path / "data"), Filter(), scans, LocalExecutor(run), read_picture).records
            return list(scans.measurements([record.digest for record in records]).values())

    assert len(read()) == len(decoded) == 4
    assert len(read()) == 4
    assert decoded == []
    new = Measurement("brightness", brightness, is_brightness, np.array, lung_blind=False)
    monkeypatch.setattr(registry, "MEASUREMENTS", (*registry.MEASUREMENTS, new))
    assert all(measurements["brightness"]["mean"] > 0 for measurements in read())
    assert len(decoded) == 4
    assert len(read()) == 4
    assert decoded == []  # the new values were kept
    assert not list(folder.glob("*.damaged-*"))
