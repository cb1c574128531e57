"""The table that comes with a collection: what it says of each image file. A table in, one entry for each file out.

Files are found by the longest path ending that they share with a row, by their name, and by their name without its extension.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from covid19.core.errors import InputError
from covid19.data.columns import MEANINGS, Columns, Entry
from covid19.data.file_kinds import stem_of
from covid19.data.tables import open_table, readable


@dataclass(frozen=True)
class Metadata:
    """A table read.

    Attributes:
        path: the file.
        rows: how many rows name an image.
        entries: by the image's path as the table has it, in lower case, with '/' between folders.
        conflicts: paths of images whose rows contradict each other in patient or projection; only what they agree on is kept.
        has_patients: whether a column names the patient.
        label_column: name of the column of the labels, '' without one.
        other_labels: other columns that could be it, where none was named.
        header: names of all columns.
    """

    path: Path
    rows: int
    entries: dict[str, Entry]
    conflicts: tuple[str, ...]
    has_patients: bool = True
    label_column: str = ""
    other_labels: tuple[str, ...] = ()
    header: tuple[str, ...] = ()

    def of(self, name: str) -> Entry | None:
        """The entry of one image file by its path or name; None without one, or if several rows could be meant."""
        key = self.match([name]).get(name)
        return None if key is None else self.entries[key]

    def of_part(self, part: str, names: Iterable[str]) -> Metadata:
        """The same table, all of whose images are of a part of a split unless their row says another; '' changes nothing.

        Args:
            part: as the name of the table says.
            names: paths of the images in folders of that part: a row that names one is its alone, since other tables may name
                images of other parts by the same name.
        """
        if not part:
            return self
        places = {key: comparable(name) for name, key in self.match(names).items()}
        return replace(
            self,
            entries={places.get(key, key): replace(entry, part=entry.part or part) for key, entry in self.entries.items()},
        )

    def match(self, names: Iterable[str]) -> dict[str, str]:
        """For each image that has an entry its key in `entries`, by the image's path.

        A row names an image whose path ends as the row's whole path does, or the other way round. A row that agrees with it in
        its last parts only is taken if no other row does so well, and where that is the file's name alone, if no other image
        and no other row has that name: of `patient1/view1.png` and `patient2/view1.png` neither is taken for the other. A row
        that several files could be is of none.
        """
        lower = {name: comparable(name) for name in names}
        files = Counter(path.rpartition("/")[2] for path in lower.values())
        stems = Counter(stem_of(path) for path in lower.values())
        found = {}
        for name, path in lower.items():
            own, stem = path.rpartition("/")[2], stem_of(path)
            key = self._best(self._by_name.get(own, ()), path, files[own] == 1)
            if key is None and own not in self._by_name:
                key = self._best(self._by_stem.get(stem, ()), path, stems[stem] == 1)
            if key is not None:
                found[name] = key
        # A row is of one image: where several files could be it, of none, unless one of them agrees in more of its path.
        shared = {name: _shared_ending(key, lower[name]) for name, key in found.items()}
        claims = Counter((key, shared[name]) for name, key in found.items())
        longest: dict[str, int] = {}
        for name, key in found.items():
            longest[key] = max(longest.get(key, 0), shared[name])
        return {name: key for name, key in found.items() if shared[name] == longest[key] and claims[key, longest[key]] == 1}

    def without_file(self, names: Iterable[str]) -> int:
        """How many of the table's images are not among the given files."""
        return len(self.entries) - len(set(self.match(names).values()))

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _grouped(self.entries, lambda key: key.rpartition("/")[2])

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _grouped(self.entries, stem_of)

    @staticmethod
    def _best(keys: Sequence[str], path: str, is_only_file: bool) -> str | None:
        """The one of several rows of a file's name that shares the longest path ending with it, if only one does."""
        shared = {key: _shared_ending(key, path) for key in keys}
        longest = max(shared.values(), default=0)
        best = [key for key, length in shared.items() if length == longest]
        named = [key for key in best if longest == key.count("/") + 1]  # whose whole path is the file's ending
        if len(named) == 1:
            return named[0]
        agrees = longest > 1 or longest == path.count("/") + 1 or (is_only_file and len(keys) == 1)
        return best[0] if len(best) == 1 and agrees else None


def read_metadata(
    path: Path, label_column: str | None = None, path_column: str | None = None, flag: str = "--metadata"
) -> Metadata:  # fmt: skip
    """Read a collection's table.

    Args:
        path: a CSV file, UTF-8, or UTF-16 with a byte-order mark, an Excel workbook or a list; at most 512 MB.
        label_column, path_column: names of the columns of the labels and of the images' paths; None takes the usual ones.
        flag: that gave the table, for messages.

    Raises:
        InputError: it cannot be read, or has no column that names the image file.
    """
    found: dict[str, list[Entry]] = {}
    with open_table(path) as (header, rows):
        columns = _columns(path, header, label_column, path_column, flag)
        for row in rows:
            if name := columns.file(row):
                found.setdefault(comparable(name), []).append(columns.entry(row))
    entries = {name: _agreed(own) for name, own in found.items()}
    return Metadata(
        path, sum(map(len, found.values())), entries, tuple(_contradicted(found)), columns.has("patient"), columns.label,
        columns.other_labels, tuple(header),
    )  # fmt: skip


def comparable(path: str) -> str:
    """A path as paths of rows and files are compared: in lower case, and accented letters in one form."""
    return unicodedata.normalize("NFC", path if path.isascii() else readable(path)).lower()


def merged(tables: Sequence[Metadata]) -> Metadata:
    """Several tables as one, named by the first; of an image in two of them only what both say is kept."""
    if len(tables) == 1:
        return tables[0]
    rows: dict[str, list[Entry]] = defaultdict(list)
    for table in tables:
        for key, entry in table.entries.items():
            rows[key].append(entry)
    return Metadata(
        path=tables[0].path,
        rows=sum(table.rows for table in tables),
        entries={key: _agreed(own) for key, own in rows.items()},
        conflicts=tuple(sorted({*_contradicted(rows), *(name for table in tables for name in table.conflicts)})),
        has_patients=any(table.has_patients for table in tables),
        label_column=tables[0].label_column,
        other_labels=tables[0].other_labels,
        header=tables[0].header,
    )


def columns_of(path: Path) -> Columns:
    """The columns of a table.

    Raises:
        InputError: it cannot be read.
    """
    with open_table(path) as (header, _):
        return Columns(header)


def shown_columns(header: Sequence[str]) -> str:
    """The names of a table's columns, for messages."""
    return ", ".join(filter(None, header))[:200] or "nothing"


def _columns(path: Path, header: list[str], label_column: str | None, path_column: str | None, flag: str) -> Columns:
    shown = shown_columns(header)
    try:
        columns = Columns(header, path_column, label_column)
    except KeyError as error:
        raise InputError(
            f"{flag} '{path}' has no column '{error.args[0]}' (it has: {shown}); expected the name of one of these: give that"
        ) from error
    if not columns.has("file"):
        remedy = "name it with --path-column" if flag == "--labels" else f"call it {MEANINGS['file'][0]}"
        raise InputError(
            f"{flag} '{path}' has no column that names the image (its first line has: {shown}); expected one such as "
            f"{', '.join(MEANINGS['file'][:5])}: {remedy}, or give another table"
        )
    twice = [name for name in (label_column, path_column) if name is not None and header.count(name) > 1]
    if twice:
        raise InputError(
            f"{flag} '{path}' has the column '{twice[0]}' more than once; expected one of each name: rename the others"
        )
    return columns


def _grouped(keys: Iterable[str], of: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        groups[of(key)].append(key)
    return dict(groups)


def _shared_ending(key: str, path: str) -> int:
    """How many last parts two paths share, whose last parts, the file's names, are taken for equal."""
    length = 1
    for one, other in zip(reversed(key.split("/")[:-1]), reversed(path.split("/")[:-1]), strict=False):
        if one != other:
            break
        length += 1
    return length


def _agreed(rows: list[Entry]) -> Entry:
    """What all rows of one file say: where they differ, nothing, but of the labels all, as there may be a row for each."""
    if len(rows) == 1:
        return rows[0]
    values = {field.name: {getattr(row, field.name) for row in rows} for field in fields(Entry)}
    labels = "|".join(sorted(values["label"] - {""}))
    return Entry(**{name: stated.pop() if len(stated) == 1 else "" for name, stated in values.items()} | {"label": labels})


def _contradicted(rows: Mapping[str, Sequence[Entry]]) -> list[str]:
    """The images whose rows contradict each other in patient or projection, sorted."""
    return sorted(name for name, own in rows.items() if len({(row.patient, row.projection) for row in own}) > 1)
