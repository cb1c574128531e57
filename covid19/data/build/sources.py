"""The collections that a data set is built from: checkouts in, their X-rays and what is known of each out.

A collection may come from anybody: only regular files inside it are taken, of a bounded size.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image as PillowImage

from covid19.core.addresses import MAX_FILE_BYTES
from covid19.core.console import say, shortened, warn
from covid19.core.errors import InputError
from covid19.data.columns import Entry
from covid19.data.file_kinds import READ_EXTENSIONS, is_image
from covid19.data.findings import is_covid
from covid19.data.images import ODD_HEADER
from covid19.data.metadata import Metadata, read_metadata
from covid19.data.patients import KAGGLE, find_patient

COLLECTION = "ieee8023 covid-chestxray-dataset"
KAGGLE_LICENSE = "CC BY 4.0"
FINDINGS = {"NORMAL": "No Finding", "PNEUMONIA": "Pneumonia"}
PARTS = ("train", "val", "test")
LUNG_MASKS = Path("annotations") / "lungVAE-masks"  # in the collection: `NAME_mask.png` for `NAME.jpg`


class Image(NamedTuple):
    """An image that can be taken, and what is known of it."""

    path: Path
    collection: str
    entry: Entry
    lung_mask: Path | None = None


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
    masks = _lung_masks(folder)
    known = [
        Image(path, COLLECTION, entry, masks.get(path.stem.lower())) for path in files if (entry := metadata.of(path.name))
    ]
    pa = [image for image in known if image.entry.projection.startswith("PA")]
    found = [image for image in pa if image.entry.finding]
    say(_describe_collection(metadata, files, len(known), len(pa), len(found)))
    found = _without_misfits(found)
    covid = [image for image in found if is_covid(image.entry.finding)]
    return covid, [image for image in found if not is_covid(image.entry.finding)]


def _lung_masks(folder: Path) -> dict[str, Path]:
    """The collection's lung masks by the stem of their image in lower case; none where it has no such folder."""
    masks = _images_below(folder / LUNG_MASKS, folder)
    return {path.stem.lower().removesuffix("_mask"): path for path in masks if path.stem.lower().endswith("_mask")}


def _without_misfits(images: Sequence[Image]) -> list[Image]:
    """The images, without the masks whose size is not their image's: such a mask is of another crop of the film."""
    fitting, misfits = [], []
    for image in images:
        fits = image.lung_mask is None or _size(image.lung_mask) == _size(image.path)
        fitting.append(image if fits else image._replace(lung_mask=None))
        misfits += [] if fits else [f"lung mask '{image.lung_mask}' is left out: its size is not that of its image"]
    for line in shortened(misfits):
        warn(line)
    return fitting


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height of a picture in pixels, by its header; None where the header cannot be read."""
    try:
        with PillowImage.open(path) as header:
            return header.size
    except (*ODD_HEADER, PillowImage.DecompressionBombError):
        return None


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


def copy_file(source: Path, target: Path) -> None:
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
