"""Classes from a table: what its column of labels says of each image in, the class of each and who has none out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from covid19.data.columns import MEANINGS, Entry, plain_name
from covid19.data.findings import is_absence
from covid19.data.layout import Place, part_of, with_one_spelling
from covid19.data.metadata import Metadata
from covid19.data.patients import is_nobody
from covid19.data.walk import Skipped

SEVERAL = re.compile(r"\s*[|;]\s*")  # between the labels of one image, as in NIH's `Effusion|Infiltration`
LISTED = re.compile(r"['\"]([^'\"]+)['\"]")  # in PadChest's `['pneumonia', 'effusion']`
YES = {"1", "true", "yes", "y", "ja", "j", "oui", "si", "s\u00ed"}
NO = {"0", "false", "no", "n", "nein", "non"}
UNCERTAIN = {"-1", "u"}  # as in CheXpert
WHOLE = re.compile(r"(-?\d+)[.,]0*")  # a whole number as spreadsheets write it, `1.0` or `1,0`


class Labelled(NamedTuple):
    """The class and part of each image that has a label, and the images that have none."""

    places: dict[str, Place]
    skipped: list[Skipped]


def label_images(places: Mapping[str, Place], table: Metadata, positive: str | None) -> Labelled:
    """Give each image the class that its row says.

    A column of 0 and 1 makes two classes, the column's name and `no` before it. An image with several labels is of the positive
    class if that is one of them and it was given; else it is left out, as it has no one class.

    Args:
        places: of the images, of which the parts are used where the table has none.
        table: with labels.
        positive: the positive class, if it was given.
    """
    keys = table.match(places)
    is_yes_or_no = _is_yes_or_no(table.entries[key] for key in keys.values())
    labelled, skipped = {}, []
    for name, place in places.items():
        entry = table.entries[keys[name]] if name in keys else None
        label, problem = _label(entry, table.label_column if is_yes_or_no else "", positive)
        if problem or entry is None:
            skipped.append(Skipped(name, problem, "label"))
        else:
            labelled[name] = Place(label, part_of(entry.part) or place.part)
    return Labelled(with_one_spelling(labelled), skipped)


def _label(entry: Entry | None, yes_or_no_column: str, positive: str | None) -> tuple[str, str]:
    """The class of an image, or why it has none."""
    if entry is None:
        return "", "has no row of its own in the table of labels"
    stated = _stated(entry)
    if not stated:
        return "", f"has no label in its row ('{entry.label[:60]}')" if entry.label else "has no label in its row"
    if yes_or_no_column:
        return _yes_or_no({label.lower() for label in stated}, yes_or_no_column)
    if len(stated) == 1:
        return stated[0], ""
    if any(map(is_absence, stated)):
        return "", f"has labels that contradict each other ({', '.join(stated)[:60]})"
    wanted = next((label for label in stated if positive and label.casefold() == positive.casefold()), "")
    return wanted, "" if wanted else f"has several labels ({', '.join(stated)[:60]}): --positive LABEL takes those that have it"


def _stated(entry: Entry) -> list[str]:
    """The labels of an image, each once; a whole number is written as one, and words such as `nan` are none."""
    text = " ".join(entry.label.split())
    several = LISTED.findall(text) if text.startswith("[") else SEVERAL.split(text)
    plain = (match[1] if (match := WHOLE.fullmatch(label)) else label for label in map(str.strip, several))
    first: dict[str, str] = {}
    for label in plain:
        if label in UNCERTAIN or not is_nobody(label):
            first.setdefault(label.casefold(), label)
    return list(first.values())


def _yes_or_no(stated: set[str], column: str) -> tuple[str, str]:
    if stated & UNCERTAIN:
        return "", f"is uncertain in the column '{column}'"
    if len(stated) > 1:
        return "", f"has rows that contradict each other in the column '{column}'"
    is_yes = stated <= YES
    if plain_name(column) in MEANINGS["finding"]:  # a name such as `Target`, which names no finding
        return f"{column} {int(is_yes)}", ""
    return column if is_yes else f"no {column}", ""


def _is_yes_or_no(entries: Iterable[Entry]) -> bool:
    stated = {label.lower() for entry in entries for label in _stated(entry)}
    return bool(stated & (YES | NO)) and stated <= YES | NO | UNCERTAIN
