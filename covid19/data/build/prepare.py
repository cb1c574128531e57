"""Build a data set: PA X-rays of COVID-19 from the ieee8023 collection, others as controls. Checkouts in, class folders out.

Nothing is overwritten: the folder is built beside its place and moved there when it is complete. A collection may come from
anybody: only regular files inside it are taken, of a bounded size. Its table is copied cell by cell as it is, formulas of a
spreadsheet included, since file names and patients must read back as they were.
"""

from __future__ import annotations

import csv
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np

from covid19 import NOTICE
from covid19.core.addresses import MAX_FILE_BYTES
from covid19.core.console import say
from covid19.core.errors import InputError
from covid19.data.columns import Entry
from covid19.data.file_kinds import READ_EXTENSIONS, is_image
from covid19.data.findings import is_covid
from covid19.data.metadata import Metadata, read_metadata
from covid19.data.patients import KAGGLE, find_patient

COLLECTION = "ieee8023 covid-chestxray-dataset"
KAGGLE_LICENSE = "CC BY 4.0"
# The folders of Kaggle's set that each choice of controls takes, and the name of the class that they make.
CONTROLS: dict[str, tuple[tuple[str, ...], str]] = {
    "same-source": ((), "other"),
    "kaggle-normal": (("NORMAL",), "normal"),
    "kaggle-pneumonia": (("PNEUMONIA",), "pneumonia"),
    "kaggle": (("NORMAL", "PNEUMONIA"), "other"),
}
FINDINGS = {"NORMAL": "No Finding", "PNEUMONIA": "Pneumonia"}
PARTS = ("train", "val", "test")
COLUMNS = ("patientid", "age", "finding", "view", "modality", "folder", "filename", "source", "license", "collection")
CITATIONS = {
    COLLECTION: "https://github.com/ieee8023/covid-chestxray-dataset; Cohen, Morrison, Dao: COVID-19 Image Data Collection, "
    "arXiv:2003.11597. Each image has its own licence, see `metadata.csv`; where none is stated, ask before passing it on.",
    KAGGLE: "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia; Kermany et al., Cell 172:1122, 2018, "
    "doi:10.17632/rscbjbr9sj.2, CC BY 4.0. Children of one to five years from one hospital; no view of an image is stated.",
}


@dataclass(frozen=True)
class Recipe:
    """What to build.

    Attributes:
        folder: to make; must not exist, or be empty.
        collection: a checkout of the ieee8023 collection, with `metadata.csv` and `images/`.
        kaggle: Kaggle's `chest_xray` folder, or None.
        controls: a key of `CONTROLS`.
        count: images of each class at most, or None for all.
        one_per_patient: take one image of each patient.
        link: make symbolic links rather than copies.
        seed: of every choice.
        dry_run: say what would be done and write nothing.
    """

    folder: Path
    collection: Path
    kaggle: Path | None
    controls: str
    count: int | None
    one_per_patient: bool
    link: bool
    seed: int
    dry_run: bool


class Image(NamedTuple):
    """An image that can be taken, and what is known of it."""

    path: Path
    collection: str
    entry: Entry


def prepare(recipe: Recipe) -> dict[str, list[Image]]:
    """Choose the images, say how many, and build the folder.

    Returns:
        The chosen images by class.

    Raises:
        InputError: a source is missing or not what it should be, the folder holds something, or a class stays empty.
        OSError: the folder cannot be written.
    """
    if recipe.folder.exists() and (not recipe.folder.is_dir() or any(recipe.folder.iterdir())):
        raise InputError(f"'{recipe.folder}' exists and is not empty; expected a new or empty folder: give another name")
    kinds, name = CONTROLS[recipe.controls]
    covid, others = read_collection(recipe.collection)
    if kinds:
        others = read_kaggle(recipe.kaggle, kinds)
    elif recipe.kaggle:
        raise InputError("--kaggle is not used by --controls same-source; leave it out, or choose --controls kaggle")
    generator = np.random.default_rng(recipe.seed)
    covid = _choose(covid, recipe.count, recipe.one_per_patient, generator)
    chosen = {"covid": covid, name: _choose(others, len(covid), recipe.one_per_patient, generator)}
    for label, images in chosen.items():
        if not images:
            raise InputError(f"no image of class '{label}' was found; expected some in the sources given: check their folders")
        findings = Counter(image.entry.finding for image in images).most_common()
        say(f"{label}: {len(images)} images of {len({image.entry.patient for image in images})} patients: "
            + ", ".join(f"{finding} {count}" for finding, count in findings))  # fmt: skip
    if recipe.dry_run:
        say(f"Dry run: '{recipe.folder}' was not written.")
    else:
        _build(recipe, chosen)
        say(f"Wrote {recipe.folder} with metadata.csv and SOURCES.md; look it over with: covid19 check {recipe.folder}")
    return chosen


def read_collection(folder: Path) -> tuple[list[Image], list[Image]]:
    """The PA X-rays of the collection: those of COVID-19, alone or with ARDS, and those of every other stated finding.

    Raises:
        InputError: the folder is no checkout of the collection.
    """
    table = folder / "metadata.csv"
    if not _is_inside(table, folder) or not (folder / "images").is_dir():
        raise InputError(
            f"--collection '{folder}' holds no metadata.csv and images/; expected a checkout of {COLLECTION}: check the path, "
            "or fetch it with --download"
        )
    metadata = read_metadata(table)
    files = _images_below(folder / "images", folder)
    known = [Image(path, COLLECTION, entry) for path in files if (entry := metadata.of(path.name))]
    pa = [image for image in known if image.entry.projection.startswith("PA")]
    found = [image for image in pa if image.entry.finding]
    say(_describe_collection(metadata, files, len(known), len(pa), len(found)))
    covid = [image for image in found if is_covid(image.entry.finding)]
    return covid, [image for image in found if not is_covid(image.entry.finding)]


def _describe_collection(metadata: Metadata, files: Sequence[Path], known: int, pa: int, found: int) -> str:
    missing = metadata.without_file({path.name for path in files})
    return (
        f"Collection: {metadata.rows} rows, {missing} without an image file; {len(files)} image files, {len(files) - known} "
        f"without a row, {known - pa} of another view or modality than PA X-ray, {pa - found} without a finding; {found} remain"
    )


def read_kaggle(folder: Path | None, kinds: Sequence[str]) -> list[Image]:
    """The images of Kaggle's chest-xray-pneumonia: {train,val,test}/{NORMAL,PNEUMONIA}.

    Raises:
        InputError: the folder is missing or laid out otherwise.
    """
    if folder is None:
        raise InputError("these --controls need Kaggle's set; expected --kaggle DIR, its chest_xray folder, or --download")
    roots = [root for root in (folder, folder / "chest_xray") if any((root / part).is_dir() for part in PARTS)]
    if not roots:
        raise InputError(
            f"--kaggle '{folder}' holds no train, val or test; expected Kaggle's chest_xray folder: check the path, or fetch "
            "it with --download"
        )
    images = []
    for kind in kinds:
        for part in PARTS:
            for path in _images_below(roots[0] / part / kind, folder):
                patient = find_patient(path.name, "", "").name.removeprefix("name:")
                entry = Entry(f"kaggle {patient}", "", FINDINGS[kind], KAGGLE, KAGGLE_LICENSE)
                images.append(Image(path, KAGGLE, entry))
    return images


def _images_below(folder: Path, collection: Path) -> list[Path]:
    """The image files below a folder, sorted; a line says how many are none that may be taken."""
    files, refused = [], 0
    for top, folders, names in os.walk(folder):
        refused += sum(name.lower().endswith(READ_EXTENSIONS) for name in folders)
        for path in (Path(top) / name for name in names):
            inside = _is_inside(path, collection)
            if inside and is_image(path):
                files.append(path)
            refused += not inside and path.name.lower().endswith(READ_EXTENSIONS)
    if refused:
        say(f"{folder}: {refused} left out: expected regular files in the collection, of {MAX_FILE_BYTES / 1e6:.0f} MB at most")
    return sorted(files)


def _is_inside(path: Path, collection: Path) -> bool:
    """Whether a path is a regular file of a size that can be read, itself or through links that stay in the collection."""
    try:
        root, target = collection.resolve(strict=True), path.resolve(strict=True)
        status = target.stat()
    except (OSError, RuntimeError):  # gone, or a link that leads nowhere or in a circle
        return False
    return target.is_relative_to(root) and stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE_BYTES


def _copy(source: Path, target: Path) -> None:
    """Copy one file's bytes, if it still is what `_is_inside` has seen: the path could lead elsewhere by now.

    Raises:
        OSError: it cannot be opened, or is no regular file.
        InputError: it has grown too large.
    """
    handle = os.open(source.resolve(strict=True), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file, target.open("wb") as copy:  # noqa: PTH123  # of an open handle
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"'{source}' is no regular file any more")
        left = MAX_FILE_BYTES
        while block := file.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise InputError(
                    f"'{source}' grows while it is copied, beyond {MAX_FILE_BYTES / 1e6:.0f} MB; expected a file that nobody "
                    "writes: wait until the collection is complete"
                )
            copy.write(block)


def _choose(images: Sequence[Image], count: int | None, one_per_patient: bool, generator: np.random.Generator) -> list[Image]:
    """A random choice of so many images, all if there are fewer, back in the given order."""
    order = generator.permutation(len(images)).tolist()
    if one_per_patient:
        first: dict[str, int] = {}
        for position in order:
            first.setdefault(images[position].entry.patient or images[position].path.name, position)
        order = list(first.values())
    return [images[position] for position in sorted(order[:count])]


def _build(recipe: Recipe, chosen: dict[str, list[Image]]) -> None:
    """Write the whole folder beside its place and move it there."""
    parent = recipe.folder.absolute().parent
    if not parent.is_dir():
        raise InputError(f"folder '{parent}' does not exist; expected the place of '{recipe.folder.name}': make it first")
    draft = parent / f".{recipe.folder.name}-{os.getpid()}"
    draft.mkdir()
    try:
        taken: dict[str, int] = {}
        rows = [row for label, images in chosen.items() for row in _place(images, draft, label, recipe.link, taken)]
        # Names that are no text keep their bytes, so that `read_metadata` finds the files again.
        with (draft / "metadata.csv").open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        (draft / "SOURCES.md").write_text(_sources(recipe, chosen), encoding="utf-8", errors="backslashreplace")
        draft.replace(recipe.folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _place(images: Sequence[Image], draft: Path, label: str, link: bool, taken: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Copy or link the images into their class folder; yield the row of each for the table.

    Args:
        images: of one class.
        draft: folder that the data set is built in.
        label: the class.
        link: make symbolic links.
        taken: the names given in all classes, see `_free_name`.
    """
    (draft / label).mkdir()
    for image in images:
        name = _free_name(image.path, taken)
        if link:
            (draft / label / name).symlink_to(image.path.resolve())
        else:
            _copy(image.path, draft / label / name)
        entry = image.entry
        yield (entry.patient, entry.age, entry.finding, entry.projection, "X-ray", label, name, entry.source, entry.license,
               image.collection)  # fmt: skip


def _free_name(path: Path, taken: dict[str, int]) -> str:
    """A file's name, with a number where it was given before: the table knows an image by its name alone, in lower case.

    Args:
        path: of the file.
        taken: for each name given, in lower case, the last number that was tried for it.
    """
    name, key = path.name, path.name.lower()
    while name.lower() in taken:
        taken[key] += 1
        name = f"{path.stem}-{taken[key]}{path.suffix}"
    taken[name.lower()] = 1
    return name


def _sources(recipe: Recipe, chosen: dict[str, list[Image]]) -> str:
    """SOURCES.md: where each image comes from, under which licence, and how it was chosen."""
    choice = f"{'one image of each patient' if recipe.one_per_patient else 'every image'}, seed {recipe.seed}"
    lines = ["# Where these images come from", "", f"{NOTICE}", ""]
    lines.append(f"Built by `covid19 prepare --controls {recipe.controls}` on {date.today().isoformat()}: {choice}.")
    for collection in sorted({image.collection for images in chosen.values() for image in images}):
        lines += [
            "",
            f"## {collection}",
            "",
            CITATIONS[collection],
            "",
            "| class | source | licence | images |",
            "|---|---|---|---|",
        ]
        cells = Counter(
            (label, image.entry.source or "not stated", image.entry.license or "not stated")
            for label, images in chosen.items()
            for image in images
            if image.collection == collection
        )
        lines += [f"| {' | '.join(cell)} | {count} |" for cell, count in sorted(cells.items())]
    return "\n".join(lines) + "\n"
