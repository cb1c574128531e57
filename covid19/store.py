"""The feature store: what the base saw in each view, kept between runs in one SQLite file, so that it runs once per view, ever.

Goes in: digests of images, angles, features. Comes out: features. A renamed or copied image hits, a changed one misses.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
import platformdirs
from numpy.typing import NDArray

from covid19.console import warn
from covid19.dataset import Facts, Glimpse

Array = NDArray[np.float32]
T = TypeVar("T")
U = TypeVar("U")

PREPROCESSING_VERSION = 1  # raise it whenever decoding, resizing, rotating or pooling changes a feature
APPLICATION_ID = 0xC0519  # marks the file as this program's
FILE_NAME = "features.sqlite"
WIDTH = 512
CHUNK = 500  # keys in one query: SQLite's limit on parameters was 999 for long
DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter of a message that quotes what is damaged
PATIENCE = 60.0  # seconds to wait for another run that is writing
FACTS = (
    "CREATE TABLE IF NOT EXISTS facts_2 ("  # another number when the columns change
    "key BLOB PRIMARY KEY, width INTEGER, height INTEGER, hash TEXT, spread REAL, colour REAL, "
    "file TEXT, border BLOB, thumbnail BLOB)"
)
TABLE = "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, feature BLOB NOT NULL, used REAL NOT NULL)"
INDEX = "CREATE INDEX IF NOT EXISTS by_use ON features (used)"


def default_folder() -> Path:
    """The user's cache folder for this program, by the platform's custom."""
    return Path(platformdirs.user_cache_dir("covid19", appauthor=False))


def feature_key(digest: str, angle: float, base: str, hidden: str = "") -> bytes:
    """The identity of a feature: 16 bytes of a hash over all that it depends on.

    Args:
        digest: of the image file's bytes.
        angle: of the view, in degrees.
        base: digest of the base's weights and preprocessing.
        hidden: what is covered of the picture, see `lungs.Cover`.
    """
    text = f"{PREPROCESSING_VERSION}/{base}/{digest}/{angle!r}" + (f"/{hidden}" if hidden else "")
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def facts_key(digest: str) -> bytes:
    """The identity of what decoding an image told, by the digest of its file: 16 bytes."""
    return hashlib.blake2b(f"{PREPROCESSING_VERSION}/facts/{digest}".encode(), digest_size=16).digest()


class FeatureStore:
    """Features on disk, safe for several runs at once and for a kill at any moment (SQLite's write-ahead log).

    A file that is damaged or not this program's is set aside with a warning and a new one begun. Where the file cannot be
    written, features live in memory for this run, with a warning. Not for use by two threads at the same moment.

    Args:
        folder: to keep the file in, made if missing; None keeps features for this run only, in a file that SQLite deletes.
        limit: bytes; of a larger file the features that were used longest ago go at the end of a run, but none of this run's.
    """

    def __init__(self, folder: Path | None, limit: int) -> None:
        self._limit = limit
        self._start = time.time()
        self._grown = False
        self._path = folder and folder / FILE_NAME
        self._inode = 0
        self._passing = ""  # a temporary file, of which little is in memory
        try:
            self._database = self._open()
        except (OSError, sqlite3.OperationalError) as error:
            self._database = self._in_memory(error)

    @property
    def folder(self) -> Path | None:
        """Where the file lies; None of a store in memory."""
        return self._path and self._path.parent

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Array]:
        """The features that are here, float32 (512,), by key; they count as used now."""
        return self._mended(lambda: self._get(keys)) or {}

    def put(self, features: Iterable[tuple[bytes, Array]]) -> None:
        """Keep features, float32 (512,) each; on disk when this returns, so that a stopped run goes on from here."""
        rows = [(key, np.asarray(feature, "<f4").tobytes(), time.time()) for key, feature in features]
        self._mended(lambda: self._put(rows))

    def facts(self, digests: Sequence[str]) -> dict[str, Facts]:
        """What is known of images that were decoded before, by the digest of their file."""
        return self._told(digests, Facts)

    def glimpses(self, digests: Sequence[str]) -> dict[str, Glimpse]:
        """The same of what decoding told the audit's probes."""
        return self._told(digests, Glimpse)

    def known(self) -> frozenset[bytes]:
        """The `facts_key` of every image that was decoded before."""

        def find() -> frozenset[bytes]:
            return frozenset(key for (key,) in self._database.execute("SELECT key FROM facts_2"))

        return self._mended(find) or frozenset()

    def put_facts(self, told: Iterable[tuple[str, Facts, Glimpse]]) -> None:
        """Keep what decoding told of images, by the digest of their file; nothing that names a patient."""
        rows = [(facts_key(digest), *facts, *glimpse) for digest, facts, glimpse in told]
        marks = ", ".join("?" * (1 + len(Facts._fields) + len(Glimpse._fields)))

        def write() -> None:
            with self._database:
                self._database.executemany(f"INSERT OR REPLACE INTO facts_2 VALUES ({marks})", rows)

        self._mended(write)

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Not sooner: what an earlier run has left may be what this one needs next.
        self._mended(self._evict)
        self._database.close()

    def _told(self, digests: Sequence[str], kind: Callable[..., U]) -> dict[str, U]:
        keys = {facts_key(digest): digest for digest in digests}
        columns = ", ".join(kind._fields)  # type: ignore[attr-defined]  # of Facts or Glimpse

        def find() -> dict[str, U]:
            here: dict[str, U] = {}
            for chunk, marks in _chunks(list(keys)):
                rows = self._database.execute(f"SELECT key, {columns} FROM facts_2 WHERE key IN ({marks})", chunk)
                here |= {keys[key]: kind(*values) for key, *values in rows}
            return here

        return self._mended(find) or {}

    def _get(self, keys: Sequence[bytes]) -> dict[bytes, Array]:
        found: dict[bytes, Array] = {}
        with self._database:
            for chunk, marks in _chunks(keys):
                rows = self._database.execute(f"SELECT key, feature FROM features WHERE key IN ({marks})", chunk)
                found |= {key: np.frombuffer(feature, "<f4") for key, feature in rows if len(feature) == 4 * WIDTH}
                self._database.execute(f"UPDATE features SET used = ? WHERE key IN ({marks})", (time.time(), *chunk))
        return found

    def _put(self, rows: list[tuple[bytes, bytes, float]]) -> None:
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)
        if self._path and not self._grown and self._size() > self._limit:
            warn(f"the feature store grows beyond --cache-size ({self._limit / 1e9:g} GB) while this run needs it")
            self._grown = True

    def _evict(self) -> None:
        """Bring the file back to its limit, the features that were used longest ago first; what this run has used stays."""
        while self._path and self._size() > self._limit:
            with self._database:
                oldest = "SELECT key FROM features WHERE used < ? ORDER BY used LIMIT 100"
                gone = self._database.execute(f"DELETE FROM features WHERE key IN ({oldest})", (self._start,)).rowcount
            if not gone:
                return
            self._database.execute("PRAGMA incremental_vacuum").fetchall()

    def _size(self) -> int:
        """Bytes in use."""
        pages, free, size = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _open(self) -> sqlite3.Connection:
        """Connect, and make the table if the file is new; a file that is no store is set aside.

        Raises:
            OSError: the folder cannot be written.
            sqlite3.OperationalError: the file cannot be used, and a new one could not be either.
        """
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                self._inode = os.fstat(file.fileno()).st_ino
        # One thread at a time uses it, but not always the one that opened it: files are read while Keras imports.
        database = sqlite3.connect(self._path or self._passing, timeout=PATIENCE, check_same_thread=False)
        try:
            # In this order: a run that makes the file at this moment writes its mark first and the tables after.
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (mark,) = database.execute("PRAGMA application_id").fetchone()
            if mark != APPLICATION_ID and (mark or tables):
                raise sqlite3.DatabaseError("another program's database")
            if not tables:
                database.execute("PRAGMA page_size = 16384")  # seven features a page; of 4096 bytes one would fill half of it
                database.execute("PRAGMA auto_vacuum = INCREMENTAL")
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            _use_write_ahead_log(database)
            database.execute("PRAGMA synchronous = NORMAL")
            with database:
                database.execute(TABLE)
                database.execute(INDEX)
                database.execute(FACTS)
        except DAMAGED as error:
            database.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            return self._begin_anew(error)
        return database

    def _mended(self, action: Callable[[], T]) -> T | None:
        """Do something with the database; if it fails, go on with a new one, or in memory, and return None."""
        try:
            return action()
        except sqlite3.OperationalError as error:  # a full disk, a lock that is never given up
            self._database.close()
            self._database = self._in_memory(error)
        except DAMAGED as error:
            self._database.close()
            self._database = self._begin_anew(error)
        return None

    def _in_memory(self, error: Exception) -> sqlite3.Connection:
        """A store for this run alone: a cache that fails must not fail the run."""
        warn(f"no feature store at '{self._path}' ({error}): features of this run are not kept; see --cache-dir")
        self._path, self._passing = None, ":memory:"
        return self._open()

    def _begin_anew(self, error: Exception) -> sqlite3.Connection:
        """Set the file aside under a name of its own and open a new one."""
        if self._path is None:
            raise error
        if self._path.stat().st_ino == self._inode:  # else another run has set it aside already
            aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
            warn(f"feature store '{self._path}' cannot be used ({error}): set aside as '{aside.name}', a new one is begun")
            self._path.replace(aside)
            for ending in ("-wal", "-shm"):  # they belong to the old file and would spoil the new one
                Path(f"{self._path}{ending}").unlink(missing_ok=True)
        return self._open()


def open_store(cache: bool, cache_dir: Path | None, cache_size: int) -> FeatureStore:
    """The store that a command's flags ask for."""
    return FeatureStore((cache_dir or default_folder()) if cache else None, cache_size)


def _use_write_ahead_log(database: sqlite3.Connection) -> None:
    """Switch the journal; SQLite does not wait by itself for another run that switches at the same moment."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _chunks(keys: Sequence[bytes]) -> Iterator[tuple[tuple[bytes, ...], str]]:
    """The keys in groups, each with as many question marks."""
    for start in range(0, len(keys), CHUNK):
        chunk = tuple(keys[start : start + CHUNK])
        yield chunk, ",".join("?" * len(chunk))
