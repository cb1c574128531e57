"""Read a data set's files: decode what was never decoded, ask table and headers, leave out, group. Files in, records out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from covid19.dataset import Dataset, Facts, Glimpse, Listed, Record, Skipped, check_counts, list_images, list_strays
from covid19.duplicates import near_groups, same_picture
from covid19.errors import InputError
from covid19.images import Read
from covid19.machine import Engine, Look
from covid19.metadata import Entry, Metadata, read_metadata
from covid19.patients import collection_of, find_patient
from covid19.store import FeatureStore

FACTS_AT_ONCE = 1000

Numbers = NDArray[np.intp]


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


def read_dataset(root: Path, classes: tuple[str, ...], wanted: Filter, store: FeatureStore, engine: Engine) -> Dataset:
    """Read every file as `survey` does, and make sure that a model can be trained on them.

    Raises:
        InputError: the table cannot be read, an image lies under two classes, or a class is left with fewer than two images.
    """
    dataset = survey(root, classes, wanted, store, engine)
    if dataset.conflicts and not wanted.allow_conflicts:
        one, other = dataset.conflicts[0]
        raise InputError(
            f"'{one}' and '{other}' are the same image under two classes ({len(dataset.conflicts)} such pairs in all); "
            "expected one class for each image: remove the wrong one, or drop both with --allow-conflicts"
        )
    check_counts(root, dataset.counts(), "usable image", dataset.skipped)
    return dataset


def survey(root: Path, classes: tuple[str, ...], wanted: Filter, store: FeatureStore, engine: Engine) -> Dataset:
    """Read every file once, and make records of those to use.

    Args:
        root: the data set's folder.
        classes: from `list_classes`.
        wanted: what to leave out; an image under two classes is left out as well.
        store: knows the images that were decoded before, which are not decoded again; is told of the others.
        engine: reads the files.

    Raises:
        InputError: the table cannot be read.
    """
    metadata = _find_metadata(root, wanted.metadata)
    listed = list_images(root, classes)
    skipped, records = [], []
    for image, look in zip(listed, _look([image.path for image in listed], store, engine), strict=True):
        if look.facts is None:
            skipped.append(Skipped(image.name, look.problem, "unreadable"))
        else:
            record = _record(root, image, look, look.facts, metadata)
            if wanted.view != "any" and record.view.upper() not in ("", wanted.view):
                skipped.append(Skipped(image.name, f"view {record.view}, not {wanted.view}", "view"))
            else:
                records.append(record)
    near = near_groups([record.facts.hash for record in records])
    conflicts = _conflicts(records, near, engine.read)
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


def _look(paths: Sequence[Path], store: FeatureStore, engine: Engine) -> list[Look]:
    """What is known of each file, with facts of all that can be read: from the store if they were decoded before."""
    looks: dict[int, Look] = {}
    fresh: list[tuple[str, Facts, Glimpse]] = []
    for position, look in engine.look(paths, store.known()):
        if look.facts and look.glimpse:
            fresh.append((look.digest, look.facts, look.glimpse))
        looks[position] = look._replace(glimpse=None)
        # Kept batch by batch, so that a stopped run need not decode a large set from its beginning.
        if len(fresh) == FACTS_AT_ONCE:
            store.put_facts(fresh)
            fresh = []
    store.put_facts(fresh)
    known = store.facts([look.digest for look in looks.values() if look.digest and not look.facts])
    looks |= {at: look._replace(facts=known[look.digest]) for at, look in looks.items() if look.digest in known}
    lost = [position for position, look in looks.items() if look.digest and not look.facts]  # the store was begun anew
    looks |= {lost[number]: look for number, look in engine.look([paths[i] for i in lost], frozenset())}
    return [looks[position] for position in range(len(paths))]


def _record(root: Path, image: Listed, look: Look, facts: Facts, metadata: Metadata | None) -> Record:
    entry = (metadata and metadata.of(image.name)) or Entry()
    patient = find_patient(image.name, entry.patient, look.said.get("patient", ""))
    view = entry.view or ("CT" if look.said.get("modality") == "CT" else look.said.get("view", ""))
    entry = replace(entry, source=entry.source or collection_of(image.name))
    return Record(root, image.name, image.label, look.digest, patient.name, patient.rule, view, entry, facts)


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
