"""Classes from a table: what its column of labels says of each image in, the class of each and who has none out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from covid19.data.columns import MEANINGS, Entry, plain_name
from covid19.data.layout import Place, part_of, with_one_spelling
from covid19.data.metadata import Metadata
from covid19.data.walk import Skipped

SEVERAL = re.compile(r"\s*[|;]\s*")  # between the labels of one image, as in NIH's `Effusion|Infiltration`
LISTED = re.compile(r"['\"]([^'\"]+)['\"]")  # in PadChest's `['pneumonia', 'effusion']`
YES = {"1", "1.0", "true", "yes", "y"}
NO = {"0", "0.0", "false", "no", "n"}
UNCERTAIN = {"-1", "-1.0", "u"}  # as in CheXpert


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
    is_yes_or_no = _is_yes_or_no(table.entries[key].label for key in keys.values())
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
        return "", "has no row in the table of labels"
    text = " ".join(entry.label.split())
    if not text:
        return "", "has no label in its row, or its rows contradict each other"
    if yes_or_no_column:
        return _yes_or_no(text.lower(), yes_or_no_column)
    several = LISTED.findall(text) if text.startswith("[") else [label for label in SEVERAL.split(text) if label]
    if len(several) == 1:
        return several[0], ""
    wanted = next((label for label in several if positive and label.casefold() == positive.casefold()), "")
    return wanted, "" if wanted else f"has several labels ({text[:60]}): --positive LABEL takes those that have it"


def _yes_or_no(text: str, column: str) -> tuple[str, str]:
    if text in UNCERTAIN:
        return "", f"is uncertain in the column '{column}'"
    if plain_name(column) in MEANINGS["finding"]:  # a name such as `Target`, which names no finding
        return f"{column} {int(text in YES)}", ""
    return column if text in YES else f"no {column}", ""


def _is_yes_or_no(labels: Iterable[str]) -> bool:
    stated = {label.strip().lower() for label in labels} - {""}
    return bool(stated & (YES | NO)) and stated <= YES | NO | UNCERTAIN
