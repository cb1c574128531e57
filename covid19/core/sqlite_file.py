"""A cache's SQLite file: opened only if it is a regular file with exactly the expected schema, and private to the user."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

APPLICATION_ID = 0xC0519  # marks the file as this program's
STEPS_BETWEEN_COUNTS = 100_000
BUSY_TIMEOUT_S = 60.0  # to wait for another run that is writing
SIDE_FILES = ("-wal", "-shm", "-journal")  # that SQLite keeps beside a database
# What SQLite may be asked for by a file that somebody has changed; this program needs less.
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,  # bytes of a value or a row
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 32,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}


def open_database(place: Path | str, schema: Sequence[str], takes_too_long: Callable[[], bool]) -> sqlite3.Connection:
    """Connect, and make the tables if the file is new.

    Args:
        place: a path that `prepare_file` has checked, or '' or ':memory:' as SQLite takes them.
        schema: the statements that make the tables and indexes of the database.
        takes_too_long: asked after each `STEPS_BETWEEN_COUNTS` steps of SQLite's virtual machine; True ends the query.

    Raises:
        sqlite3.OperationalError: the file cannot be used now.
        sqlite3.DatabaseError, UnicodeDecodeError: it is damaged, or has another schema.
    """
    # One thread at a time uses it, but not always the one that opened it: files are read while Keras imports.
    database = sqlite3.connect(place, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        database.set_progress_handler(takes_too_long, STEPS_BETWEEN_COUNTS)
        for limit, value in LIMITS.items():
            database.setlimit(limit, value)
        database.text_factory = lambda text: text.decode(errors="replace")  # damaged text fails its checksum, not the query
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            database.execute(f"PRAGMA {pragma}")
        # In this order: a run that makes the file at this moment writes its mark first and the tables after.
        tables = _tables(database)
        (mark,) = database.execute("PRAGMA application_id").fetchone()
        if mark != APPLICATION_ID and (mark or tables):
            raise sqlite3.DatabaseError("another program's database")
        if not tables:
            database.execute("PRAGMA page_size = 16384")  # values of 2 KB fit seven times, in 4096 bytes only once
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _use_write_ahead_log(database)
        database.execute("PRAGMA synchronous = NORMAL")
        _make_tables(database, schema)
    except BaseException:
        database.close()
        raise
    return database


def prepare_file(path: Path, private_folder: bool) -> int:
    """Make a cache's folder and file if they are missing, for the user alone, and check what is there.

    Args:
        path: of the database.
        private_folder: whether a folder that exists is this program's own, so that it is made private as well.

    Returns:
        The file's inode.

    Raises:
        OSError: one cannot be made.
        sqlite3.DatabaseError: it is something else than a regular file, such as a pipe, which would be waited for, or a link.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if private_folder:
        path.parent.chmod(0o700)
    for ending in SIDE_FILES:
        beside = Path(f"{path}{ending}")
        if os.path.lexists(beside):
            if stat.S_ISREG(os.lstat(beside).st_mode):
                _open_private(beside, 0)
            else:
                remove_entry(beside)
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise sqlite3.DatabaseError("it is no regular file")
    return _open_private(path, os.O_CREAT)


def _open_private(path: Path, flags: int) -> int:
    """Open a file without following or waiting for what may have been put there, and take from others what they may do with it.

    Returns:
        Its inode.
    """
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, 0o600)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        if status.st_uid == os.geteuid() and status.st_mode & 0o077:
            os.fchmod(handle, 0o600)
        return status.st_ino
    finally:
        os.close(handle)


def remove_entry(path: Path) -> None:
    """Remove a file, a pipe or a link; a folder gets another name."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
    else:
        path.unlink(missing_ok=True)


def _tables(database: sqlite3.Connection) -> list[tuple[str, str, str, str]]:
    """All that a database's schema holds; of an endless one, more than any cache has."""
    return database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 20").fetchall()


def _make_tables(database: sqlite3.Connection, schema: Sequence[str]) -> None:
    """Make the tables of a new file, all or none; those of an existing file must be the same to the letter.

    Raises:
        sqlite3.DatabaseError: a table, an index, a view or a trigger is missing, changed or too much.
    """
    if not _tables(database):
        with database:
            database.execute("BEGIN IMMEDIATE")
            if not _tables(database):  # else another run has made them meanwhile
                for statement in schema:
                    database.execute(statement)
    with closing(sqlite3.connect(":memory:")) as pristine:
        for statement in schema:
            pristine.execute(statement)
        if sorted(map(repr, _tables(database))) != sorted(map(repr, _tables(pristine))):
            raise sqlite3.DatabaseError("its tables are of another version of this program, or were changed")


def _use_write_ahead_log(database: sqlite3.Connection) -> None:
    """Switch the journal; SQLite does not wait by itself for another run that switches at the same moment."""
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)
