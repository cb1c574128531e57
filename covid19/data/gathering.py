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
from covid19.data.dataset import Listed
from covid19.data.file_kinds import DOCUMENT_EXTENSIONS
from covid19.data.labels import label_images
from covid19.data.layout import Layout, Place, find_layout, part_of
from covid19.data.layout_check import OR_MORE, check_folders, check_rows, notes_of
from covid19.data.metadata import Metadata, columns_of, merged, read_metadata, shown_columns
from covid19.data.walk import Skipped, count_others, walk


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
        check_rows(table, layout)
        places, unlabelled = label_images(layout.places, table, positive)
    else:
        check_folders(root, tree, layout, fewest_classes)
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
        table, tuple(notes_of(layout, places, table)),
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
