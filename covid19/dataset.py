"""Find the images of a data set and its classes: a folder in, records in sorted order and what was left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from imutils import paths

from covid19.errors import InputError
from covid19.images import file_digest


class Skipped(NamedTuple):
    """A file that was left out, its path relative to the data set's root, and why."""

    path: str
    reason: str


class Listed(NamedTuple):
    """An image file before it is read."""

    path: Path
    name: str
    label: str


@dataclass(frozen=True)
class Record:
    """One readable image.

    Attributes:
        path: where to open it.
        name: path relative to the data set's root, with '/' between folders, the same on every machine.
        label: its class, the name of the folder below the root.
        digest: SHA-256 of its bytes, in hexadecimal.
    """

    path: Path
    name: str
    label: str
    digest: str


@dataclass(frozen=True)
class Dataset:
    """The images of one folder.

    Attributes:
        root: the folder as given.
        classes: class names, sorted; the order of the model's outputs.
        records: readable images, sorted by name.
        skipped: files left out, with the reason.
    """

    root: Path
    classes: tuple[str, ...]
    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]

    def counts(self) -> dict[str, int]:
        """Images of each class, in the order of the classes."""
        counted = Counter(record.label for record in self.records)
        return {name: counted[name] for name in self.classes}


def list_classes(root: Path) -> tuple[str, ...]:
    """The class folders below a root, sorted; hidden folders are no classes.

    Raises:
        InputError: the root is missing or no folder, or holds fewer than two class folders.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise InputError(f"--dataset '{root}' {what}; expected a folder with one folder of images for each class")
    classes = tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    if len(classes) < 2:
        found = f"one class folder, '{classes[0]}'" if classes else "no class folder"
        raise InputError(
            f"--dataset '{root}' holds {found}; expected two or more: put each class's images in a folder of its own"
        )
    return classes


def list_images(root: Path, classes: tuple[str, ...]) -> list[Listed]:
    """The image files of each class, folders below it included, sorted by name whatever order the file system gives.

    Raises:
        InputError: a class has fewer than two image files.
    """
    listed = []
    for label in classes:
        # One walk for each class: a class folder may be a link, and a walk from the root would not enter it.
        found = [Path(path) for path in paths.list_images(str(root / label))]
        listed += [Listed(path, path.relative_to(root).as_posix(), label) for path in found]
        _check_count(root, label, f"{len(found)} image{'s' * (len(found) != 1)}", len(found))
    return sorted(listed, key=lambda image: image.name)


def read_dataset(
    root: Path,
    classes: tuple[str, ...],
    known: Callable[[list[str]], set[str]],
    read: Callable[[Path], object],
) -> Dataset:
    """Read every file once: what is no image is skipped and listed, the rest become records.

    Args:
        root: the data set's folder.
        classes: from `list_classes`.
        known: of a list of digests, says which were decoded before, so that they need not be again.
        read: decodes a file, or raises as `images.read_picture` does.

    Raises:
        InputError: a class is left with fewer than two readable images.
    """
    listed = list_images(root, classes)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digested = list(pool.map(_digest, listed))
        old = known([record.digest for record in digested if isinstance(record, Record)])
        outcomes = list(pool.map(lambda outcome: _decode(outcome, old, read), digested))
    records = tuple(outcome for outcome in outcomes if isinstance(outcome, Record))
    loose = sorted(path.name for path in root.iterdir() if path.is_file() and path.name.lower().endswith(paths.image_types))
    stray = (Skipped(name, "not in a class folder") for name in loose)
    skipped = (*stray, *(outcome for outcome in outcomes if isinstance(outcome, Skipped)))
    dataset = Dataset(root, classes, records, skipped)
    for label, count in dataset.counts().items():
        first = next((f" ('{path}': {reason})" for path, reason in skipped if path.startswith(f"{label}/")), "")
        _check_count(root, label, f"{count} readable image{'s' * (count != 1)}{first}", count)
    return dataset


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


def _digest(listed: Listed) -> Record | Skipped:
    try:
        return Record(listed.path, listed.name, listed.label, file_digest(listed.path))
    except OSError as error:
        return Skipped(listed.name, f"cannot be opened: {error.strerror}")


def _decode(outcome: Record | Skipped, old: set[str], read: Callable[[Path], object]) -> Record | Skipped:
    if isinstance(outcome, Skipped) or outcome.digest in old:
        return outcome
    try:
        read(outcome.path)
    except OSError as error:
        return Skipped(outcome.name, f"cannot be opened: {error.strerror}")
    except ValueError as error:
        return Skipped(outcome.name, str(error))
    return outcome


def _check_count(root: Path, label: str, found: str, count: int) -> None:
    if count < 2:
        raise InputError(
            f"class folder '{root / label}' has {found}; expected two or more (one to train on, one to test on): "
            "add images, or remove the folder if it is no class"
        )
