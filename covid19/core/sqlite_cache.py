"""A cache in one SQLite file: values by key, kept between runs. What a value is, a subclass says; this knows SQLite only.

The file is not trusted: it must be a regular file with exactly the expected schema, or it is set aside with a warning and a new
one begun; each row is checked when it is read, and one that fails counts as missing and is removed.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

import platformdirs

from covid19.core.console import warn
from covid19.core.sqlite_file import SIDE_FILES, STEPS_BETWEEN_COUNTS, open_database, prepare_file, remove_entry

Value = TypeVar("Value")
Result = TypeVar("Result")

KEYS_PER_QUERY = 500  # SQLite's limit on parameters was 999 for long
ROWS_PER_EVICTION = 100
DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter from a message that quotes damaged text
# Of SQLite's virtual machine for one action, and one more for each byte: pages that refer to each other would never end.
MIN_STEPS = 50_000_000


def default_folder() -> Path:
    """The user's cache folder for this program, by the platform's custom."""
    return Path(platformdirs.user_cache_dir("covid19", appauthor=False))


def checksum(*row: object) -> bytes:
    """8 bytes of a hash over the values of a row, with their types."""
    return hashlib.blake2b(repr(row).encode(errors="backslashreplace"), digest_size=8).digest()


class SqliteCache(ABC, Generic[Value]):
    """Values on disk, safe for several runs at once and for a kill at any moment (SQLite's write-ahead log).

    Where the file cannot be written, the values of this run live in memory, with a warning. Only the user can read the file.
    Not for use by two threads at the same moment.

    Args:
        folder: to keep the file in, made if missing; None keeps values for this run only, in a file that SQLite deletes.
        limit: bytes; of a larger file the values that were used longest ago go at the end of a run, but none of this run's.
        counted_too: other caches whose sizes count towards this one's limit.
    """

    FILE_NAME: ClassVar[str]
    TABLE: ClassVar[str]  # takes another number when what it holds changes its layout
    TITLE: ClassVar[str]  # of the cache, in messages
    CONTENT: ClassVar[str]  # what it keeps, in messages

    def __init__(self, folder: Path | None, limit: int, counted_too: Sequence[SqliteCache[Any]] = ()) -> None:
        self._limit = limit
        self._counted_too = counted_too
        self._start = time.time()
        self._warned_of_growth = False
        self._path = folder and folder / self.FILE_NAME
        self._inode = 0
        self._steps = self._max_steps = 0
        self._fallback = ""  # SQLite's name for a temporary file, of which little is in memory
        self._database = self._connect()

    @abstractmethod
    def encode(self, value: Value) -> bytes:
        """The bytes to store for a value."""

    @abstractmethod
    def decode(self, content: bytes) -> Value | None:
        """The value of stored bytes, or None if they are not what `encode` makes of a valid value."""

    @property
    def folder(self) -> Path | None:
        """Where the file lies; None of a cache in memory."""
        return self._path and self._path.parent

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Value]:
        """The valid values that are here, by key; they count as used now."""
        return self._attempt(lambda: self._read(keys)) or {}

    def put(self, values: Iterable[tuple[bytes, Value]]) -> None:
        """Keep values, but none that is invalid; on disk when this returns, so that a stopped run goes on from here."""
        encoded = [(key, self.encode(value)) for key, value in values]
        now = time.time()
        rows = [(key, content, now, checksum(key, content)) for key, content in encoded if self.decode(content) is not None]
        self._attempt(lambda: self._write(rows))

    def known_keys(self) -> frozenset[bytes]:
        """The keys of all rows, which are not checked before they are read."""

        def find() -> frozenset[bytes]:
            return frozenset(key for (key,) in self._database.execute(f"SELECT key FROM {self.TABLE}"))

        return self._attempt(find) or frozenset()

    def size(self) -> int:
        """Bytes in use in the file; 0 of a cache in memory."""
        return (self._path and self._attempt(self._size)) or 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Not sooner: what an earlier run has left may be what this one needs next.
        self._attempt(self._evict)
        self._database.close()

    def _schema(self) -> tuple[str, str]:
        columns = "key BLOB PRIMARY KEY, value BLOB NOT NULL, used REAL NOT NULL, checksum BLOB NOT NULL"
        return f"CREATE TABLE {self.TABLE} ({columns})", f"CREATE INDEX by_use ON {self.TABLE} (used)"

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Value]:
        found: dict[bytes, Value] = {}
        with self._database:
            for some, marks in _groups(keys):
                query = f"SELECT key, value, checksum FROM {self.TABLE} WHERE key IN ({marks})"
                for key, content, check in self._database.execute(query, some).fetchall():
                    valid = isinstance(content, bytes) and check == checksum(key, content)
                    value = self.decode(content) if valid else None
                    if value is not None:
                        found[key] = value
                    else:  # it is made anew
                        self._database.execute(f"DELETE FROM {self.TABLE} WHERE key = ?", (key,))
                self._database.execute(f"UPDATE {self.TABLE} SET used = ? WHERE key IN ({marks})", (time.time(), *some))
        return found

    def _write(self, rows: list[tuple[bytes, bytes, float, bytes]]) -> None:
        with self._database:
            self._database.executemany(f"INSERT OR REPLACE INTO {self.TABLE} VALUES (?, ?, ?, ?)", rows)
        if not self._warned_of_growth and self._is_too_large():
            warn(f"the {self.TITLE} grows beyond --cache-size ({self._limit / 1e9:g} GB) while this run needs it")
            self._warned_of_growth = True

    def _evict(self) -> None:
        """Bring the file back to its limit, the values that were used longest ago first; what this run has used stays."""
        this_run = "typeof(used) = 'real' AND used BETWEEN ? AND ?"  # what is no time, or in the future, is nobody's
        oldest = f"SELECT key FROM {self.TABLE} WHERE NOT ({this_run}) ORDER BY used LIMIT {ROWS_PER_EVICTION}"
        while self._is_too_large():
            with self._database:
                times = (self._start, time.time())
                removed = self._database.execute(f"DELETE FROM {self.TABLE} WHERE key IN ({oldest})", times).rowcount
            if not removed:
                return
            self._database.executescript("PRAGMA incremental_vacuum")  # `execute` would give back one page, and stop

    def _is_too_large(self) -> bool:
        return self._path is not None and self._size() + sum(cache.size() for cache in self._counted_too) > self._limit

    def _size(self) -> int:
        pages, free, size = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _connect(self) -> sqlite3.Connection:
        """A database to work with: the file, a new one where that is no cache, or one for this run where no file can be had."""
        try:
            try:
                return self._open()
            except DAMAGED as error:
                if _says_nothing_of_the_file(error):
                    raise
                self._set_aside(error)
                return self._open()
        except (OSError, *DAMAGED) as error:
            return self._in_memory(error)

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            self._inode = prepare_file(self._path, self._path.parent == default_folder())
        self._steps, self._max_steps = 0, MIN_STEPS + (self._path.stat().st_size if self._path else 0)
        return open_database(self._path or self._fallback, self._schema(), self._count_steps)

    def _count_steps(self) -> bool:
        """Called by SQLite while it works: whether an action took more steps than the file has cause for, and is to end."""
        self._steps += STEPS_BETWEEN_COUNTS
        return self._steps > self._max_steps

    def _attempt(self, action: Callable[[], Result]) -> Result | None:
        """Do something with the database; if it fails, go on with a new one, or in memory, and return None."""
        self._steps = 0
        try:
            return action()
        except DAMAGED as error:
            self._database.close()
            self._database = self._in_memory(error) if _says_nothing_of_the_file(error) else self._begin_anew(error)
        return None

    def _in_memory(self, error: Exception) -> sqlite3.Connection:
        """A cache for this run alone: a cache that fails must not fail the run."""
        warn(f"no {self.TITLE} at '{self._path}' ({error}): {self.CONTENT} of this run are not kept; see --cache-dir")
        self._path, self._fallback = None, ":memory:"
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
            f"{self.TITLE} '{self._path}' cannot be used ({error}): set aside as '{aside.name}', which may be deleted; a new "
            f"one is begun, and {self.CONTENT} are computed again"
        )
        self._path.rename(aside)
        for ending in SIDE_FILES:  # they belong to the old file and would spoil the new one
            remove_entry(Path(f"{self._path}{ending}"))


def _says_nothing_of_the_file(error: Exception) -> bool:
    """Whether an error passes, such as of a full disk or of a lock that is never given up, and the file may be whole."""
    return isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT


def _groups(keys: Sequence[bytes]) -> Iterator[tuple[tuple[bytes, ...], str]]:
    """The keys in groups, each with as many question marks."""
    for start in range(0, len(keys), KEYS_PER_QUERY):
        group = tuple(keys[start : start + KEYS_PER_QUERY])
        yield group, ",".join("?" * len(group))
