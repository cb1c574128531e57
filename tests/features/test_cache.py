"""The feature store: what hits, what misses, and what no accident may do to it."""

import multiprocessing
import os
import sqlite3
import stat
import struct
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from helpers.corpus import READ, cases
from helpers.datasets import read_records
from helpers.runs import settings_in

from covid19.core.executor import machine
from covid19.core.executor.machine import ThisMachine
from covid19.data.dataset import Facts, Glimpse
from covid19.features import cache as module
from covid19.features.augmentation import views_of
from covid19.features.backbone.vgg16 import build_base
from covid19.features.backbone.weights import get_weights
from covid19.features.cache import FILE_NAME, FeatureStore, facts_key, feature_key
from covid19.features.cache_rows import checksum
from covid19.features.extraction import extract
from covid19.train import train

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


HASH = "0f" * 32
FACTS = Facts(10, 20, HASH, 1.5, 0.5)
GLIMPSE = Glimpse('{"width": 10, "mean": 0.5, "format": "PNG"}', bytes(432), bytes(256))


def test_facts_come_back_in_a_later_run(tmp_path):
    with FeatureStore(tmp_path, GB) as store:
        store.put_facts([("ab", FACTS, GLIMPSE)])
    with FeatureStore(tmp_path, GB) as store:
        assert store.facts(["ab", "cd"]) == {"ab": FACTS}
        assert store.glimpses(["ab", "cd"]) == {"ab": GLIMPSE}
        assert store.known() == {facts_key("ab")}


def test_what_decoding_tells_of_files_of_every_kind_is_kept(tmp_path):
    paths = []
    for number, (name, (content, expected)) in enumerate(cases().items()):
        if expected is READ:
            paths.append(tmp_path / f"{number}{Path(name).suffix}")
            paths[-1].write_bytes(content)
    looks = [look for _, look in ThisMachine().look(paths, frozenset())]
    told = {look.digest: (look.facts, look.glimpse) for look in looks if look.facts}
    assert len(told) > 20
    with FeatureStore(None, GB) as store:
        store.put_facts((digest, *both) for digest, both in told.items())
        assert store.facts(list(told)) == {digest: facts for digest, (facts, _) in told.items()}
        assert store.glimpses(list(told)) == {digest: glimpse for digest, (_, glimpse) in told.items()}


NAN = np.full(512, np.nan, "<f4").tobytes()
HUGE = np.full(512, 3e38, "<f4").tobytes()


@pytest.mark.parametrize("valid_checksum", [False, True])
@pytest.mark.parametrize(
    "value", [None, 1, -1.5, "x" * 2048, b"", bytes(2047), bytes(2052), bytes(600_000), NAN, HUGE, b"\x00\x00\x80\x7f" * 512]
)
def test_a_feature_that_cannot_be_believed_is_missing_and_rewritten(tmp_path, value, valid_checksum):
    kept = some(3)
    bad, *rest = kept
    with FeatureStore(tmp_path, GB) as store:
        store.put(kept.items())
    check = checksum(bad, value) if valid_checksum else bytes(8)
    if value is not None:
        change(tmp_path, "UPDATE features_2 SET feature = ?, checksum = ? WHERE key = ?", (value, check, bad))
    else:
        change(tmp_path, "UPDATE features_2 SET checksum = 'none', used = 'never' WHERE key = ?", (bad,))
    with FeatureStore(tmp_path, GB) as store:
        assert equal(store.get(list(kept)), {key: kept[key] for key in rest})
        store.put([(bad, kept[bad])])
        assert equal(store.get(list(kept)), kept)
    assert not list(tmp_path.glob("*.damaged-*"))


def test_no_feature_that_is_not_finite_is_kept():
    with FeatureStore(None, GB) as store:
        store.put([(b"nan", np.full(512, np.nan, np.float32)), (b"good", np.ones(512, np.float32))])
        assert set(store.get([b"nan", b"good"])) == {b"good"}


@pytest.mark.parametrize("valid_checksum", [False, True])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[(side, value) for side in ("width", "height") for value in (0, -1, 10**18, 1.5, "wide", b"\x01", None)],
        *[("hash", value) for value in ("ff", "g" * 64, b"0" * 64, 7, None, "\ud800".encode(errors="surrogatepass"))],
        *[(grey, value) for grey in ("spread", "colour") for value in (-1.0, 1e9, float("inf"), "much", b"", None)],
        *[
            ("file", value)
            for value in (
                None,
                1,
                b"{}",
                "no JSON",
                "[]",
                "[" * 10_000,
                '{"width": NaN}',
                '{"width": "wide"}',
                '{"width": null}',
                '{"width": [1]}',
                '{"other": 1}',
                '{"device": 1}',
                '{"width": ' + "9" * 400 + "}",
                '{"device": "' + "x" * 20_000 + '"}',
            )
        ],
        *[(picture, value) for picture in ("border", "thumbnail") for value in (b"", bytes(3), "x" * 432, 5, None)],
    ],
)
def test_facts_that_cannot_be_believed_are_missing_and_rewritten(tmp_path, column, value, valid_checksum):
    with FeatureStore(tmp_path, GB) as store:
        store.put_facts([("bad", FACTS, GLIMPSE), ("good", FACTS, GLIMPSE)])
    change(tmp_path, f"UPDATE facts_3 SET {column} = ? WHERE key = ?", (value, facts_key("bad")))
    if valid_checksum:
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
            try:
                *row, _ = database.execute("SELECT * FROM facts_3 WHERE key = ?", (facts_key("bad"),)).fetchone()
            except sqlite3.OperationalError:
                row = []  # text that is no UTF-8
        change(tmp_path, "UPDATE facts_3 SET checksum = ? WHERE key = ?", (checksum(*row), facts_key("bad")))
    with FeatureStore(tmp_path, GB) as store:
        assert store.facts(["bad", "good"]) == {"good": FACTS}
        assert store.glimpses(["bad", "good"]) == {"good": GLIMPSE}
        assert store.known() == {facts_key("good")}
        store.put_facts([("bad", FACTS, GLIMPSE)])
        assert store.facts(["bad"]) == {"bad": FACTS}
    assert not list(tmp_path.glob("*.damaged-*"))


def change(folder, statement, values=()):
    """Change the store's file as another program would."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as database, database:
        database.execute(statement, values)


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
    path.write_bytes(
        path.read_bytes().replace(b"TABLE features_2", b"TABLE fea \xa9ures_2")
    )  # SQLite's message quotes the byte


def schema_with(*statements):
    """A function that adds to the schema of the store's file, even what SQLite would refuse."""

    def spoil(path):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                database.execute(statement)

    return spoil


def _endless(path):
    """Pages of the facts' index that refer to the same page a hundred times each, nine deep: a scan of it would never end."""
    with closing(sqlite3.connect(path)) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name LIKE 'sqlite_autoindex_facts%'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (last,) = database.execute("PRAGMA page_count").fetchone()
    entry = b"\x05\x03\x0e\x01K\x01"  # its length; the length of its header, a blob of one byte, a number; these
    pages = [root, *range(last + 1, last + 10)]
    content = bytearray(path.read_bytes()) + bytes(9 * size)
    for page, child in zip(pages, [*pages[1:], None], strict=True):
        cells = [struct.pack(">I", child) + entry] * 100 if child else [entry]
        places = [size - sum(map(len, cells[: number + 1])) for number in range(len(cells))]
        header = struct.pack(">BHHHB", 2 if child else 10, 0, len(cells), places[-1], 0)
        header += struct.pack(">I", child) if child else b""
        image = header + b"".join(struct.pack(">H", place) for place in places)
        content[(page - 1) * size : page * size] = image + bytes(places[-1] - len(image)) + b"".join(cells)
    content[28:32] = struct.pack(">I", len(content) // size)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        schema_with("CREATE VIEW loop AS SELECT * FROM loop"),
        schema_with("CREATE TRIGGER grow AFTER INSERT ON features_2 BEGIN INSERT INTO facts_3 (key) VALUES (random()); END"),
        schema_with("DROP TABLE facts_3", "CREATE VIEW facts_3 AS SELECT * FROM facts_3"),
        schema_with("DROP TABLE facts_3"),
        schema_with("DROP TABLE facts_3", "CREATE TABLE facts_3 (key BLOB PRIMARY KEY)"),
        schema_with("DROP INDEX by_use"),
        schema_with("CREATE INDEX more ON facts_3 (hash)"),
        schema_with("CREATE TABLE more (x)"),
        schema_with("ALTER TABLE facts_3 ADD COLUMN more AS (width * height)"),
        schema_with("INSERT INTO sqlite_master VALUES ('table', 'more', 'more', 0, 'CREATE VIRTUAL TABLE more USING csv(x)')"),
        schema_with("UPDATE sqlite_master SET sql = replace(sql, 'BLOB', 'TEXT')"),
        schema_with("UPDATE sqlite_master SET sql = 'nonsense'"),
        schema_with("UPDATE sqlite_master SET rootpage = 1 WHERE name = 'facts_3'"),
        schema_with(*[f"CREATE TABLE t{number} (x)" for number in range(100)]),
        schema_with("CREATE TABLE features (key BLOB PRIMARY KEY, feature BLOB NOT NULL, used REAL NOT NULL)"),
    ],
)  # fmt: skip
def test_only_the_schema_written_here_is_accepted(tmp_path, capsys, spoil):
    with FeatureStore(tmp_path, GB) as store:
        store.put(some(3).items())
    spoil(tmp_path / FILE_NAME)
    with FeatureStore(tmp_path, GB) as store:
        store.facts(["a"])
        store.known()
        assert store.get(list(some(3))) == {}
        store.put(some(3).items())
        assert equal(store.get(list(some(3))), some(3))
    assert capsys.readouterr().err.count("set aside as") == 1
    with FeatureStore(tmp_path, GB) as store:
        assert equal(store.get(list(some(3))), some(3))


def test_pages_that_refer_to_each_other_are_given_up(tmp_path, capsys, monkeypatch):
    with FeatureStore(tmp_path, GB) as store:
        store.put(some(3).items())
    _endless(tmp_path / FILE_NAME)
    monkeypatch.setattr(module, "MIN_STEPS", 1_000_000)
    with FeatureStore(tmp_path, GB) as store:
        assert store.known() == frozenset()
        store.put(some(3).items())
    assert "(interrupted): set aside as" in capsys.readouterr().err


def _pipe(path):
    os.mkfifo(path)


def _link_to(target):
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize(
    "make", [_pipe, Path.mkdir, _link_to("/dev/zero"), _link_to("nowhere"), _link_to("mine.txt"), _link_to(".")]
)
def test_nothing_but_a_regular_file_is_opened(tmp_path, ending, make):
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    make(folder / f"{FILE_NAME}{ending}")
    for _ in range(2):
        with FeatureStore(folder, GB) as store:
            store.put(some(3).items())
            assert equal(store.get(list(some(3))), some(3))
    assert (folder / FILE_NAME).is_file()
    assert (folder / "mine.txt").read_text() == "mine"
    assert not (folder / "nowhere").exists()


def test_what_cannot_be_set_aside_costs_the_store_not_the_run(tmp_path, capsys, monkeypatch):
    _pipe(tmp_path / FILE_NAME)

    def refuse(self, target):
        raise PermissionError("not permitted")

    monkeypatch.setattr(Path, "rename", refuse)
    with FeatureStore(tmp_path, GB) as store:
        store.put(some(3).items())
        assert equal(store.get(list(some(3))), some(3))
    assert "features of this run are not kept; see --cache-dir" in capsys.readouterr().err


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_store_is_private_whatever_the_umask_and_also_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "default_folder", lambda: tmp_path / "cache")
    before = os.umask(0)
    try:
        for _ in range(2):
            with FeatureStore(tmp_path / "cache", GB) as store:
                store.put(some(3).items())
                assert {path.name: mode(path) for path in (tmp_path / "cache").iterdir()} == {
                    FILE_NAME: 0o600,
                    f"{FILE_NAME}-wal": 0o600,
                    f"{FILE_NAME}-shm": 0o600,
                }
            assert mode(tmp_path / "cache") == 0o700
            (tmp_path / "cache").chmod(0o755)
            (tmp_path / "cache" / FILE_NAME).chmod(0o644)
            (tmp_path / "cache" / f"{FILE_NAME}-wal").touch(0o666)
        with FeatureStore(tmp_path / "new" / "cache", GB):
            assert mode(tmp_path / "new" / "cache") == 0o700
    finally:
        os.umask(before)


def test_rows_used_in_the_future_or_never_are_not_kept_for_ever(tmp_path):
    with FeatureStore(tmp_path, GB) as store:
        store.put(some(600).items())
    change(tmp_path, "UPDATE features_2 SET used = 1e300 WHERE rowid % 2")
    change(tmp_path, "UPDATE features_2 SET used = 'never' WHERE rowid % 2 = 0")
    with FeatureStore(tmp_path, 100_000):
        pass
    assert (tmp_path / FILE_NAME).stat().st_size < 200_000


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


def test_the_flags_of_the_store(run, tmp_path, call_command):
    flags = ["-d", run.settings.dataset, "--weights", "random", "--views", "0", "--epochs", "1", "--folds", "0", "--no-audit"]
    home = tmp_path / "home"
    home.mkdir()
    done = call_command("train", *flags, "--no-cache", cwd=home)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "cache" / "covid19").exists()
    done = call_command("train", *flags, cwd=home)
    assert (tmp_path / "cache" / "covid19" / FILE_NAME).is_file()
    done = call_command("train", *flags, "--cache-size", "0", cwd=home)
    assert done.returncode == 2
    assert "argument --cache-size: received '0', expected a size in GB" in done.stderr
