"""What is fuzzed: for each kind of file some good ones, and what a changed one may lead to; anything else is a finding.

The short run is `test_fuzz.py`, the long one `python3 -m benchmarks.fuzz`.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from covid19 import NOTICE
from covid19.core.errors import InputError
from covid19.data.dataset import ImageStats
from covid19.data.dicom import acquisition, header
from covid19.data.images import Picture, file_digest, read_picture
from covid19.data.measurements.registry import ProbeMeasurements, take_measurements, valid_measurements
from covid19.data.metadata import read_metadata
from covid19.data.scan_cache import ScanCache, scan_key
from covid19.features.cache import FeatureCache, feature_key
from covid19.model.file import read_model
from covid19.model.novelty import NoveltyDetector
from covid19.report.model_info import PREPROCESSING
from helpers.corpus import READ, cases

TABLE = 'patientid,finding,view,filename,age\n1,COVID-19,PA,a.png,54\n2,"SARS, ""x""",AP,b.png,\n3,No Finding,PA,c.png,8\n'
INFO = {
    "program": "covid19",
    "notice": NOTICE,
    "classes": ["a", "b"],
    "positive": "a",
    "preprocessing": PREPROCESSING,
    "base": {"name": "VGG16", "weights": "random", "digest": "0" * 64},
    "settings": {},
    "versions": {},
    "trained_on": [],
    "trained_hashes": [],
    "threshold": None,
    "temperature": 1.0,
    "cross_validation": None,
    "audit": None,
}
STATS = ImageStats(10, 20, "0f" * 32, 1.5, 0.5)
PNG = next(content for content, expected in cases().values() if expected is READ and content.startswith(b"\x89PNG"))
SPECIAL = (0, 1, 0x7F, 0x80, 0xFF)


def mutate(content: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """A file with a few changes: bytes, numbers at their limits, parts cut, doubled, or taken from another file."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3, 6, 12))):
        end = len(data) if draw.random() < 0.5 else min(len(data), 300)  # headers are short, and most depends on them
        at, length = draw.randrange(end + 1), draw.choice((1, 1, 2, 4, 16, 200))
        kind = draw.randrange(7)
        if kind == 0:
            data[at : at + 1] = bytes([draw.choice(SPECIAL) if draw.random() < 0.5 else draw.randrange(256)])
        elif kind == 1:
            form, limit = draw.choice((("<H", 16), (">H", 16), ("<I", 32), (">I", 32), ("<Q", 64)))
            number = struct.pack(
                form, draw.choice((0, 1, 2**limit - 1, 2 ** (limit - 1), 2 ** (limit - 1) - 1, draw.getrandbits(limit)))
            )
            data[at : at + len(number)] = number
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length]
        elif kind == 4:
            data[at:at] = draw.randbytes(length)
        elif kind == 5:
            del data[draw.randrange(len(data) + 1) :]
        else:
            other = draw.choice(others)
            start = draw.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
    return bytes(data)


def read_image(path: Path) -> None:
    """An image is a picture or an error with a reason."""
    with suppress(OSError, ValueError):
        file_digest(path)
        picture = read_picture(path)
        assert picture.pixels.shape == (224, 224, 3)
        assert picture.pixels.dtype == np.uint8
        assert valid_measurements(json.loads(json.dumps(take_measurements(path, picture), allow_nan=False)))


def read_dicom(path: Path) -> None:
    """So is a DICOM file, and its header is text."""
    read_image(path)
    assert all(isinstance(value, str) for value in header(path).values())
    assert set(acquisition(path)) == {"format", "device", "bits", "kilovolts", "exposure"}


def read_table(path: Path) -> None:
    """A table is one or an error that names it."""
    with suppress(InputError):
        read_metadata(path).of("a.png")


def use_model(path: Path) -> None:
    """A model's file is refused by name: every array that is missing here would be read before any is used."""
    with suppress(InputError):
        read_model(path)


def use_feature_cache(path: Path) -> None:
    """A feature cache gives what is in it or begins anew, and takes what it is given."""
    known, fresh = feature_key("known", "0.0", "base"), feature_key("fresh", "0.0", "base")
    with FeatureCache(_folder_with(path, FeatureCache.FILE_NAME), 10**9) as cache:
        found = cache.get([known])
        assert all(np.array_equal(feature, np.ones(512)) for feature in found.values())
        cache.put([(fresh, np.ones(512, np.float32))])


def use_scan_cache(path: Path) -> None:
    """So does a scan cache."""
    known, measured = scan_key("known"), _measurements(path.with_name("measured.png"))
    with ScanCache(_folder_with(path, ScanCache.FILE_NAME), 10**9) as cache:
        cache.known_keys()
        assert cache.stats(["known"]).get("known", STATS) == STATS
        assert cache.measurements(["known"]).get("known", measured) == measured
        cache.put_scans([("known", STATS, measured)])
        assert cache.known_keys() >= {known}


def _folder_with(path: Path, name: str) -> Path:
    """An otherwise empty folder that a file is moved to, under another name."""
    folder = path.parent / "cache"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.move(path, folder / name)
    return folder


def _measurements(path: Path) -> ProbeMeasurements:
    """What is measured of an image, the same each time."""
    pixels = np.arange(224 * 224 * 3, dtype=np.uint32).astype(np.uint8).reshape(224, 224, 3)
    path.write_bytes(PNG)
    return take_measurements(path, Picture(pixels, 224, 224))


def images() -> list[bytes]:
    """Good files of every form."""
    return [content for name, (content, expected) in cases().items() if expected is READ and b"DICM" not in content[:132]]


def dicoms() -> list[bytes]:
    """Good and odd DICOM files."""
    return [content for content, _ in cases().values() if b"DICM" in content[:132]]


def tables() -> list[bytes]:
    """Tables in several encodings."""
    return [TABLE.encode(code) for code in ("utf-8", "utf-8-sig", "utf-16", "cp1252")]


def models() -> list[bytes]:
    """Small archives and HDF5 files of the members and groups that a model has."""
    known = NoveltyDetector(np.random.default_rng(0).normal(size=(4, 512)).astype(np.float32), np.arange(4)).arrays()
    archive, weights, whole = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = np.ones((4, 4), np.float32)
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("model.weights.h5", weights.getvalue())
        members.writestr("covid19.json", json.dumps(INFO))
        for name, array in known.items():
            with members.open(f"familiar/{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    with h5py.File(whole, "w") as file:
        file["model_weights/dense/kernel"] = np.ones((4, 4), np.float32)
        file["covid19.json"] = np.bytes_(json.dumps(INFO).encode())
        for name, array in known.items():
            file[f"familiar/{name}"] = array
    return [archive.getvalue(), whole.getvalue()]


def feature_caches(folder: Path) -> list[bytes]:
    """A cache with a few features."""
    with FeatureCache(folder, 10**9) as cache:
        cache.put([(feature_key(str(number), "0.0", "base"), np.full(512, number, np.float32)) for number in range(20)])
        cache.put([(feature_key("known", "0.0", "base"), np.ones(512, np.float32))])
    return [(folder / FeatureCache.FILE_NAME).read_bytes()]


def scan_caches(folder: Path) -> list[bytes]:
    """A cache with a few scans."""
    with ScanCache(folder, 10**9) as cache:
        measured = _measurements(folder / "measured.png")
        cache.put_scans([(digest, STATS, measured) for digest in ("known", *map(str, range(20)))])
    return [(folder / ScanCache.FILE_NAME).read_bytes()]


def targets(folder: Path) -> dict[str, tuple[list[bytes], str, Callable[[Path], None]]]:
    """Good files, the name that a changed one gets, and what is done with it, by kind; `folder` is for the caches."""
    return {
        "images": (images(), "x.png", read_image),
        "DICOM": (dicoms(), "x.dcm", read_dicom),
        "metadata": (tables(), "metadata.csv", read_table),
        "model files": (models(), "x.model", use_model),
        "feature cache": (feature_caches(folder), "x.sqlite", use_feature_cache),
        "scan cache": (scan_caches(folder), "x.sqlite", use_scan_cache),
    }
