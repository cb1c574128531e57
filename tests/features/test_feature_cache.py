"""The feature cache: what a feature depends on, which values are refused, and what a later run need not do again."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.datasets import read_records
from helpers.runs import settings_in, train

from covid19.core.executor.local import LocalExecutor
from covid19.core.settings import TrainingSettings
from covid19.core.sqlite_cache import checksum
from covid19.data.images import read_picture
from covid19.features import batches, extraction
from covid19.features.augmentation import View, augmented_views
from covid19.features.backbone.network import build_base
from covid19.features.backbone.weights import get_weights
from covid19.features.cache import FeatureCache, cache_files, feature_key, open_caches
from covid19.features.extraction import Extractor

GB = 10**9
NAN = np.full(512, np.nan, "<f4").tobytes()
HUGE = np.full(512, 3e38, "<f4").tobytes()
INFINITE = b"\x00\x00\x80\x7f" * 512


def some(count):
    """Keys and features."""
    values = np.random.default_rng(0).random((count, 512), np.float32)
    return {feature_key(str(index), "0.0", "base"): value for index, value in enumerate(values)}


def equal(found, expected):
    return found.keys() == expected.keys() and all(np.array_equal(found[key], expected[key]) for key in expected)


def test_features_come_back_bit_equal_in_a_later_run(tmp_path):
    kept = some(5)
    with FeatureCache(tmp_path, GB) as cache:
        cache.put(kept.items())
    with FeatureCache(tmp_path, GB) as cache:
        assert equal(cache.get([*kept, b"unknown"]), kept)


@pytest.mark.parametrize("value", [b"", bytes(2047), bytes(2052), NAN, HUGE, INFINITE])
def test_a_feature_that_cannot_be_believed_is_missing_and_rewritten(tmp_path, value):
    kept = some(3)
    bad, *rest = kept
    with FeatureCache(tmp_path, GB) as cache:
        cache.put(kept.items())
    with closing(sqlite3.connect(tmp_path / FeatureCache.FILE_NAME)) as database, database:
        statement = f"UPDATE {FeatureCache.TABLE} SET value = ?, checksum = ? WHERE key = ?"
        database.execute(statement, (value, checksum(bad, value), bad))
    with FeatureCache(tmp_path, GB) as cache:
        assert equal(cache.get(list(kept)), {key: kept[key] for key in rest})
        cache.put([(bad, kept[bad])])
        assert equal(cache.get(list(kept)), kept)


def test_no_feature_that_is_not_finite_is_kept():
    with FeatureCache(None, GB) as cache:
        cache.put([(b"nan", np.full(512, np.nan, np.float32)), (b"good", np.ones(512, np.float32))])
        assert set(cache.get([b"nan", b"good"])) == {b"good"}


def test_a_file_of_an_earlier_layout_is_set_aside_with_a_warning(tmp_path, capsys):
    earlier = tmp_path / FeatureCache.FILE_NAME
    with closing(sqlite3.connect(earlier)) as database, database:
        database.execute(f"PRAGMA application_id = {0xC0519}")
        database.execute(
            "CREATE TABLE features_2 (key BLOB PRIMARY KEY, feature BLOB NOT NULL, used REAL NOT NULL, checksum BLOB NOT NULL)"
        )
    with open_caches(True, tmp_path, GB) as caches:
        caches.features.put(some(3).items())
        assert equal(caches.features.get(list(some(3))), some(3))
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: feature cache '{earlier}' cannot be used (its tables are of another version")
    assert warning.endswith("a new one is begun, and features are computed again\n")
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_each_cache_has_a_private_file_of_its_own_and_without_keeping_there_is_none(tmp_path):
    with open_caches(False, tmp_path / "unused", GB) as caches:
        assert caches.features.folder is None
    assert not (tmp_path / "unused").exists()
    with open_caches(True, tmp_path / "kept", GB) as caches:
        assert caches.features.folder == caches.scans.folder == tmp_path / "kept"
    assert set((tmp_path / "kept").iterdir()) == set(cache_files(tmp_path / "kept"))
    assert {path.stat().st_mode & 0o777 for path in cache_files(tmp_path / "kept")} == {0o600}


def test_a_key_changes_with_each_thing_that_a_feature_depends_on():
    keys = {
        feature_key(*what)
        for what in (("a", "0.0", "x"), ("b", "0.0", "x"), ("a", "1.5", "x"), ("a", "1.25", "x"), ("a", "0.0", "y"))
    }
    assert len(keys) == 5
    assert feature_key("a", "0.0", "x") in keys


@pytest.fixture(scope="module")
def base():
    return build_base(get_weights("random"))


def test_a_second_extraction_needs_no_decode_and_no_forward_also_for_renamed_and_copied_files(phantoms, tmp_path, base):
    records = read_records(phantoms)[:2]
    training = TrainingSettings()
    views = augmented_views([View(record) for record in records], [0, 1], training)
    with FeatureCache(tmp_path, GB) as cache:
        first = Extractor(cache, LocalExecutor(), read_picture).extract(views, base, "digest").features

    def never(task, path):
        raise AssertionError(f"decoded {path}")

    renamed = [replace(record, root=tmp_path, name="other.png") for record in records]
    with FeatureCache(tmp_path, GB) as cache:
        again = Extractor(cache, LocalExecutor(never), read_picture).extract(
            augmented_views([View(record) for record in renamed], [0, 1], training), None, "digest"
        )
        assert np.array_equal(first, again.features)
        assert again.runs == 0
        with pytest.raises(AssertionError, match="decoded"):
            Extractor(cache, LocalExecutor(never), read_picture).extract(views, base, "another base")


def test_a_stopped_extraction_goes_on_where_it_stopped(phantoms, tmp_path, base, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_SIZE", 2)
    monkeypatch.setattr(extraction, "BATCH_SIZE", 2)
    records = read_records(phantoms)[:6]
    views = augmented_views([View(record) for record in records], (), TrainingSettings(augmentations=0))
    decoded = []

    def run(task, path):
        decoded.append(path)
        if path == records[5].path and len(decoded) <= 6:
            raise KeyboardInterrupt
        return task(path)

    with FeatureCache(tmp_path, GB) as cache, pytest.raises(KeyboardInterrupt):
        Extractor(cache, LocalExecutor(run), read_picture).extract(views, base, "digest")
    decoded[:] = [None] * 7
    with FeatureCache(tmp_path, GB) as cache:
        resumed = Extractor(cache, LocalExecutor(run), read_picture).extract(views, base, "digest")
    assert resumed.runs == 2
    assert set(decoded[7:]) == {records[4].path, records[5].path}
    with FeatureCache(None, GB) as cache:
        whole = Extractor(cache, LocalExecutor(), read_picture).extract(views, base, "digest").features
    np.testing.assert_allclose(resumed.features, whole, rtol=1e-4, atol=1e-6)


def test_features_do_not_depend_on_order_or_company(phantoms, tmp_path, base):
    views = augmented_views([View(record) for record in read_records(phantoms)[:3]], [0, 1, 2], TrainingSettings())
    with FeatureCache(None, GB) as one, FeatureCache(None, GB) as other:
        forward = Extractor(one, LocalExecutor(), read_picture).extract(views, base, "digest").features
        backward = Extractor(other, LocalExecutor(), read_picture).extract(views[::-1], base, "digest").features
    np.testing.assert_allclose(forward, backward[::-1], rtol=1e-4, atol=1e-5)


def test_a_run_from_the_cache_gives_the_numbers_of_the_run_that_filled_it(run, tmp_path, capsys):
    cold = train(settings_in(tmp_path, run.dataset, cache=True, cache_dir=tmp_path / "cache"))
    assert "in the feature cache" not in capsys.readouterr().out
    warm = train(settings_in(tmp_path, run.dataset, cache=True, cache_dir=tmp_path / "cache"))
    assert "22 of 22 images are in the feature cache" in capsys.readouterr().out  # 10 training images twice, 2 test images
    assert (cold["features"]["extracted"], warm["features"]["extracted"]) == (22, 0)
    assert warm["test"] == cold["test"] == run.report["test"]
    assert warm["training"]["history"] == cold["training"]["history"] == run.report["training"]["history"]


def test_the_flags_of_the_cache(run, tmp_path):
    flags = ["-d", run.dataset, "--weights", "random", "--augmentations", "0", "--epochs", "1"]
    home = tmp_path / "home"
    home.mkdir()
    done = run_command("-m", "covid19", "train", *flags, "--no-cache", cwd=home)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "cache" / "covid19").exists()
    done = run_command("-m", "covid19", "train", *flags, cwd=home)
    assert (tmp_path / "cache" / "covid19" / FeatureCache.FILE_NAME).is_file()
    done = run_command("-m", "covid19", "train", *flags, "--cache-size", "0", cwd=home)
    assert done.returncode == 2
    assert "argument --cache-size: received '0', expected a size in GB" in done.stderr
