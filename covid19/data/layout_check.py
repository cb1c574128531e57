"""What is wrong or odd about the layout of a data set: refusals that name the folder or the table to give, and notes."""

from __future__ import annotations

from pathlib import Path

from covid19.core.errors import InputError
from covid19.data.columns import Columns
from covid19.data.findings import is_absence, is_covid
from covid19.data.layout import Layout, Place, is_class_name, part_of
from covid19.data.metadata import Metadata, shown_columns
from covid19.data.tables import TABLE_EXTENSIONS, open_table
from covid19.data.walk import Tree

NAMED_AT_MOST = 6  # folders in an error
OR_MORE = {1: "one or more", 2: "two or more"}


def check_rows(table: Metadata, layout: Layout) -> None:
    """Refuse a table of labels of which no row names an image.

    Raises:
        InputError: it is such a table.
    """
    if layout.places and not table.match(layout.places):
        raise InputError(
            f"no row of --labels '{table.path}' names an image (a row is '{next(iter(table.entries), '')}', a file is "
            f"'{min(layout.places)}'); expected the names or paths of the images: name their column with --path-column (it "
            f"has: {shown_columns(table.header)}), or give the table of these images"
        )


def check_folders(root: Path, tree: Tree, layout: Layout, fewest_classes: int) -> None:
    """Refuse folders that are no classes, or not all of them, with what to give instead.

    Raises:
        InputError: there are too few classes, parts of a split lie beside other folders, or most images are in none.
    """
    if layout.mixed:
        raise InputError(
            f"--dataset '{root}' holds parts of a split ({', '.join(layout.parts)}) beside other folders of images "
            f"({', '.join(layout.mixed[:NAMED_AT_MOST])}); expected one or the other: move the others away"
        )
    inner = _shared_folders(layout.places)
    if len(layout.classes) > 1 and any(is_absence(name) or is_covid(name) for name in inner):
        one = root / layout.top / layout.classes[0]
        raise InputError(
            f"the class folders of --dataset '{root}' ({', '.join(layout.classes[:NAMED_AT_MOST])}) all hold the folders "
            f"{', '.join(inner[:NAMED_AT_MOST])}, which look like the classes; expected each class in one folder, or in "
            f"folders such as train and test: give one of them, such as --dataset '{one}', or rename them"
        )
    loose = [name for name, place in layout.places.items() if not place.label]
    classes = layout.classes
    if len(classes) >= fewest_classes and len(loose) <= len(layout.places) / 2:
        return
    if not classes:
        found = "no class folder"
    elif len(classes) < fewest_classes:
        found = f"one class folder, '{classes[0]}'"
    else:
        found = f"{len(loose)} of {len(layout.places)} images in no class folder"
    if loose and len(classes) < fewest_classes:
        folders = sorted({name.partition("/")[0] for name in loose if "/" in name})
        found += f" ({len(loose)} images lie in {', '.join(folders[:NAMED_AT_MOST]) or 'the folder itself'})"
    raise InputError(f"--dataset '{root}' holds {found}; expected {OR_MORE[fewest_classes]}: {_remedy(root, tree, layout)}")


def _remedy(root: Path, tree: Tree, layout: Layout) -> str:
    """What to give for a folder without class folders: a folder below it, or a table in it."""
    if len(layout.classes) == 1:
        below = sorted({"/".join(name.split("/")[:2]) for name in layout.places if name.count("/") > 1})
        inner = {name.partition("/")[2] for name in below}
        if len(inner) > 1:
            outer = root / next(iter(below)).partition("/")[0]
            return f"give the folder of the classes: --dataset '{outer}' holds {', '.join(sorted(inner)[:NAMED_AT_MOST])}"
    for name in sorted(tree.others, key=lambda name: name.count("/")):
        if name.lower().endswith(TABLE_EXTENSIONS) and name.count("/") < 2 and (flags := _table_flags(root / name)):
            return f"give the table of the labels with --labels '{root / name}' {flags}"
    masks = [item.path for item in layout.skipped if item.kind == "mask"]
    taken = f" (taken for masks: {', '.join(masks[:NAMED_AT_MOST])})" if masks else ""
    return f"put each class's images in a folder of its own{taken}, or give the table of their labels with --labels FILE"


def _table_flags(path: Path) -> str:
    """The flags for a file that may be a table of images; '' if it is none."""
    try:
        with open_table(path) as (header, _):
            columns = Columns(header)
    except InputError:
        return ""
    if not columns.has("file") and not columns.has("patient"):
        return ""
    label = f"'{columns.label}'" if columns.label else f"NAME (it has: {shown_columns(header)})"
    return f"--label-column {label}" + ("" if columns.has("file") else " --path-column NAME")


def notes_of(layout: Layout, places: dict[str, Place], table: Metadata | None) -> list[str]:
    """What is to be known of a layout, in sentences."""
    if table:
        return _notes_of_labels(layout, places, table)
    notes = [f"the classes are folders of '{layout.top}', the only one with images"] if layout.top else []
    if shared := _shared_folders(places):
        notes.append(
            f"all class folders hold the same folders ({', '.join(shared[:NAMED_AT_MOST])}): if those are the classes, the "
            "folders around them are sources or parts, and one of them is to be given with --dataset"
        )
    return notes


def _notes_of_labels(layout: Layout, places: dict[str, Place], table: Metadata) -> list[str]:
    """What is odd about a table of labels, where its images lie or what it says of a split."""
    notes = []
    if table.other_labels:
        notes.append(
            f"the classes are those of the column '{table.label_column}'; '{table.path}' also has "
            f"{', '.join(table.other_labels)}, which --label-column can name"
        )
    classes = {place.label.casefold() for place in places.values()}
    elsewhere = [name for name, place in places.items() if (folder := layout.places[name].label.casefold()) in classes and
                 folder != place.label.casefold()]  # fmt: skip
    if elsewhere:
        notes.append(
            f"{len(elsewhere)} of {len(places)} images lie in the folder of another class than the table says, such as "
            f"'{elsewhere[0]}' ({places[elsewhere[0]].label}): the table counts"
        )
    if odd := sorted({entry.part for entry in table.entries.values() if entry.part and not part_of(entry.part)}):
        notes.append(
            f"'{table.path}' names parts of a split that are none of train, val and test ({', '.join(odd[:NAMED_AT_MOST])}): "
            "they are not used"
        )
    return notes


def _shared_folders(places: dict[str, Place]) -> list[str]:
    """The folders that might be classes and lie in each class folder, at any depth, if there are two or more."""
    below: dict[str, set[str]] = {}
    for name, place in places.items():
        parts = name.split("/")[:-1]
        inner = parts[parts.index(place.label) + 1 :] if place.label in parts else []
        below.setdefault(place.label, set()).update(part for part in inner if is_class_name(part))
    shared = set.intersection(*below.values()) if below else set()
    return sorted(shared) if len(shared) > 1 else []
