"""The generic SQLite cache: what hits, what misses, and what no accident and no changed file may do to it."""

import multiprocessing
import os
import sqlite3
import stat
import struct
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from covid19.core import sqlite_cache as module
from covid19.core.sqlite_cache import SqliteCache, checksum

GB = 10**9
BLOB_BYTES = 2048


class BlobCache(SqliteCache[bytes]):
    """The simplest user: values are bytes of one length that do not begin with 'bad'."""

    FILE_NAME = "blobs.sqlite"
    TABLE = "blobs_1"
    TITLE = "blob cache"
    CONTENT = "blobs"

    def encode(self, value):
        return value

    def decode(self, content):
        return content if len(content) == BLOB_BYTES and not content.startswith(b"bad") else None


def some(count, seed=0):
    """Keys and values."""
    generator = np.random.default_rng(seed)
    return {b"%d-%d" % (seed, index): generator.bytes(BLOB_BYTES) for index in range(count)}


def test_values_come_back_equal_in_a_later_run(tmp_path):
    kept = some(1200)  # more than one query's keys
    with BlobCache(tmp_path, GB) as cache:
        cache.put(kept.items())
    with BlobCache(tmp_path, GB) as cache:
        assert cache.get([*kept, b"unknown"]) == kept
        assert cache.known_keys() == set(kept)


@pytest.mark.parametrize("valid_checksum", [False, True])
@pytest.mark.parametrize(
    "value", [None, 1, -1.5, "x" * BLOB_BYTES, b"", bytes(BLOB_BYTES - 1), bytes(600_000), b"bad".ljust(BLOB_BYTES)]
)
def test_a_row_that_is_not_valid_is_missing_and_rewritten(tmp_path, value, valid_checksum):
    kept = some(3)
    bad, *rest = kept
    with BlobCache(tmp_path, GB) as cache:
        cache.put(kept.items())
    check = checksum(bad, value) if valid_checksum else bytes(8)
    if value is not None:
        change(tmp_path, "UPDATE blobs_1 SET value = ?, checksum = ? WHERE key = ?", (value, check, bad))
    else:
        change(tmp_path, "UPDATE blobs_1 SET checksum = 'none', used = 'never' WHERE key = ?", (bad,))
    with BlobCache(tmp_path, GB) as cache:
        assert cache.get(list(kept)) == {key: kept[key] for key in rest}
        assert cache.known_keys() == set(rest)
        cache.put([(bad, kept[bad])])
        assert cache.get(list(kept)) == kept
    assert not list(tmp_path.glob("*.damaged-*"))


def test_no_invalid_value_is_kept():
    with BlobCache(None, GB) as cache:
        cache.put([(b"short", b"x"), (b"good", bytes(BLOB_BYTES))])
        assert set(cache.get([b"short", b"good"])) == {b"good"}


def change(folder, statement, values=()):
    """Change the cache's file as another program would."""
    with closing(sqlite3.connect(folder / BlobCache.FILE_NAME)) as database, database:
        database.execute(statement, values)


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
    path.write_bytes(path.read_bytes().replace(b"TABLE blobs_1", b"TABLE fea \xa9ures_2"))  # SQLite's message quotes the byte


def schema_with(*statements):
    """A function that adds to the schema of the cache's file, even what SQLite would refuse."""

    def spoil(path):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                database.execute(statement)

    return spoil


def _endless(path):
    """Pages of the blobs' index that refer to the same page a hundred times each, nine deep: a scan of it would never end."""
    with closing(sqlite3.connect(path)) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name LIKE 'sqlite_autoindex_blobs%'").fetchone()
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
        schema_with("CREATE TRIGGER grow AFTER INSERT ON blobs_1 BEGIN INSERT INTO blobs_1 (key) VALUES (random()); END"),
        schema_with("DROP TABLE blobs_1", "CREATE VIEW blobs_1 AS SELECT * FROM blobs_1"),
        schema_with("ALTER TABLE blobs_1 RENAME TO blobs_0"),
        schema_with("DROP TABLE blobs_1", "CREATE TABLE blobs_1 (key BLOB PRIMARY KEY)"),
        schema_with("DROP INDEX by_use"),
        schema_with("CREATE INDEX more ON blobs_1 (checksum)"),
        schema_with("CREATE TABLE more (x)"),
        schema_with("ALTER TABLE blobs_1 ADD COLUMN more AS (used * 2)"),
        schema_with("INSERT INTO sqlite_master VALUES ('table', 'more', 'more', 0, 'CREATE VIRTUAL TABLE more USING csv(x)')"),
        schema_with("UPDATE sqlite_master SET sql = replace(sql, 'BLOB', 'TEXT')"),
        schema_with("UPDATE sqlite_master SET sql = 'nonsense'"),
        schema_with("UPDATE sqlite_master SET rootpage = 1 WHERE name = 'blobs_1'"),
        schema_with(*[f"CREATE TABLE t{number} (x)" for number in range(100)]),
        schema_with("CREATE TABLE features (key BLOB PRIMARY KEY, feature BLOB NOT NULL, used REAL NOT NULL)"),
    ],
)  # fmt: skip
def test_only_the_schema_written_here_is_accepted(tmp_path, capsys, spoil):
    with BlobCache(tmp_path, GB) as cache:
        cache.put(some(3).items())
    spoil(tmp_path / BlobCache.FILE_NAME)
    with BlobCache(tmp_path, GB) as cache:
        cache.known_keys()
        assert cache.get(list(some(3))) == {}
        cache.put(some(3).items())
        assert cache.get(list(some(3))) == some(3)
    assert capsys.readouterr().err.count("set aside as") == 1
    with BlobCache(tmp_path, GB) as cache:
        assert cache.get(list(some(3))) == some(3)


def test_pages_that_refer_to_each_other_are_given_up(tmp_path, capsys, monkeypatch):
    with BlobCache(tmp_path, GB) as cache:
        cache.put(some(3).items())
    _endless(tmp_path / BlobCache.FILE_NAME)
    monkeypatch.setattr(module, "MIN_STEPS", 1_000_000)
    with BlobCache(tmp_path, GB) as cache:
        assert cache.known_keys() == frozenset()
        cache.put(some(3).items())
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
    make(folder / f"{BlobCache.FILE_NAME}{ending}")
    for _ in range(2):
        with BlobCache(folder, GB) as cache:
            cache.put(some(3).items())
            assert cache.get(list(some(3))) == some(3)
    assert (folder / BlobCache.FILE_NAME).is_file()
    assert (folder / "mine.txt").read_text() == "mine"
    assert not (folder / "nowhere").exists()


def test_what_cannot_be_set_aside_costs_the_cache_not_the_run(tmp_path, capsys, monkeypatch):
    _pipe(tmp_path / BlobCache.FILE_NAME)

    def refuse(self, target):
        raise PermissionError("not permitted")

    monkeypatch.setattr(Path, "rename", refuse)
    with BlobCache(tmp_path, GB) as cache:
        cache.put(some(3).items())
        assert cache.get(list(some(3))) == some(3)
    assert "blobs of this run are not kept; see --cache-dir" in capsys.readouterr().err


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_cache_is_private_whatever_the_umask_and_also_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "default_folder", lambda: tmp_path / "cache")
    before = os.umask(0)
    try:
        for _ in range(2):
            with BlobCache(tmp_path / "cache", GB) as cache:
                cache.put(some(3).items())
                assert {path.name: mode(path) for path in (tmp_path / "cache").iterdir()} == {
                    BlobCache.FILE_NAME: 0o600,
                    f"{BlobCache.FILE_NAME}-wal": 0o600,
                    f"{BlobCache.FILE_NAME}-shm": 0o600,
                }
            assert mode(tmp_path / "cache") == 0o700
            (tmp_path / "cache").chmod(0o755)
            (tmp_path / "cache" / BlobCache.FILE_NAME).chmod(0o644)
            (tmp_path / "cache" / f"{BlobCache.FILE_NAME}-wal").touch(0o666)
        with BlobCache(tmp_path / "new" / "cache", GB):
            assert mode(tmp_path / "new" / "cache") == 0o700
    finally:
        os.umask(before)


def test_rows_used_in_the_future_or_never_are_not_kept_for_ever(tmp_path):
    with BlobCache(tmp_path, GB) as cache:
        cache.put(some(600).items())
    change(tmp_path, "UPDATE blobs_1 SET used = 1e300 WHERE rowid % 2")
    change(tmp_path, "UPDATE blobs_1 SET used = 'never' WHERE rowid % 2 = 0")
    with BlobCache(tmp_path, 100_000):
        pass
    assert (tmp_path / BlobCache.FILE_NAME).stat().st_size < 200_000


@pytest.mark.parametrize("spoil", [_spoil_all, _spoil_middle, _foreign, _spoil_schema])
def test_a_damaged_or_foreign_file_is_set_aside_with_a_warning_and_rebuilt(tmp_path, capsys, spoil):
    with BlobCache(tmp_path, GB) as cache:
        cache.put(some(600).items())
    spoil(tmp_path / BlobCache.FILE_NAME)
    before = (tmp_path / BlobCache.FILE_NAME).read_bytes()
    with BlobCache(tmp_path, GB) as cache:
        assert cache.get(list(some(600))) == {}
        cache.put(some(5).items())
        assert cache.get(list(some(5))) == some(5)
    assert "set aside as" in capsys.readouterr().err
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == before


def test_a_file_that_another_run_has_set_aside_already_is_left_alone(tmp_path, capsys):
    with BlobCache(tmp_path, GB) as first:
        first.put(some(600).items())
    _spoil_middle(tmp_path / BlobCache.FILE_NAME)
    with BlobCache(tmp_path, GB) as late, BlobCache(tmp_path, GB) as early:
        early.get(list(some(600)))
        early.put(some(5).items())
        late.get(list(some(600)))  # finds its own file damaged, but that is no longer the one of that name
        assert late.get(list(some(5))) == some(5)
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_a_folder_that_cannot_be_written_costs_the_cache_not_the_run(tmp_path, capsys):
    (tmp_path / "file").touch()
    with BlobCache(tmp_path / "file" / "cache", GB) as cache:
        cache.put(some(3).items())
        assert cache.get(list(some(3))) == some(3)
    assert "blobs of this run are not kept; see --cache-dir" in capsys.readouterr().err


def test_the_file_stays_within_its_limit_and_the_oldest_use_goes_first(tmp_path):
    limit = 3_200_000
    with BlobCache(tmp_path, limit) as cache:
        cache.put(some(600, seed=1).items())
    with BlobCache(tmp_path, limit) as cache:
        cache.put(some(600, seed=2).items())
    with BlobCache(tmp_path, limit) as cache:
        cache.get(list(some(600, seed=1)))  # used again: now younger than the second
        cache.put(some(300, seed=3).items())
        assert len(cache.get(list(some(600, seed=1)))) == 600
        assert len(cache.get(list(some(300, seed=3)))) == 300
    with BlobCache(tmp_path, limit) as cache:
        assert len(cache.get(list(some(300, seed=3)))) == 300
        assert 0 < len(cache.get(list(some(600, seed=2)))) < 600
    assert (tmp_path / BlobCache.FILE_NAME).stat().st_size < 1.2 * limit


def test_what_earlier_runs_left_stays_until_the_run_has_ended_that_may_need_it(tmp_path):
    with BlobCache(tmp_path, GB) as cache:
        cache.put(some(600, seed=1).items())
    with BlobCache(tmp_path, 100_000) as cache:
        cache.put(some(600, seed=2).items())
        assert len(cache.get(list(some(600, seed=1)))) == 600
        assert len(cache.get(list(some(600, seed=2)))) == 600


def test_what_a_run_needs_is_never_dropped_and_the_cache_grows_with_one_notice(tmp_path, capsys):
    with BlobCache(tmp_path, 100_000) as cache:
        cache.put(some(300, seed=1).items())
        cache.put(some(300, seed=2).items())
        assert len(cache.get([*some(300, seed=1), *some(300, seed=2)])) == 600
    assert capsys.readouterr().err.count("the blob cache grows beyond --cache-size (0.0001 GB)") == 1


def _write(folder, seed):
    with BlobCache(folder, GB) as cache:
        for start in range(20):
            cache.put(some(20, seed=seed * 100 + start).items())


def test_runs_at_the_same_time_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=_write, args=(tmp_path, seed)) for seed in range(3)]
    for process in runs:
        process.start()
    for process in runs:
        process.join(60)
    assert [process.exitcode for process in runs] == [0, 0, 0]
    with BlobCache(tmp_path, GB) as cache:
        for seed in range(3):
            for start in range(20):
                assert cache.get(list(some(20, seed * 100 + start))) == some(20, seed * 100 + start)


def _write_for_ever(folder):
    with BlobCache(folder, GB) as cache:
        for seed in range(10**6):
            cache.put(some(20, seed).items())


def test_a_kill_while_writing_leaves_whole_features(tmp_path):
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_write_for_ever, args=(tmp_path,))
    process.start()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (tmp_path / BlobCache.FILE_NAME).exists():
        time.sleep(0.01)
    time.sleep(0.5)
    process.kill()
    process.join()
    with BlobCache(tmp_path, GB) as cache:
        seed = 0
        while found := cache.get(list(some(20, seed))):
            assert found == some(20, seed)  # a batch is there as a whole or not at all
            seed += 1
    assert seed > 0
    assert not list(tmp_path.glob("*.damaged-*"))


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with BlobCache(None, GB) as cache:
        cache.put(some(3).items())
        assert cache.get(list(some(3))) == some(3)
    assert not list(tmp_path.iterdir())


def test_another_cache_that_is_counted_too_leaves_less_room(tmp_path):
    limit = 2_000_000
    with BlobCache(tmp_path / "other", GB) as other, BlobCache(tmp_path, limit, (other,)) as cache:
        other.put(some(600, seed=1).items())
        cache.put(some(600, seed=2).items())
    with BlobCache(tmp_path / "other", GB) as other:
        with BlobCache(tmp_path, limit, (other,)):
            pass
        left = (tmp_path / BlobCache.FILE_NAME).stat().st_size
        assert len(other.get(list(some(600, seed=1)))) == 600
    assert 0 < left < limit - 600 * BLOB_BYTES
