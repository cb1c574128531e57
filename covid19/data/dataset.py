"""Find, read and filter the images of a data set: a folder in, records in sorted order and what was left out, and why, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from covid19.core.addresses import check_reachable, is_address
from covid19.core.console import shortened, warn
from covid19.core.errors import InputError
from covid19.data.columns import Entry
from covid19.data.findings import is_absence, is_covid
from covid19.data.walk import Skipped, walk

FEW_PATIENTS = 20  # patients of a class below which little can be concluded


class Listed(NamedTuple):
    """An image file before it is read: where to open it, its path relative to the root, its class, its part of a split.

    `found_as` is what folders or table call the class, where it was renamed: patients are told by that.
    """

    path: Path
    name: str
    label: str
    part: str = ""
    found_as: str = ""


class ImageStats(NamedTuple):
    """What decoding an image told, as far as every step needs it.

    Attributes:
        width, height: of the file's image, in pixels.
        hash: perceptual hash, 64 hexadecimal digits.
        contrast: standard deviation of the grey values, 0 to 128.
        colour: how much the hue varies over the picture, see `images.colourfulness`.
    """

    width: int
    height: int
    hash: str
    contrast: float
    colour: float


@dataclass(frozen=True, slots=True)
class Record:
    """One image that a run uses.

    Attributes:
        root: the data set's folder.
        name: path relative to the root, with '/' between folders, the same on every machine.
        label: its class, the name of the folder below the root.
        digest: SHA-256 of its bytes, in hexadecimal.
        patient: the same for all images of one patient.
        rule: what told the patient: 'metadata', 'dicom', 'name' or 'none'.
        projection: such as 'PA'; '' where nothing tells.
        entry: what the metadata says; its source is that of the file's name where the metadata names none.
        stats: what decoding told.
        group: the same for images of one patient and for duplicates; no group stands on both sides of a split.
        part: 'train', 'validation' or 'test' in a split that came with the data; '' without one.
    """

    root: Path
    name: str
    label: str
    digest: str
    patient: str
    rule: str
    projection: str
    entry: Entry
    stats: ImageStats
    group: int = -1
    part: str = ""

    @property
    def path(self) -> Path:
        """Where to open it; made when asked for, since a million paths would take more memory than all the rest."""
        return self.root / self.name


@dataclass(frozen=True)
class Dataset:
    """The images of one folder.

    Attributes:
        root: the folder as given.
        classes: class names, sorted; the order of the model's outputs.
        records: the images to use, sorted by name.
        skipped: files left out, with the reason.
        conflicts: for each image under two classes the paths of all its files, the first two of different classes; all of them
            are among the skipped.
        near: for each record a number that duplicates, exact or near, share.
        metadata: `path`, `rows`, how many images it `matched`, `without_file`, `conflicts`; or None without a table.
        notes: what to know of layout, table and patients, in sentences.
    """

    root: Path
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]
    conflicts: tuple[tuple[str, ...], ...] = ()
    near: tuple[int, ...] = ()
    metadata: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Images of each class, in the order of the classes."""
        counted = Counter(record.label for record in self.records)
        return {name: counted[name] for name in self.classes}

    def patients(self) -> dict[str, set[str]]:
        """Patients of each class, in the order of the classes."""
        return {label: {record.patient for record in self.records if record.label == label} for label in self.classes}

    def of(self, positions: Sequence[int]) -> Dataset:
        """The same data set with only the images at some positions."""
        return replace(self, records=tuple(self.records[i] for i in positions), near=tuple(self.near[i] for i in positions))

    def without(self, lost: Mapping[str, str]) -> Dataset:
        """The data set less some images that turned out to be unreadable, given why by name.

        Raises:
            InputError: a class is left with fewer than two images.
        """
        kept = [position for position, record in enumerate(self.records) if record.name not in lost]
        skipped = (*self.skipped, *(Skipped(name, why, "unreadable") for name, why in lost.items()))
        left = replace(self.of(kept), skipped=skipped)
        check_counts(self.root, left.counts(), "usable image", left.skipped)
        return left

    def duplicates(self) -> dict[str, int]:
        """How many images have an `exact` and how many only a `near` duplicate here; how many were dropped as `conflicting`."""
        digests = Counter(record.digest for record in self.records)
        numbers = Counter(self.near)
        exact = sum(digests[record.digest] > 1 for record in self.records)
        alike = sum(numbers[number] > 1 for number in self.near)
        return {"exact": exact, "near": alike - exact, "conflicting": sum(s.kind == "conflict" for s in self.skipped)}

    def as_json(self) -> dict[str, Any]:
        """What a report says of the data; paths are relative to the root."""
        projections = Counter(record.projection or "unknown" for record in self.records)
        return {
            "root": str(self.root),
            "classes": list(self.classes),
            "counts": self.counts(),
            "images": len(self.records),
            "patients": len({record.patient for record in self.records}),
            "patients_by_class": {label: len(patients) for label, patients in self.patients().items()},
            "patients_by_rule": dict(Counter(record.rule for record in self.records)),
            "projections": dict(sorted(projections.items())),
            "duplicates": self.duplicates(),
            "metadata": self.metadata,
            "skipped": [{"path": item.path, "reason": item.reason} for item in self.skipped],
        }


def inputs_in(root: Path) -> list[Path]:
    """What a run reads below a data set's root: its folders and its table, as far as they are there.

    Not the root itself: a run that is started in it may write there, and again over its own earlier outputs.
    """
    if is_address(root) or not root.is_dir():
        return []
    return [*(entry for entry in root.iterdir() if entry.is_dir()), root / "metadata.csv"]


def choose_positive(classes: tuple[str, ...], wanted: str | None) -> str:
    """The positive class: the one wanted, else the first whose name is that of COVID-19, not denied, else the first.

    Raises:
        InputError: the wanted class is none of the classes.
    """
    if wanted is None:
        return next((name for name in classes if is_covid(name)), classes[0])
    same = [name for name in classes if name.casefold() == wanted.casefold()]
    if wanted not in same and len(same) != 1:
        raise InputError(f"--positive '{wanted}' is no class; expected one of: {', '.join(classes)}")
    return wanted if wanted in same else same[0]


def describe_odd_positive(positive: str) -> str:
    """A sentence where the positive class is the absence of something; '' otherwise."""
    if not is_absence(positive):
        return ""
    return (
        f"the positive class is '{positive}', whose name says that nothing was found: sensitivity is then that of finding "
        "nothing; name the disease's class with --positive"
    )


def check_counts(root: Path, counts: Mapping[str, int], what: str, skipped: Sequence[Skipped] = ()) -> None:
    """Make sure that each class has an image to train on and one to test on.

    Args:
        root: the data set's folder.
        counts: images by class.
        what: is counted, in the singular.
        skipped: files left out, of which the first of the class is named.

    Raises:
        InputError: a class has fewer than two.
    """
    for label, count in counts.items():
        if count < 2:
            own = [item for item in skipped if item.label == label and item.kind != "other"]
            first = f" ('{own[0].path}': {own[0].reason})" if own else ""
            others = sum(item.kind == "projection" for item in own)
            view = f", or keep the {others} of another projection with --view any" if others else ""
            raise InputError(
                f"dataset '{root}': class '{label}' has {count} {what}{'s' * (count != 1)}{first}; expected two or more (one "
                f"to train on, one to test on): add images{view}, or remove the folder if it is no class"
            )


def list_inputs(inputs: Sequence[Path]) -> list[str]:
    """The files to answer for: those given, and the images below folders, sorted; pictures of any kind, as those are refused.

    Raises:
        InputError: an input does not exist, or there are no images.
    """
    files: list[str] = []
    for path in inputs:
        check_reachable(path)
        if path.is_dir():
            tree = walk(path)
            pictures = {name: path / name for name, _, kind, _ in tree.skipped if kind == "kind"}
            files += sorted(map(str, (tree.images | pictures).values()))
            for line in shortened([f"'{path / item.path}': {item.reason}" for item in tree.skipped if item.kind != "kind"]):
                warn(line)
        elif path.exists():
            files.append(str(path))
        else:
            raise InputError(f"'{path}' does not exist; expected an image or a folder of images: check the path")
    if not files:
        raise InputError(
            f"no image in {', '.join(map(str, inputs))}; expected PNG, JPEG, BMP, TIFF or DICOM files: check the path"
        )
    return files
