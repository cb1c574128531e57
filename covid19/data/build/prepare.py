"""Build a data set: PA X-rays of COVID-19 from the ieee8023 collection, others as controls. Checkouts in, class folders out.

Nothing is overwritten: the folder is built beside its place and moved there when it is complete. The collection's table is
copied cell by cell as it is, formulas of a spreadsheet included, since file names and patients must read back as they were.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from covid19 import NOTICE
from covid19.core.console import say, warn
from covid19.core.errors import InputError
from covid19.data.build.sources import COLLECTION, Image, copy_file, read_collection, read_kaggle
from covid19.data.patients import KAGGLE

# The folders of Kaggle's set that each choice of controls takes, and the name of the class that they make.
CONTROLS: dict[str, tuple[tuple[str, ...], str]] = {
    "same-source": ((), "other"),
    "kaggle-normal": (("NORMAL",), "normal"),
    "kaggle-pneumonia": (("PNEUMONIA",), "pneumonia"),
    "kaggle": (("NORMAL", "PNEUMONIA"), "other"),
}
MASK_FOLDER = "masks"
MAX_MASK_DIFFERENCE = 0.1  # of the classes' fractions of images with a lung mask, above which there is a warning
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
    _say_masks(recipe.folder, chosen)
    return chosen


def _say_masks(folder: Path, chosen: dict[str, list[Image]]) -> None:
    """Say how many images come with a lung mask, and warn where that depends on the class."""
    masks = {label: sum(image.lung_mask is not None for image in images) for label, images in chosen.items()}
    if not any(masks.values()):
        return
    counts = ", ".join(f"{label} {count} of {len(chosen[label])}" for label, count in masks.items())
    say(f"Lung masks of the collection: {counts}; --lung-masks {folder / MASK_FOLDER} uses them instead of the lung finder's")
    fractions = [count / len(chosen[label]) for label, count in masks.items()]
    if max(fractions) - min(fractions) > MAX_MASK_DIFFERENCE:
        warn(
            "the classes have these masks to a different extent: with --lung-masks the way in which lungs were found would "
            "depend on the class; without it the lung finder is used for all"
        )


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
    """Copy or link the images into their class folder, and their lung masks; yield the row of each for the table.

    Args:
        images: of one class.
        draft: folder that the data set is built in.
        label: the class.
        link: make symbolic links.
        taken: the names given in all classes, see `_free_name`.
    """
    (draft / label).mkdir()
    put = _link if link else copy_file
    for image in images:
        name = _free_name(image.path, taken)
        put(image.path, draft / label / name)
        if image.lung_mask:
            (draft / MASK_FOLDER).mkdir(exist_ok=True)
            mask = draft / MASK_FOLDER / f"{Path(name).stem}_mask{image.lung_mask.suffix}"
            mask.unlink(missing_ok=True)  # of an image of the same name in another format
            put(image.lung_mask, mask)
        entry = image.entry
        yield (entry.patient, entry.age, entry.finding, entry.projection, "X-ray", label, name, entry.source, entry.license,
               image.collection)  # fmt: skip


def _link(source: Path, target: Path) -> None:
    target.symlink_to(source.resolve())


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
