"""The feature store: what hits, what misses, and what no accident may do to it."""

import multiprocessing
import os
import sqlite3
import time
from dataclasses import replace

import numpy as np
import pytest
from conftest import read_records, run_command, settings_in

from covid19 import machine
from covid19.augment import views_of
from covid19.base import build_base
from covid19.dataset import Facts, Glimpse
from covid19.features import extract
from covid19.machine import ThisMachine
from covid19.store import FILE_NAME, FeatureStore, facts_key, feature_key
from covid19.train import train
from covid19.weights import get_weights

GB = 10**9


def some(count, seed=0):
    """Keys and features."""
    values = np.random.default_rng(seed).random((count, 512), np.float32)
    return {feature_key(f"{seed}-{index}", 0.0, "base"): value for index, value in enumerate(values)}


def equal(found, expected):
    return found.keys() == expected.keys() and all(np.array_equal(found[key], expected[key]) for key in expected)


def test_features_come_back_bit_equal_in_a_later_run(tmp_path):
    kept = some(1200)  # more than one query's keys
    with FeatureStore(tmp_path, GB) as store:
        store.put(kept.items())
    with FeatureStore(tmp_path, GB) as store:
        assert equal(store.get([*kept, b"unknown"]), kept)


def test_facts_come_back_in_a_later_run(tmp_path):
    with FeatureStore(tmp_path, GB) as store:
        store.put_facts([("ab", Facts(10, 20, "ff", 1.5, 0.5), Glimpse("{}", b"12", b"3"))])
    with FeatureStore(tmp_path, GB) as store:
        assert store.facts(["ab", "cd"]) == {"ab": Facts(10, 20, "ff", 1.5, 0.5)}
        assert store.glimpses(["ab", "cd"]) == {"ab": Glimpse("{}", b"12", b"3")}
        assert store.known() == {facts_key("ab")}


def test_a_key_changes_with_each_thing_that_a_feature_depends_on():
    keys = {
        feature_key(*what) for what in (("a", 0.0, "x"), ("b", 0.0, "x"), ("a", 1.5, "x"), ("a", 1.25, "x"), ("a", 0.0, "y"))
    }
    assert len(keys) == 5
    assert feature_key("a", 0.0, "x") in keys


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with FeatureStore(None, GB) as store:
        store.put(some(3).items())
        assert equal(store.get(list(some(3))), some(3))
    assert not list(tmp_path.iterdir())


def _spoil_all(path):
    path.write_bytes(b"this is no database at all, but long enough to be taken for one" * 200)


def _spoil_middle(path):
    content = bytearray(path.read_bytes())
    content[4096:-1] = os.urandom(len(content) - 4097)
    path.write_bytes(bytes(content))


def _foreign(path):
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE mine (x)")


def _spoil_schema(path):
    path.write_bytes(path.read_bytes().replace(b"TABLE features", b"TABLE fea \xa9ures"))  # SQLite's message quotes the byte


@pytest.mark.parametrize("spoil", [_spoil_all, _spoil_middle, _foreign, _spoil_schema])
def test_a_damaged_or_foreign_file_is_set_aside_with_a_warning_and_rebuilt(tmp_path, capsys, spoil):
    with FeatureStore(tmp_path, GB) as store:
        store.put(some(600).items())
    spoil(tmp_path / FILE_NAME)
    before = (tmp_path / FILE_NAME).read_bytes()
    with FeatureStore(tmp_path, GB) as store:
        assert store.get(list(some(600))) == {}
        store.put(some(5).items())
        assert equal(store.get(list(some(5))), some(5))
    assert "set aside as" in capsys.readouterr().err
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == before


def test_a_file_that_another_run_has_set_aside_already_is_left_alone(tmp_path, capsys):
    with FeatureStore(tmp_path, GB) as first:
        first.put(some(600).items())
    _spoil_middle(tmp_path / FILE_NAME)
    with FeatureStore(tmp_path, GB) as late, FeatureStore(tmp_path, GB) as early:
        early.get(list(some(600)))
        early.put(some(5).items())
        late.get(list(some(600)))  # finds its own file damaged, but that is no longer the one of that name
        assert equal(late.get(list(some(5))), some(5))
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_a_folder_that_cannot_be_written_costs_the_store_not_the_run(tmp_path, capsys):
    (tmp_path / "file").touch()
    with FeatureStore(tmp_path / "file" / "cache", GB) as store:
        store.put(some(3).items())
        assert equal(store.get(list(some(3))), some(3))
    assert "features of this run are not kept; see --cache-dir" in capsys.readouterr().err


def test_the_file_stays_within_its_limit_and_the_oldest_use_goes_first(tmp_path):
    limit = 3_200_000
    with FeatureStore(tmp_path, limit) as store:
        store.put(some(600, seed=1).items())
    with FeatureStore(tmp_path, limit) as store:
        store.put(some(600, seed=2).items())
    with FeatureStore(tmp_path, limit) as store:
        store.get(list(some(600, seed=1)))  # used again: now younger than the second
        store.put(some(300, seed=3).items())
        assert len(store.get(list(some(600, seed=1)))) == 600
        assert len(store.get(list(some(300, seed=3)))) == 300
    with FeatureStore(tmp_path, limit) as store:
        assert len(store.get(list(some(300, seed=3)))) == 300
        assert 0 < len(store.get(list(some(600, seed=2)))) < 600
    assert (tmp_path / FILE_NAME).stat().st_size < 1.2 * limit


def test_what_earlier_runs_left_stays_until_the_run_has_ended_that_may_need_it(tmp_path):
    with FeatureStore(tmp_path, GB) as store:
        store.put(some(600, seed=1).items())
    with FeatureStore(tmp_path, 100_000) as store:
        store.put(some(600, seed=2).items())
        assert len(store.get(list(some(600, seed=1)))) == 600
        assert len(store.get(list(some(600, seed=2)))) == 600


def test_what_a_run_needs_is_never_dropped_and_the_store_grows_with_one_notice(tmp_path, capsys):
    with FeatureStore(tmp_path, 100_000) as store:
        store.put(some(300, seed=1).items())
        store.put(some(300, seed=2).items())
        assert len(store.get([*some(300, seed=1), *some(300, seed=2)])) == 600
    assert capsys.readouterr().err.count("the feature store grows beyond --cache-size (0.0001 GB)") == 1


def _write(folder, seed):
    with FeatureStore(folder, GB) as store:
        for start in range(20):
            store.put(some(20, seed=seed * 100 + start).items())


def test_runs_at_the_same_time_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=_write, args=(tmp_path, seed)) for seed in range(3)]
    for process in runs:
        process.start()
    for process in runs:
        process.join(60)
    assert [process.exitcode for process in runs] == [0, 0, 0]
    with FeatureStore(tmp_path, GB) as store:
        for seed in range(3):
            for start in range(20):
                assert equal(store.get(list(some(20, seed * 100 + start))), some(20, seed * 100 + start))


def _write_for_ever(folder):
    with FeatureStore(folder, GB) as store:
        for seed in range(10**6):
            store.put(some(20, seed).items())


def test_a_kill_while_writing_leaves_whole_features(tmp_path):
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_write_for_ever, args=(tmp_path,))
    process.start()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (tmp_path / FILE_NAME).exists():
        time.sleep(0.01)
    time.sleep(0.5)
    process.kill()
    process.join()
    with FeatureStore(tmp_path, GB) as store:
        seed = 0
        while found := store.get(list(some(20, seed))):
            assert equal(found, some(20, seed))  # a batch is there as a whole or not at all
            seed += 1
    assert seed > 0
    assert not list(tmp_path.glob("*.damaged-*"))


@pytest.fixture(scope="module")
def base():
    return build_base(get_weights("random"))


def test_a_second_extraction_needs_no_decode_and_no_forward_also_for_renamed_and_copied_files(phantoms, tmp_path, base):
    records = read_records(phantoms)[:2]
    settings = settings_in(tmp_path, phantoms)
    views = views_of(records, [0, 1], settings)
    with FeatureStore(tmp_path, GB) as store:
        first = extract(views, base, "digest", store, ThisMachine()).features

    def never(task, path):
        raise AssertionError(f"decoded {path}")

    renamed = [replace(record, root=tmp_path, name="other.png") for record in records]
    with FeatureStore(tmp_path, GB) as store:
        again = extract(views_of(renamed, [0, 1], settings), None, "digest", store, ThisMachine(never))
        assert np.array_equal(first, again.features)
        assert again.runs == 0
        with pytest.raises(AssertionError, match="decoded"):
            extract(views, base, "another base", store, ThisMachine(never))


def test_a_stopped_extraction_goes_on_where_it_stopped(phantoms, tmp_path, base, monkeypatch):
    monkeypatch.setattr(machine, "BATCH", 2)
    records = read_records(phantoms)[:6]
    views = views_of(records, (), settings_in(tmp_path, phantoms, views=0))
    decoded = []

    def run(task, path):
        decoded.append(path)
        if path == records[5].path and len(decoded) <= 6:
            raise KeyboardInterrupt
        return task(path)

    with FeatureStore(tmp_path, GB) as store, pytest.raises(KeyboardInterrupt):
        extract(views, base, "digest", store, ThisMachine(run))
    decoded[:] = [None] * 7
    with FeatureStore(tmp_path, GB) as store:
        resumed = extract(views, base, "digest", store, ThisMachine(run))
    assert resumed.runs == 2
    assert set(decoded[7:]) == {records[4].path, records[5].path}
    with FeatureStore(None, GB) as store:
        whole = extract(views, base, "digest", store, ThisMachine()).features
    np.testing.assert_allclose(resumed.features, whole, rtol=1e-4, atol=1e-6)


def test_features_do_not_depend_on_order_or_company(phantoms, tmp_path, base):
    views = views_of(read_records(phantoms)[:3], [0, 1, 2], settings_in(tmp_path, phantoms))
    with FeatureStore(None, GB) as one, FeatureStore(None, GB) as other:
        forward = extract(views, base, "digest", one, ThisMachine()).features
        backward = extract(views[::-1], base, "digest", other, ThisMachine()).features
    np.testing.assert_allclose(forward, backward[::-1], rtol=1e-4, atol=1e-5)


def test_a_run_from_the_store_gives_the_numbers_of_the_run_that_filled_it(run, tmp_path, capsys):
    cold = train(settings_in(tmp_path, run.settings.dataset, cache=True, cache_dir=tmp_path / "cache"))
    assert "in the feature store" not in capsys.readouterr().out
    warm = train(settings_in(tmp_path, run.settings.dataset, cache=True, cache_dir=tmp_path / "cache"))
    assert "22 of 22 views are in the feature store" in capsys.readouterr().out  # 10 training images twice, 2 test images
    assert (cold["features"]["extracted"], warm["features"]["extracted"]) == (22, 0)
    assert warm["test"] == cold["test"] == run.report["test"]
    assert warm["training"]["history"] == cold["training"]["history"] == run.report["training"]["history"]


def test_the_flags_of_the_store(run, tmp_path):
    flags = ["-d", run.settings.dataset, "--weights", "random", "--views", "0", "--epochs", "1"]
    home = tmp_path / "home"
    home.mkdir()
    done = run_command("-m", "covid19", "train", *flags, "--no-cache", cwd=home)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "cache" / "covid19").exists()
    done = run_command("-m", "covid19", "train", *flags, cwd=home)
    assert (tmp_path / "cache" / "covid19" / FILE_NAME).is_file()
    done = run_command("-m", "covid19", "train", *flags, "--cache-size", "0", cwd=home)
    assert done.returncode == 2
    assert "argument --cache-size: received '0', expected a size in GB" in done.stderr
