"""The table that comes with a collection: what it says of each image file by name. A CSV file in, one entry a file out.

Reads the metadata of ieee8023's covid-chestxray-dataset in any of its versions: header names vary in case and stray spaces,
`filename` was `imagename` for a while and sometimes lacks its extension, `modality` and `folder` came later, and `finding` has
had three styles ('COVID-19', 'COVID-19, ARDS', 'Pneumonia/Viral/COVID-19').
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TextIO

from covid19.core.addresses import MAX_FILE_BYTES, check_reachable, on_disk
from covid19.core.errors import InputError

NO_FINDING = {"", "todo", "unknown"}  # a label that says nothing
NAMES = ("filename", "imagename")
MAX_FIELD = 1_000_000  # characters; a longer field or line is no table
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how such a file begins, as spreadsheets write it


@dataclass(frozen=True, slots=True)  # of a million images the dictionaries would be larger than the data
class Entry:
    """What the table says of one image; an empty string where it says nothing.

    Attributes:
        patient: the collection's number or name of the patient.
        projection: 'PA', 'AP', 'AP Supine', 'L', 'Axial' ... as written, or 'CT' where only the modality says so.
        finding: the last part of the finding's path, such as 'COVID-19' or 'COVID-19, ARDS'; '' for todo and Unknown.
        source: where the image was published: column `source`, else the doi, else the url's host.
        license: as written.
        age: in years, as written.
    """

    patient: str = ""
    projection: str = ""
    finding: str = ""
    source: str = ""
    license: str = ""
    age: str = ""


@dataclass(frozen=True)
class Metadata:
    """A table read.

    Attributes:
        path: the file.
        rows: how many rows name an image.
        entries: by file name, in lower case.
        conflicts: names of files whose rows contradict each other in patient or view; only what they agree on is kept.
    """

    path: Path
    rows: int
    entries: Mapping[str, Entry]
    conflicts: tuple[str, ...]

    def of(self, name: str) -> Entry | None:
        """The entry of an image file by its name, folders ignored; without its extension if the table has none."""
        file = PurePath(name).name.lower()
        return self.entries.get(file) or self.entries.get(PurePath(file).stem)

    def without_file(self, names: set[str]) -> int:
        """How many of the table's files are not among the given file names."""
        here = {PurePath(name).name.lower() for name in names}
        here |= {PurePath(name).stem for name in here}
        return sum(name not in here for name in self.entries)


def read_metadata(path: Path) -> Metadata:
    """Read a collection's table.

    Args:
        path: a CSV file with a header row, UTF-8, or UTF-16 with a byte-order mark; at most 512 MB.

    Raises:
        InputError: it cannot be read, or has no column that names the image file.
    """
    check_reachable(path)
    csv.field_size_limit(MAX_FIELD)
    found: dict[str, list[Entry]] = {}
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no regular file")
        with on_disk(path) as table, _open(table) as file:
            reader = csv.reader(_lines(file))
            header = [_plain(cell) for cell in next(reader, [])]
            name_at = next((header.index(name) for name in NAMES if name in header), None)
            if name_at is None:
                raise InputError(
                    f"metadata '{path}' has no column {' or '.join(NAMES)} (it has: {', '.join(header)[:200] or 'nothing'}); "
                    "expected the table of the collection: give another with --metadata"
                )
            for row in reader:
                if len(row) > name_at and row[name_at].strip():
                    cells = {column: cell.strip() for column, cell in zip(header, row, strict=False)}
                    found.setdefault(PurePath(row[name_at].strip()).name.lower(), []).append(_entry(cells))
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"metadata '{path}' cannot be read ({error}); expected a CSV table: give another with --metadata"
        ) from error
    conflicts = tuple(sorted(name for name, rows in found.items() if len({(row.patient, row.projection) for row in rows}) > 1))
    entries = {name: _agreed(rows) for name, rows in found.items()}
    return Metadata(path, sum(map(len, found.values())), entries, conflicts)


def _open(table: Path) -> TextIO:
    """The table as text; bytes that are no UTF-8 are kept as Python keeps those of a file's name, so that both still match."""
    with table.open("rb") as start:
        if start.read(2) in UTF_16:
            return table.open(encoding="utf-16", errors="replace", newline="")
    return table.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


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


def is_covid(finding: str) -> bool:
    """Whether a finding, in any of the styles, is COVID-19."""
    return "covid" in finding.lower()


def _plain(cell: str) -> str:
    return re.sub(r"[\s_-]", "", cell).lower()


def _entry(cells: Mapping[str, str]) -> Entry:
    finding = cells.get("finding", "").rsplit("/", 1)[-1].strip()
    projection = cells.get("view", "")
    if cells.get("modality", "").upper().startswith("CT") and projection.upper() in ("", "PA", "AP"):
        projection = "CT"
    host = re.sub(r"^\w+://(www\.)?([^/]+).*$", r"\2", cells.get("url", ""))
    return Entry(
        patient=cells.get("patientid", ""),
        projection=projection,
        finding="" if finding.lower() in NO_FINDING else finding,
        source=cells.get("source", "") or cells.get("doi", "").removeprefix("doi:") or host,
        license=cells.get("license", ""),
        age=cells.get("age", ""),
    )


def _agreed(rows: list[Entry]) -> Entry:
    """What all rows of one file say; where they differ, nothing."""
    values = {field: {getattr(row, field) for row in rows} for field in Entry.__dataclass_fields__}
    return Entry(**{field: stated.pop() if len(stated) == 1 else "" for field, stated in values.items()})
