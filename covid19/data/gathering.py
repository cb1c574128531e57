"""Gather the images of a data set, however it is laid out: a folder and perhaps a table in, images with their classes out.

Classes are folders, or labels in a table. What cannot be told apart is refused, with the folder or the table to give instead.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from covid19.core.addresses import check_reachable
from covid19.core.errors import InputError
from covid19.core.settings import DataSettings, PredictSettings
from covid19.data.columns import Columns
from covid19.data.dataset import Listed
from covid19.data.file_kinds import DOCUMENT_EXTENSIONS
from covid19.data.findings import is_absence, is_covid
from covid19.data.labels import label_images
from covid19.data.layout import Layout, Place, find_layout, is_class_name, part_of
from covid19.data.metadata import Metadata, columns_of, merged, read_metadata, shown_columns
from covid19.data.tables import TABLE_EXTENSIONS, open_table
from covid19.data.walk import Skipped, Tree, count_others, walk

NAMED_AT_MOST = 6  # folders in an error
OR_MORE = {1: "one or more", 2: "two or more"}


@dataclass(frozen=True)
class LabelTable:
    """Where the classes come from if not from folders.

    Attributes:
        files: tables; one whose name says a part of a split, such as `train.txt`, says so of its images.
        label_column, path_column: names of its columns; None takes the usual ones.
    """

    files: tuple[Path, ...]
    label_column: str | None = None
    path_column: str | None = None


@dataclass(frozen=True)
class Gathered:
    """The images of a data set before they are read.

    Attributes:
        root: the folder as given.
        classes: sorted; the order of the model's outputs.
        images: sorted by name.
        skipped: files and folders left out.
        table: of the labels, which says more of the images than these; None where the classes are folders.
        notes: what to know of the layout, in sentences.
    """

    root: Path
    classes: tuple[str, ...]
    images: tuple[Listed, ...]
    skipped: tuple[Skipped, ...]
    table: Metadata | None = None
    notes: tuple[str, ...] = ()

    def parts(self) -> dict[str, int]:
        """Images of each part of the split that the data come with; empty without one."""
        counted = Counter(image.part for image in self.images if image.part)
        return {part: counted[part] for part in ("train", "validation", "test") if part in counted}

    def renamed(self, names: Mapping[str, str]) -> Gathered:
        """The same images with other names of some classes; several may become one."""
        return replace(
            self,
            classes=tuple(sorted({names.get(label, label) for label in self.classes})),
            images=tuple(
                image._replace(label=names.get(image.label, image.label), found_as=image.label) for image in self.images
            ),
            skipped=tuple(item._replace(label=names.get(item.label, item.label)) for item in self.skipped),
        )

    def counts(self) -> dict[str, int]:
        """Images of each class."""
        counted = Counter(image.label for image in self.images)
        return {label: counted[label] for label in self.classes}


def label_table(data: DataSettings | PredictSettings) -> LabelTable | None:
    """The table that a run's settings name, or None."""
    if not data.labels and (data.label_column or data.path_column):
        raise InputError("--label-column and --path-column name columns of a table; expected it as well: give it with --labels")
    return LabelTable(data.labels, data.label_column, data.path_column) if data.labels else None


def gather(root: Path, labels: LabelTable | None = None, positive: str | None = None, fewest_classes: int = 2) -> Gathered:
    """Find the images of a data set and the class of each.

    Args:
        root: a folder or an address.
        labels: the table that has the classes; None takes the folders'.
        positive: the positive class, if it was given: an image with several labels belongs to it.
        fewest_classes: that must be there: two to train on, one to test a model on.

    Raises:
        InputError: the root is missing or no folder, a table cannot be read, or there are too few classes.
    """
    check_root(root)
    if labels is None and _is_collection(root):
        raise InputError(
            f"--dataset '{root}' is a checkout of the ieee8023 collection, in which X-rays, CT slices and findings are mixed; "
            f"expected one folder of images for each class: make them with: covid19 prepare NEW_FOLDER --collection "
            f"{shlex.quote(str(root))}"
        )
    tree = walk(root)
    layout = find_layout(list(tree.images), tree.folders, root.absolute().name)
    table = read_labels(labels, layout.places) if labels else None
    if table:
        _check_rows(table, layout)
        places, unlabelled = label_images(layout.places, table, positive)
    else:
        _check_folders(root, tree, layout, fewest_classes)
        places = {name: place for name, place in layout.places.items() if place.label}
        unlabelled = [Skipped(name, "not in a class folder", "stray") for name in layout.places.keys() - places.keys()]
    classes = tuple(sorted({place.label for place in places.values()}))
    if len(classes) < fewest_classes and table:
        found = f"one class, '{classes[0]}'" if classes else "no class"
        raise InputError(
            f"the table '{table.path}' gives {found} to the {len(layout.places)} images of '{root}' (column "
            f"'{table.label_column}'; {len(places)} images have a row with a label); expected {OR_MORE[fewest_classes]}: name "
            "the column of the labels with --label-column, and that of the images' paths with --path-column"
        )
    skipped = [*layout.skipped, *unlabelled, *tree.skipped, *count_others(tree.others, _folder_of(set(classes), layout))]
    return Gathered(
        root, classes,
        tuple(Listed(tree.images[name], name, place.label, place.part) for name, place in sorted(places.items())),
        tuple(sorted(_with_label(item, set(classes)) for item in skipped)),
        table, tuple(_notes(layout, places, table)),
    )  # fmt: skip


def check_root(root: Path) -> None:
    """Make sure that a data set's root is a folder.

    Raises:
        InputError: it is missing or none.
    """
    check_reachable(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise InputError(f"--dataset '{root}' {what}; expected a folder with one folder of images for each class")


def _is_collection(root: Path) -> bool:
    """Whether a folder is a checkout of ieee8023's covid-chestxray-dataset, whose images all lie in one folder."""
    table = root / "metadata.csv"
    if not (table.is_file() and (root / "images").is_dir()):
        return False
    columns = columns_of(table)
    return columns.has("patient") and columns.has("finding") and columns.has("file")


def read_labels(labels: LabelTable, places: Mapping[str, Place]) -> Metadata:
    """Read the tables that hold the classes, as one.

    Args:
        labels: the tables.
        places: of the images by their path, of which the parts count: a table of one part is first of the images there.

    Raises:
        InputError: one cannot be read, or has no column of labels.
    """
    tables = []
    for path in labels.files:
        table = read_metadata(path, labels.label_column, labels.path_column, "--labels")
        if not table.label_column:
            raise InputError(
                f"--labels '{path}' has no column that is known to hold labels (it has: {shown_columns(table.header)}); "
                "expected one such as finding, label or class: name it with --label-column"
            )
        part = part_of(path.stem)
        tables.append(table.of_part(part, [name for name, place in places.items() if part and place.part == part]))
    return merged(tables)


def _check_rows(table: Metadata, layout: Layout) -> None:
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


def _check_folders(root: Path, tree: Tree, layout: Layout, fewest_classes: int) -> None:
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


def _folder_of(classes: set[str], layout: Layout) -> Callable[[str], str]:
    """A function that gives the folder by which a file that is no picture is counted; '' for one that is none's business.

    That is its class's; outside of the classes its own if images lie in or below it, but for documents, such as tables.
    """
    used = {str(folder) for name in layout.places for folder in PurePosixPath(name).parents}

    def folder(name: str) -> str:
        parts = name.split("/")[:-1]
        if (at := next((number for number, part in enumerate(parts) if part in classes), None)) is not None:
            return "/".join(parts[: at + 1])
        own = "/".join(parts) or "."
        return own if own in used and not name.lower().endswith(DOCUMENT_EXTENSIONS) else ""

    return folder


def _with_label(item: Skipped, classes: set[str]) -> Skipped:
    """What was left out, with the class in whose folder it lies."""
    return item._replace(label=next((part for part in item.path.split("/") if part in classes), ""))


def _notes(layout: Layout, places: dict[str, Place], table: Metadata | None) -> list[str]:
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
