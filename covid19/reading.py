"""Read a data set's files: decode what was never decoded, ask table and headers, leave out, group. Files in, records out."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from covid19.dataset import Dataset, Facts, Listed, Record, Skipped, check_counts, list_images, list_strays
from covid19.dicom import header, is_dicom_file
from covid19.duplicates import near_groups, perceptual_hash, same_picture
from covid19.errors import InputError
from covid19.images import Picture, colourfulness, file_digest
from covid19.metadata import Entry, Metadata, read_metadata
from covid19.patients import collection_of, find_patient
from covid19.probes import border_ring, file_properties, thumbnail
from covid19.store import FeatureStore

FACTS_AT_ONCE = 1000

Numbers = NDArray[np.intp]
Read = Callable[[Path], Picture]


@dataclass(frozen=True)
class Filter:
    """Which images a run takes.

    Attributes:
        metadata: the collection's table; None takes `metadata.csv` in the root if it is there.
        view: 'PA' leaves out images whose known view is another, 'any' keeps them.
        allow_conflicts: drop an image that lies under two classes, rather than refuse the data set.
    """

    metadata: Path | None = None
    view: str = "PA"
    allow_conflicts: bool = False


def read_dataset(root: Path, classes: tuple[str, ...], wanted: Filter, store: FeatureStore, read: Read) -> Dataset:
    """Read every file as `survey` does, and make sure that a model can be trained on them.

    Raises:
        InputError: the table cannot be read, an image lies under two classes, or a class is left with fewer than two images.
    """
    dataset = survey(root, classes, wanted, store, read)
    if dataset.conflicts and not wanted.allow_conflicts:
        one, other = dataset.conflicts[0]
        raise InputError(
            f"'{one}' and '{other}' are the same image under two classes ({len(dataset.conflicts)} such pairs in all); "
            "expected one class for each image: remove the wrong one, or drop both with --allow-conflicts"
        )
    check_counts(root, dataset.counts(), "usable image", dataset.skipped)
    return dataset


def survey(root: Path, classes: tuple[str, ...], wanted: Filter, store: FeatureStore, read: Read) -> Dataset:
    """Read every file once, and make records of those to use.

    Args:
        root: the data set's folder.
        classes: from `list_classes`.
        wanted: what to leave out; an image under two classes is left out as well.
        store: knows the images that were decoded before, which are not decoded again; is told of the others.
        read: decodes a file, as `images.read_picture` does.

    Raises:
        InputError: the table cannot be read.
    """
    metadata = _find_metadata(root, wanted.metadata)
    listed = list_images(root, classes)
    digests, facts, failed = _decode(listed, store, read)
    skipped = [Skipped(image.name, failed[image.path], "unreadable") for image in listed if image.path in failed]
    records = []
    for image in listed:
        if image.path not in failed:
            record = _record(image, digests[image.path], facts[digests[image.path]], metadata)
            if wanted.view != "any" and record.view.upper() not in ("", wanted.view):
                skipped.append(Skipped(image.name, f"view {record.view}, not {wanted.view}", "view"))
            else:
                records.append(record)
    near = near_groups([record.facts.hash for record in records])
    conflicts = _conflicts(records, near, read)
    torn = {name for pair in conflicts for name in pair}
    skipped += [Skipped(name, "the same image lies under two classes", "conflict") for name in torn]
    kept = [position for position, record in enumerate(records) if record.name not in torn]
    records, near = [records[position] for position in kept], near[kept]
    return Dataset(
        root, classes, tuple(_grouped(records, near)), (*list_strays(root), *sorted(skipped)),
        conflicts=tuple(conflicts), near=tuple(near.tolist()), metadata=_describe(metadata, listed),
    )  # fmt: skip


def _find_metadata(root: Path, given: Path | None) -> Metadata | None:
    path = given or root / "metadata.csv"
    return read_metadata(path) if given or path.is_file() else None


def _decode(
    listed: Sequence[Listed], store: FeatureStore, read: Read
) -> tuple[dict[Path, str], dict[str, Facts], dict[Path, str]]:
    """Digests by path, facts by digest, and why by path for what cannot be read."""
    digests: dict[Path, str] = {}
    failed: dict[Path, str] = {}

    def attempt(path: Path, action: Callable[[Path], Any]) -> Any:
        try:
            return action(path)
        except OSError as error:
            failed[path] = f"cannot be opened: {error.strerror}"
        except ValueError as error:
            failed[path] = str(error)
        return None

    def look(path: Path) -> Facts:
        picture = read(path)
        pixels = picture.pixels
        return Facts(
            picture.width, picture.height, perceptual_hash(pixels), float(pixels.std()), colourfulness(pixels),
            file_properties(path, picture), border_ring(pixels), thumbnail(pixels),
        )  # fmt: skip

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        files = [image.path for image in listed]
        found = pool.map(lambda path: attempt(path, file_digest), files)
        digests = {path: digest for path, digest in zip(files, found, strict=True) if digest}
        facts = store.facts(list(digests.values()))
        unknown = [path for path, digest in digests.items() if digest not in facts]
        # Kept batch by batch, so that a stopped run need not decode a large set from its beginning.
        for start in range(0, len(unknown), FACTS_AT_ONCE):
            batch = unknown[start : start + FACTS_AT_ONCE]
            seen = zip(batch, pool.map(lambda path: attempt(path, look), batch), strict=True)
            fresh = {digests[path]: fact for path, fact in seen if fact}
            store.put_facts(fresh.items())
            facts |= fresh
    return digests, facts, failed


def _record(image: Listed, digest: str, facts: Facts, metadata: Metadata | None) -> Record:
    entry = (metadata and metadata.of(image.name)) or Entry()
    said = header(image.path) if is_dicom_file(image.path) else {"patient": "", "view": "", "modality": ""}
    patient = find_patient(image.name, entry.patient, said["patient"])
    view = entry.view or ("CT" if said["modality"] == "CT" else said["view"])
    entry = replace(entry, source=entry.source or collection_of(image.name))
    return Record(image.path, image.name, image.label, digest, patient.name, patient.rule, view, entry, facts)


def _conflicts(records: Sequence[Record], near: Numbers, read: Read) -> list[tuple[str, str]]:
    """Pairs of names that are the same image under two classes. A near hash alone is no proof, so the pixels are compared."""
    members: dict[int, list[Record]] = defaultdict(list)
    for record, number in zip(records, near.tolist(), strict=True):
        members[number].append(record)
    return [
        (one.name, other.name)
        for same in members.values()
        for one, other in combinations(same, 2)
        if one.label != other.label
        and (one.digest == other.digest or same_picture(read(one.path).pixels, read(other.path).pixels))
    ]


def _grouped(records: Sequence[Record], near: Numbers) -> list[Record]:
    """Give one group number to images that share a patient or are duplicates, through any chain of both."""
    patients = {name: number for number, name in enumerate(sorted({record.patient for record in records}))}
    ends = np.array([patients[record.patient] for record in records], int)
    offset = len(patients)
    size = offset + (int(near.max()) + 1 if len(near) else 0)
    links = coo_array((np.ones(len(records), bool), (ends, offset + near)), shape=(size, size))
    numbers = connected_components(links, directed=False)[1]
    return [replace(record, group=int(numbers[end])) for record, end in zip(records, ends, strict=True)]


def _describe(metadata: Metadata | None, listed: Sequence[Listed]) -> dict[str, Any] | None:
    if metadata is None:
        return None
    return {
        "path": str(metadata.path),
        "rows": metadata.rows,
        "matched": sum(metadata.of(image.name) is not None for image in listed),
        "without_file": metadata.without_file({image.name for image in listed}),
        "conflicts": list(metadata.conflicts),
    }
