"""Tables as people have them: CSV with any usual delimiter, lists without a header, Excel workbooks. A file in, rows out."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

from covid19.core.addresses import MAX_FILE_BYTES, check_reachable, on_disk
from covid19.core.errors import InputError
from covid19.data.file_kinds import READ_EXTENSIONS, START_BYTES, describe_kind, kind_of

MAX_FIELD = 1_000_000  # characters; a longer field or line is no table
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how such a file begins, as spreadsheets write it
WINDOWS = "cp1252"  # encoding
DELIMITERS = ",;\t|"
DECLARED = re.compile(r"^\s*\"?sep=(.)\"?\s*$", re.IGNORECASE)  # Excel's own line for the delimiter
WORKBOOK, OLD_WORKBOOK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"  # how .xlsx and .xls begin
NO_TABLES = ("web page", "Git LFS pointer", "git-annex pointer")  # that lie in a table's place after a download
TABLE_EXTENSIONS = (".csv", ".tsv", ".txt", ".xlsx", ".xls")
# The columns of COVIDx's lists, which have no header: patient, file, class and, in later ones, the source.
LIST_COLUMNS = ("patientid", "filename", "class", "source")


@contextmanager
def open_table(path: Path) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
    """The names of a table's columns, and its other rows one by one.

    A list without a header, one of whose first cells names a picture, has the columns of COVIDx if it has three or four and the
    second names it; else `filename`, beside it `class` if there are two, and `1`, `2`, ... for the others.

    Raises:
        InputError: it cannot be read as a table.
    """
    check_reachable(path)
    csv.field_size_limit(MAX_FIELD)
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no regular file")
        with on_disk(path) as local, local.open("rb") as start:
            beginning = start.read(START_BYTES)
            if (kind := kind_of(beginning)) in NO_TABLES:
                raise ValueError(f"it is no table{describe_kind(kind)}")
            if beginning.startswith(OLD_WORKBOOK):
                raise ValueError("it is an old Excel workbook (.xls); save it as .xlsx or CSV")
            if beginning.startswith(WORKBOOK):
                with _workbook_rows(local) as rows:
                    yield _with_header(rows)
            else:
                with _open_text(local, beginning) as file:
                    yield _with_header(_text_rows(file))
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"table '{path}' cannot be read ({error}); expected a CSV table: give another") from error


def _with_header(rows: Iterator[list[str]]) -> tuple[list[str], Iterator[list[str]]]:
    first = next((row for row in rows if any(cell.strip() for cell in row)), [])  # spreadsheets leave lines of delimiters
    pictures = [at for at, cell in enumerate(first) if cell.strip().lower().endswith(READ_EXTENSIONS)]
    if not pictures:
        return [cell.strip() for cell in first], rows
    names = [str(number) for number in range(1, len(first) + 1)]
    if len(first) in (3, 4) and pictures == [1]:
        names = list(LIST_COLUMNS[: len(first)])
    elif len(pictures) == 1:
        names[pictures[0]] = "filename"
        if len(first) == 2:
            names[1 - pictures[0]] = "class"
    return names, chain([first], rows)


def _open_text(table: Path, beginning: bytes) -> TextIO:
    """The table as text: UTF-8, or UTF-16 if it begins so; of other bytes `readable` makes text, cell by cell."""
    if beginning.startswith(UTF_16):
        return table.open(encoding="utf-16", errors="replace", newline="")
    return table.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def readable(text: str) -> str:
    """Text of a cell or of a file's name; bytes that are no UTF-8 are read as spreadsheets of Western Europe write them."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(WINDOWS, "replace")


def _text_rows(file: TextIO) -> Iterator[list[str]]:
    """The rows of a CSV file, or of a list whose cells are parted by spaces; `sep=` in the first line names the delimiter."""
    for row in _raw_rows(file):
        yield row if all(map(str.isascii, row)) else list(map(readable, row))


def _raw_rows(file: TextIO) -> Iterator[list[str]]:
    lines = _lines(file)
    first = next((line for line in lines if line.strip()), "")
    if declared := DECLARED.match(first):
        return csv.reader(lines, delimiter=declared[1])
    lines = chain([first], lines)
    delimiter = _delimiter(first)
    return csv.reader(lines, delimiter=delimiter) if delimiter else (_words(line) for line in lines if line.strip())


def _delimiter(header: str) -> str:
    """The delimiter that stands most often in the first line outside of quotes; '' where spaces part the cells of a list.

    `csv.Sniffer` looks at the cells as well, and takes the `|` of NIH's findings or the commas of a sentence for the delimiter.
    """
    bare = re.sub(r'"[^"]*"', "", header)
    most = max(DELIMITERS, key=bare.count)
    listed = any(word.lower().endswith(READ_EXTENSIONS) for word in bare.split())
    return most if bare.count(most) or not listed else ""


def _words(line: str) -> list[str]:
    """The cells of a list's line; where there are more than four, the file's name has spaces."""
    words = line.split()
    return words if len(words) <= len(LIST_COLUMNS) else [words[0], " ".join(words[1:-2]), *words[-2:]]


def _lines(file: TextIO) -> Iterator[str]:
    """Lines without null characters; one that never ends, and a table that does not, is given up before it fills the memory."""
    read = 0
    while line := file.readline(MAX_FIELD):
        read += len(line)
        if len(line) == MAX_FIELD:
            raise csv.Error(f"a line has more than {MAX_FIELD} characters")
        if read > MAX_FILE_BYTES:
            raise csv.Error(f"it has more than {MAX_FILE_BYTES / 1e6:.0f} million characters")
        yield line.replace("\0", "")


@contextmanager
def _workbook_rows(path: Path) -> Iterator[Iterator[list[str]]]:
    """The rows of an Excel workbook's first sheet."""
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ModuleNotFoundError as error:
        raise InputError(
            f"table '{path.name}' is an Excel workbook, for which a package is missing; expected CSV, or: pip install "
            "'covid19-xray[excel]'"
        ) from error
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_FILE_BYTES:
            raise ValueError(f"the workbook has {size / 1e6:.0f} MB when unpacked, expected {MAX_FILE_BYTES / 1e6:.0f} at most")
        book = load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, SyntaxError) as error:  # of XML, a ParseError is a SyntaxError
        raise ValueError(f"it is no Excel workbook: {error}") from error
    try:
        sheet = book.worksheets[0] if book.worksheets else None
        yield iter(()) if sheet is None else (list(map(_cell_text, row)) for row in sheet.iter_rows(values_only=True))
    finally:
        book.close()


def _cell_text(value: object) -> str:
    """A cell of a workbook as CSV would have it; a whole number, which Excel keeps as a float, without its point."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
