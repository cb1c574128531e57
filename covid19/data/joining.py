"""Join the images of a data set to the table that comes with them, and say loudly if the two do not belong together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from covid19.core.errors import InputError
from covid19.data.columns import MEANINGS, Entry
from covid19.data.gathering import Gathered
from covid19.data.metadata import Metadata, columns_of, read_metadata


class JoinedTable(NamedTuple):
    """What a table says of a data set's images.

    Attributes:
        entries: by the image's path.
        description: of the table, for reports; None without a table.
        notes: what is odd, in sentences.
    """

    entries: dict[str, Entry]
    description: dict[str, Any] | None
    notes: list[str]


def join_table(gathered: Gathered, given: Path | None) -> JoinedTable:
    """Find the images' rows in the table that was given, else in that of the labels, else in the root's `metadata.csv`.

    Raises:
        InputError: the table cannot be read, or was given and does not fit the images.
    """
    beside = gathered.root / "metadata.csv"
    if given:
        table = read_metadata(given)
    elif gathered.table and (gathered.table.has_patients or not beside.is_file()):
        table = gathered.table
    elif beside.is_file():
        if not columns_of(beside).has("file"):
            return JoinedTable(
                {}, None, [f"'{beside}' has no column that names the images and is not used: --metadata names another"]
            )
        table = read_metadata(beside)
    else:
        return JoinedTable({}, None, [])
    keys = table.match(image.name for image in gathered.images)
    without_file = len(table.entries) - len(set(keys.values()))
    misfit, notes = _compare(gathered, table, set(keys), without_file)
    if misfit and given:
        raise InputError(misfit)
    description = {
        "path": str(table.path),
        "rows": table.rows,
        "matched": len(keys),
        "without_file": without_file,
        "conflicts": list(table.conflicts),
    }
    return JoinedTable({name: table.entries[key] for name, key in keys.items()}, description, [misfit] * bool(misfit) + notes)


def _compare(gathered: Gathered, table: Metadata, found: set[str], without_file: int) -> tuple[str, list[str]]:
    """Why a table and the images do not belong together, or '', and what else is odd.

    A table of one class alone belongs to the images, and so does one of a collection from which images were chosen.
    """
    total = Counter(image.label for image in gathered.images)
    matched = Counter(image.label for image in gathered.images if image.name in found)
    fits_a_class = any(2 * matched[label] >= count for label, count in total.items())
    fits_rows = 2 * without_file <= len(table.entries)
    count = f"{len(found)} of {total.total()} images have a row in '{table.path}'"
    row = f"a row is '{next(iter(table.entries))}'" if table.entries else "it has no rows"
    misfit, notes = "", []
    if not found or not (fits_a_class or fits_rows):
        misfit = (
            f"only {count}, and {len(table.entries) - without_file} of its {len(table.entries)} images are here; expected "
            "most; without it patients and projections are unknown, and those of one patient are not kept together "
            f"({row}, a file is '{next((image.name for image in gathered.images), '')}'): give the table of these images"
        )
    elif 2 * len(found) < total.total():
        notes.append(f"only {count}: of the others nothing is known but what their names and headers say")
    if not table.has_patients:
        notes.append(
            f"'{table.path}' has no column that is known to name the patient, such as {', '.join(MEANINGS['patient'][:3])}: "
            "patients are known only where headers or names of files tell"
        )
    return misfit, notes
