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

from covid19.core.console import warn
from covid19.data.dataset import Facts, Glimpse
from covid19.features.cache_file import SIDE_FILES, STEPS_BETWEEN_COUNTS, open_database, prepare_file, remove_entry
from covid19.features.cache_rows import checksum, is_feature, is_row

Array = NDArray[np.float32]
T = TypeVar("T")

PREPROCESSING_VERSION = 1  # raise it whenever decoding, resizing, rotating or pooling changes a feature
FILE_NAME = "features.sqlite"
CHUNK = 500  # keys in one query: SQLite's limit on parameters was 999 for long
DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter of a message that quotes what is damaged
MIN_STEPS = 50_000_000  # of SQLite's machine for one action, and one for each byte: pages that refer to each other never end


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

    The file is not believed: it must be a regular file with exactly this program's tables, or it is set aside with a warning
    and a new one begun; each row is checked when it is read, and one that fails counts as missing and is removed. Where the
    file cannot be written, features live in memory for this run, with a warning. Only the user can read it. Not for use by
    two threads at the same moment.

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
        self._steps = self._most_steps = 0
        self._passing = ""  # a temporary file, of which little is in memory
        self._database = self._connect()

    @property
    def folder(self) -> Path | None:
        """Where the file lies; None of a store in memory."""
        return self._path and self._path.parent

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Array]:
        """The features that are here, float32 (512,), by key; they count as used now."""
        return self._mended(lambda: self._get(keys)) or {}

    def put(self, features: Iterable[tuple[bytes, Array]]) -> None:
        """Keep features, float32 (512,) each; on disk when this returns, so that a stopped run goes on from here."""
        packed = [(key, np.asarray(feature, "<f4").tobytes()) for key, feature in features]
        now = time.time()
        rows = [(key, feature, now, checksum(key, feature)) for key, feature in packed if is_feature(feature)]
        self._mended(lambda: self._put(rows))

    def facts(self, digests: Sequence[str]) -> dict[str, Facts]:
        """What is known of images that were decoded before, by the digest of their file."""
        return {digest: facts for digest, (facts, _) in self._told(digests).items()}

    def glimpses(self, digests: Sequence[str]) -> dict[str, Glimpse]:
        """The same of what decoding told the audit's probes."""
        return {digest: glimpse for digest, (_, glimpse) in self._told(digests).items()}

    def known(self) -> frozenset[bytes]:
        """The `facts_key` of every image that was decoded before."""

        def find() -> frozenset[bytes]:
            return frozenset(key for (key,) in self._database.execute("SELECT key FROM facts_3"))

        return self._mended(find) or frozenset()

    def put_facts(self, told: Iterable[tuple[str, Facts, Glimpse]]) -> None:
        """Keep what decoding told of images, by the digest of their file; nothing that names a patient."""
        packed = [
            (facts_key(digest), facts.width, facts.height, facts.hash, float(facts.spread), float(facts.colour), *glimpse)
            for digest, facts, glimpse in told
        ]
        rows = [(*row, checksum(*row)) for row in packed if is_row(row)]
        marks = ", ".join("?" * (2 + len(Facts._fields) + len(Glimpse._fields)))

        def write() -> None:
            with self._database:
                self._database.executemany(f"INSERT OR REPLACE INTO facts_3 VALUES ({marks})", rows)

        self._mended(write)

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Not sooner: what an earlier run has left may be what this one needs next.
        self._mended(self._evict)
        self._database.close()

    def _told(self, digests: Sequence[str]) -> dict[str, tuple[Facts, Glimpse]]:
        keys = {facts_key(digest): digest for digest in digests}

        def find() -> dict[str, tuple[Facts, Glimpse]]:
            here: dict[str, tuple[Facts, Glimpse]] = {}
            for chunk, marks in _chunks(list(keys)):
                for *row, check in self._database.execute(f"SELECT * FROM facts_3 WHERE key IN ({marks})", chunk).fetchall():
                    if check == checksum(*row) and is_row(row):
                        here[keys[row[0]]] = Facts(*row[1:6]), Glimpse(*row[6:])
                    else:
                        self._remove("facts_3", row[0])
            return here

        return self._mended(find) or {}

    def _get(self, keys: Sequence[bytes]) -> dict[bytes, Array]:
        found: dict[bytes, Array] = {}
        with self._database:
            for chunk, marks in _chunks(keys):
                query = f"SELECT key, feature, checksum FROM features_2 WHERE key IN ({marks})"
                for key, feature, check in self._database.execute(query, chunk).fetchall():
                    if check == checksum(key, feature) and is_feature(feature):
                        found[key] = np.frombuffer(feature, "<f4")
                    else:
                        self._remove("features_2", key)
                self._database.execute(f"UPDATE features_2 SET used = ? WHERE key IN ({marks})", (time.time(), *chunk))
        return found

    def _remove(self, table: str, key: bytes) -> None:
        """Remove a row that cannot be believed, so that it is made anew."""
        with self._database:
            self._database.execute(f"DELETE FROM {table} WHERE key = ?", (key,))

    def _put(self, rows: list[tuple[bytes, bytes, float, bytes]]) -> None:
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO features_2 VALUES (?, ?, ?, ?)", rows)
        if self._path and not self._grown and self._size() > self._limit:
            warn(f"the feature store grows beyond --cache-size ({self._limit / 1e9:g} GB) while this run needs it")
            self._grown = True

    def _evict(self) -> None:
        """Bring the file back to its limit, the features that were used longest ago first; what this run has used stays."""
        this_run = "typeof(used) = 'real' AND used BETWEEN ? AND ?"  # what is no time, or in the future, is nobody's
        oldest = f"SELECT key FROM features_2 WHERE NOT ({this_run}) ORDER BY used LIMIT 100"
        while self._path and self._size() > self._limit:
            with self._database:
                times = (self._start, time.time())
                gone = self._database.execute(f"DELETE FROM features_2 WHERE key IN ({oldest})", times).rowcount
            if not gone:
                return
            self._database.executescript("PRAGMA incremental_vacuum")  # `execute` would give back one page, and stop

    def _size(self) -> int:
        """Bytes in use."""
        pages, free, size = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _connect(self) -> sqlite3.Connection:
        """A database to work with, whatever it takes: the file, a new one where that is no store, or none but in memory."""
        try:
            try:
                return self._open()
            except DAMAGED as error:
                if _is_passing(error):
                    raise
                self._set_aside(error)
                return self._open()
        except (OSError, *DAMAGED) as error:
            return self._in_memory(error)

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            self._inode = prepare_file(self._path, self._path.parent == default_folder())
        self._steps, self._most_steps = 0, MIN_STEPS + (self._path.stat().st_size if self._path else 0)
        return open_database(self._path or self._passing, self._count_steps)

    def _count_steps(self) -> bool:
        """Called by SQLite while it works: whether an action took more steps than the file has cause for, and is to end."""
        self._steps += STEPS_BETWEEN_COUNTS
        return self._steps > self._most_steps

    def _mended(self, action: Callable[[], T]) -> T | None:
        """Do something with the database; if it fails, go on with a new one, or in memory, and return None."""
        self._steps = 0
        try:
            return action()
        except DAMAGED as error:
            self._database.close()
            self._database = self._in_memory(error) if _is_passing(error) else self._begin_anew(error)
        return None

    def _in_memory(self, error: Exception) -> sqlite3.Connection:
        """A store for this run alone: a cache that fails must not fail the run."""
        warn(f"no feature store at '{self._path}' ({error}): features of this run are not kept; see --cache-dir")
        self._path, self._passing = None, ":memory:"
        return self._open()

    def _begin_anew(self, error: Exception) -> sqlite3.Connection:
        try:
            self._set_aside(error)
        except (OSError, *DAMAGED) as problem:
            return self._in_memory(problem)
        return self._connect()

    def _set_aside(self, error: Exception) -> None:
        """Give whatever lies at the path a name of its own.

        Raises:
            OSError: that cannot be done.
            sqlite3.DatabaseError: there is no file, so that nothing can be set aside.
        """
        if self._path is None:
            raise error
        if self._inode not in (0, os.lstat(self._path).st_ino):
            return  # another run has set it aside already
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
        warn(
            f"feature store '{self._path}' cannot be used ({error}): set aside as '{aside.name}', which may be deleted; a new "
            "one is begun, and features are computed again"
        )
        self._path.rename(aside)
        for ending in SIDE_FILES:  # they belong to the old file and would spoil the new one
            remove_entry(Path(f"{self._path}{ending}"))


def open_store(cache: bool, cache_dir: Path | None, cache_size: int) -> FeatureStore:
    """The store that a command's flags ask for."""
    return FeatureStore((cache_dir or default_folder()) if cache else None, cache_size)


def _is_passing(error: Exception) -> bool:
    """Whether an error, such as of a full disk or of a lock that is never given up, says nothing against the file."""
    return isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT


def _chunks(keys: Sequence[bytes]) -> Iterator[tuple[tuple[bytes, ...], str]]:
    """The keys in groups, each with as many question marks."""
    for start in range(0, len(keys), CHUNK):
        chunk = tuple(keys[start : start + CHUNK])
        yield chunk, ",".join("?" * len(chunk))
