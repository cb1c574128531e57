"""The table that comes with a collection: what it says of each image file. A table in, one entry for each file out.

Files are found by the longest path ending that they share with a row, by their name, and by their name without its extension.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

from covid19.core.errors import InputError
from covid19.data.columns import MEANINGS, Columns, Entry
from covid19.data.file_kinds import stem_of
from covid19.data.tables import open_table


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
    """

    path: Path
    rows: int
    entries: dict[str, Entry]
    conflicts: tuple[str, ...]
    has_patients: bool = True
    label_column: str = ""

    def of(self, name: str) -> Entry | None:
        """The entry of one image file by its path or name; None without one, or if several rows could be meant."""
        key = self.match([name]).get(name)
        return None if key is None else self.entries[key]

    def of_part(self, part: str) -> Metadata:
        """The same table, all of whose images are of a part of a split unless their row says another; '' changes nothing."""
        if not part:
            return self
        return replace(self, entries={key: replace(entry, part=entry.part or part) for key, entry in self.entries.items()})

    def match(self, names: Iterable[str]) -> dict[str, str]:
        """For each image that has an entry its key in `entries`, by the image's path.

        A row names an image whose path ends as the row's whole path does, or the other way round. A row that agrees with it in
        its last parts only is taken if no other row does so well, and where that is the file's name alone, if no other image
        and no other row has that name: of `patient1/view1.png` and `patient2/view1.png` neither is taken for the other.
        """
        names = list(names)
        lower = {name: name.lower() for name in names}
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
        return found

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
                found.setdefault(name, []).append(columns.entry(row))
    conflicts = tuple(sorted(name for name, own in found.items() if len({(row.patient, row.projection) for row in own}) > 1))
    entries = {name: _agreed(own) for name, own in found.items()}
    return Metadata(path, sum(map(len, found.values())), entries, conflicts, columns.has("patient"), columns.label)


def merged(tables: Sequence[Metadata]) -> Metadata:
    """Several tables as one, named by the first; of an image in two of them the last counts."""
    if len(tables) == 1:
        return tables[0]
    return Metadata(
        path=tables[0].path,
        rows=sum(table.rows for table in tables),
        entries={key: entry for table in tables for key, entry in table.entries.items()},
        conflicts=tuple(sorted({name for table in tables for name in table.conflicts})),
        has_patients=any(table.has_patients for table in tables),
        label_column=tables[0].label_column,
    )


def _columns(path: Path, header: list[str], label_column: str | None, path_column: str | None, flag: str) -> Columns:
    shown = ", ".join(header)[:200] or "nothing"
    try:
        columns = Columns(header, path_column, label_column)
    except KeyError as error:
        raise InputError(
            f"{flag} '{path}' has no column '{error.args[0]}' (it has: {shown}); expected the name of one of these: give that"
        ) from error
    if not columns.has("file"):
        raise InputError(
            f"{flag} '{path}' has no column that names the image (it has: {shown}); expected one such as "
            f"{', '.join(MEANINGS['file'][:5])}: name it with --path-column, or give another table"
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
    """What all rows of one file say; where they differ, nothing."""
    values = {field.name: {getattr(row, field.name) for row in rows} for field in fields(Entry)}
    return Entry(**{name: stated.pop() if len(stated) == 1 else "" for name, stated in values.items()})
