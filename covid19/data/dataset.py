"""Find, read and filter the images of a data set: a folder in, records in sorted order and what was left out, and why, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from imutils import paths

from covid19.core.addresses import check_reachable, is_address, list_files
from covid19.core.errors import InputError
from covid19.data.dicom import is_dicom_file
from covid19.data.metadata import Entry

FEW_PATIENTS = 20  # patients of a class below which little can be concluded
EXTENSIONS = (*paths.image_types, ".dcm", ".dicom")


class Skipped(NamedTuple):
    """A file that was left out.

    Attributes:
        path: relative to the data set's root.
        reason: in words.
        kind: 'unreadable', 'projection', 'conflict' or 'stray'.
    """

    path: str
    reason: str
    kind: str


class Listed(NamedTuple):
    """An image file before it is read: where to open it, its path relative to the root, its class."""

    path: Path
    name: str
    label: str


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
    """

    root: Path
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]
    conflicts: tuple[tuple[str, ...], ...] = ()
    near: tuple[int, ...] = ()
    metadata: dict[str, Any] | None = None

    def counts(self) -> dict[str, int]:
        """Images of each class, in the order of the classes."""
        counted = Counter(record.label for record in self.records)
        return {name: counted[name] for name in self.classes}

    def patients(self) -> dict[str, set[str]]:
        """Patients of each class, in the order of the classes."""
        return {label: {record.patient for record in self.records if record.label == label} for label in self.classes}

    def without(self, lost: Mapping[str, str]) -> Dataset:
        """The data set less some images that turned out to be unreadable, given why by name.

        Raises:
            InputError: a class is left with fewer than two images.
        """
        kept = [position for position, record in enumerate(self.records) if record.name not in lost]
        left = replace(
            self,
            records=tuple(self.records[i] for i in kept),
            near=tuple(self.near[i] for i in kept),
            skipped=(*self.skipped, *(Skipped(name, why, "unreadable") for name, why in lost.items())),
        )
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
            "skipped": [{"path": path, "reason": reason} for path, reason, _ in self.skipped],
        }


def list_classes(root: Path) -> tuple[str, ...]:
    """The class folders below a root, sorted; hidden folders are no classes.

    Raises:
        InputError: the root is missing or no folder, or holds fewer than two class folders.
    """
    check_reachable(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise InputError(f"--dataset '{root}' {what}; expected a folder with one folder of images for each class")
    entries = (entry for entry in root.iterdir() if entry == root / entry.name)  # a bucket also lists `//`, which is no folder
    classes = tuple(sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")))
    if len(classes) < 2:
        found = f"one class folder, '{classes[0]}'" if classes else "no class folder"
        raise InputError(
            f"--dataset '{root}' holds {found}; expected two or more: put each class's images in a folder of its own"
        )
    return classes


def inputs_in(root: Path) -> list[Path]:
    """What a run reads below a data set's root: its folders and its table, as far as they are there.

    Not the root itself: a run that is started in it may write there, and again over its own earlier outputs.
    """
    if is_address(root) or not root.is_dir():
        return []
    return [*(entry for entry in root.iterdir() if entry.is_dir()), root / "metadata.csv"]


def list_images(root: Path, classes: tuple[str, ...]) -> list[Listed]:
    """The image files of each class, folders below it included, sorted by name whatever order the file system gives.

    A file counts by its extension, or without one if it begins as a DICOM file does; hidden files do not count.
    """
    listed = []
    for label in classes:
        # One walk for each class: a class folder may be a link, and a walk from the root would not enter it.
        found = [path for path in list_files(root / label) if is_image(path)]
        listed += [Listed(path, _name_below(root, path), label) for path in found]
    return sorted(listed, key=lambda image: image.name)


def _name_below(root: Path, path: Path) -> str:
    """The path relative to the root; a bucket's key keeps its `//`, without which it could not be opened."""
    below = path.relative_to(root)
    return str(below) if is_address(path) else below.as_posix()


def list_strays(root: Path) -> list[Skipped]:
    """Images that lie in the root itself, in no class folder."""
    loose = sorted(path.name for path in root.iterdir() if path.is_file() and is_image(path))
    return [Skipped(name, "not in a class folder", "stray") for name in loose]


def choose_positive(classes: tuple[str, ...], wanted: str | None) -> str:
    """The positive class: the one wanted, else the first whose name contains 'covid', else the first.

    Raises:
        InputError: the wanted class is none of the classes.
    """
    if wanted is None:
        return next((name for name in classes if "covid" in name.lower()), classes[0])
    if wanted not in classes:
        raise InputError(f"--positive '{wanted}' is no class; expected one of: {', '.join(classes)}")
    return wanted


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
            first = next((f" ('{path}': {reason})" for path, reason, _ in skipped if path.startswith(f"{label}/")), "")
            raise InputError(
                f"class folder '{root / label}' has {count} {what}{'s' * (count != 1)}{first}; expected two or more (one to "
                "train on, one to test on): add images, or remove the folder if it is no class"
            )


def is_image(path: Path) -> bool:
    """Whether a file counts as an image: by its extension, or without one if it begins as a DICOM file does."""
    if path.name.startswith("."):  # macOS leaves a '._' file beside each image
        return False
    return path.name.lower().endswith(EXTENSIONS) or (not path.suffix and is_dicom_file(path))


def list_inputs(inputs: Sequence[Path]) -> list[str]:
    """The files to answer for: those given, and the images below folders, sorted.

    Raises:
        InputError: an input does not exist, or there are no images.
    """
    files: list[str] = []
    for path in inputs:
        check_reachable(path)
        if path.is_dir():
            files += sorted(str(file) for file in list_files(path) if is_image(file))
        elif path.exists():
            files.append(str(path))
        else:
            raise InputError(f"'{path}' does not exist; expected an image or a folder of images: check the path")
    if not files:
        raise InputError(
            f"no image in {', '.join(map(str, inputs))}; expected PNG, JPEG, BMP, TIFF or DICOM files: check the path"
        )
    return files
