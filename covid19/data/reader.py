"""Read a data set's files: decode what was never decoded, ask table and headers, leave out, group. Files in, records out."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from covid19.core.arrays import IndexArray
from covid19.core.console import shortened, warn
from covid19.core.errors import InputError
from covid19.core.executor.executor import Executor
from covid19.data.columns import Entry
from covid19.data.dataset import Dataset, ImageStats, Listed, Record, check_counts
from covid19.data.dicom_header import not_a_chest_radiograph, projection_of
from covid19.data.duplicates import is_blank, near_groups, same_picture
from covid19.data.gathering import Gathered
from covid19.data.images import Pixels, Read, why_unreadable
from covid19.data.joining import join_table
from covid19.data.measurements.registry import ProbeMeasurements
from covid19.data.patients import Patient, collection_of, constant_ids, find_patient, unknown
from covid19.data.projections import is_other
from covid19.data.scan import FileScan, scan_files
from covid19.data.scan_cache import ScanCache
from covid19.data.walk import Skipped

SCANS_KEPT_AT_ONCE = 1000
MAX_PICTURES_COMPARED = 16  # different pictures of near-equal hash that an image is compared with, the latest ones


@dataclass(frozen=True)
class Filter:
    """Which images a run takes.

    Attributes:
        metadata: the collection's table; None takes `metadata.csv` in the root if it is there.
        projection: 'PA' leaves out images whose known projection is another, 'any' keeps them.
        allow_conflicts: drop an image that lies under two classes, rather than refuse the data set.
    """

    metadata: Path | None = None
    projection: str = "PA"
    allow_conflicts: bool = False


def read_dataset(gathered: Gathered, wanted: Filter, scans: ScanCache, executor: Executor, read: Read) -> Dataset:
    """Read every file as `survey` does, and make sure that a model can be trained on them.

    Raises:
        InputError: the table cannot be read or does not fit, an image lies under two classes, or a class is left with fewer
            than two images.
    """
    dataset = survey(gathered, wanted, scans, executor, read)
    if dataset.conflicts and not wanted.allow_conflicts:
        files = sum(map(len, dataset.conflicts))
        raise InputError(
            f"{describe_conflict(dataset.conflicts[0])} ({len(dataset.conflicts)} such images in all, in {files} files); "
            "expected one class for each image: remove the wrong files, or drop all of them with --allow-conflicts"
        )
    check_counts(gathered.root, dataset.counts(), "usable image", dataset.skipped)
    return dataset


def survey(gathered: Gathered, wanted: Filter, scans: ScanCache, executor: Executor, read: Read) -> Dataset:
    """Read every file once, and make records of those to use.

    Args:
        gathered: the images of the data set.
        wanted: what to leave out; an image under two classes is left out as well.
        scans: knows the images that were decoded before, which are not decoded again; is told of the others.
        executor: where the files are scanned.
        read: decodes a file on this machine.

    Raises:
        InputError: the table cannot be read, or was given and does not fit the images.
    """
    root, listed, notes = gathered.root, gathered.images, list(gathered.notes)
    joined = join_table(gathered, wanted.metadata)
    notes += joined.notes
    skipped, records = [], []
    for image, scan in zip(listed, _scan([image.path for image in listed], scans, executor, read), strict=True):
        if scan.stats is None:
            skipped.append(Skipped(image.name, scan.problem, "unreadable", image.label))
        else:
            record = _record(root, image, scan, scan.stats, joined.entries.get(image.name, Entry()))
            if reason := not_a_chest_radiograph(scan.dicom_tags):
                skipped.append(Skipped(image.name, reason, "projection", image.label))
            elif is_other(record.projection, wanted.projection):
                why = f"projection {record.projection}, not {wanted.projection}"
                skipped.append(Skipped(image.name, why, "projection", image.label))
            else:
                records.append(record)
    records = _without_constant_ids(records, notes)
    near = _near(records)
    conflicts, lost = _conflicts(records, near, read)
    labels = {record.name: record.label for record in records}
    torn = {name for names in conflicts for name in names}
    skipped += [Skipped(name, "the same image lies under two classes", "conflict", labels[name]) for name in torn]
    skipped += [Skipped(name, why, "unreadable", labels[name]) for name, why in lost.items()]
    kept = [position for position, record in enumerate(records) if record.name not in torn and record.name not in lost]
    records, near = [records[position] for position in kept], near[kept]
    return Dataset(
        root, gathered.classes, tuple(_grouped(records, near)), (*gathered.skipped, *sorted(skipped)),
        conflicts=tuple(conflicts), near=tuple(near.tolist()), metadata=joined.description, notes=tuple(notes),
    )  # fmt: skip


def warn_of_skipped(dataset: Dataset) -> None:
    """Warn of what is odd, and of what was left out, of each kind a few and how many; the report names all."""
    for note in dataset.notes:
        warn(note)
    by_kind: dict[str, list[str]] = defaultdict(list)
    for path, why, kind, _ in dataset.skipped:
        by_kind[kind].append(f"skipped '{path}': {why}")
    for lines in by_kind.values():
        for line in shortened(lines, f"more ({len(lines)} in all)"):
            warn(line)


def describe_conflict(names: Sequence[str]) -> str:
    """An image under two classes, in words that name two of its files."""
    one, other, *rest = names
    if not rest:
        return f"'{one}' and '{other}' are the same image under two classes"
    return f"'{one}', '{other}' and {len(rest)} more file{'s' * (len(rest) > 1)} are the same image under two classes"


def _without_constant_ids(records: list[Record], notes: list[str]) -> list[Record]:
    """The records, where one patient's ID stands for a whole class with a patient of its own for each."""
    constant = constant_ids([(record.label, Patient(record.patient, record.rule)) for record in records])
    for label, name in constant.items():
        notes.append(
            f"all images of class '{label}' of which the patient is stated have the one ID '{name.partition(':')[2]}': it is "
            "taken for unknown, and each image counts as a patient of its own"
        )
    return [
        replace(record, patient=unknown(record.name).name, rule="none")
        if record.patient == constant.get(record.label)
        else record
        for record in records
    ]


def _scan(paths: Sequence[Path], cache: ScanCache, executor: Executor, read: Read) -> list[FileScan]:
    """Scan each file; all that can be read have stats, which come from the cache if the image was decoded before."""
    scans: dict[int, FileScan] = {}

    def scan(positions: Sequence[int], known: frozenset[bytes]) -> None:
        fresh: list[tuple[str, ImageStats, ProbeMeasurements]] = []
        for number, found in scan_files([paths[position] for position in positions], known, executor, read):
            if found.stats and found.measurements:
                fresh.append((found.digest, found.stats, found.measurements))
            scans[positions[number]] = found._replace(measurements=None)
            # Kept batch by batch, so that a stopped run need not decode a large set from its beginning.
            if len(fresh) == SCANS_KEPT_AT_ONCE:
                cache.put_scans(fresh)
                fresh = []
        cache.put_scans(fresh)

    scan(range(len(paths)), cache.known_keys())
    stats = cache.stats([found.digest for found in scans.values() if found.digest and not found.stats])
    scans |= {position: found._replace(stats=stats[found.digest]) for position, found in scans.items() if found.digest in stats}
    # Entries that turned out to be invalid, of an earlier version, or lost with a damaged file: these images are decoded again.
    missing = [position for position, found in scans.items() if found.digest and not found.stats]
    scan(missing, frozenset())
    return [scans[position] for position in range(len(paths))]


def _record(root: Path, image: Listed, scan: FileScan, stats: ImageStats, entry: Entry) -> Record:
    tags, is_dicom, label = scan.dicom_tags, bool(scan.dicom_tags), image.found_as or image.label
    patient = find_patient(image.name, entry.patient, tags.get("patient", ""), label, is_dicom)
    projection = entry.projection or projection_of(tags)
    entry = replace(entry, source=entry.source or collection_of(image.name, label, is_dicom))
    return Record(
        root, image.name, image.label, scan.digest, patient.name, patient.rule, projection, entry, stats, part=image.part
    )


def _near(records: Sequence[Record]) -> IndexArray:
    """A number for each image that its duplicates share: those of near-equal hash, of a blank picture those of equal bytes.

    All blank pictures have one hash, which says nothing about them; two that are not the same file have nothing in common by
    which they could be told to be one picture.
    """
    blank = [is_blank(record.stats.hash) for record in records]
    near = near_groups([record.stats.hash for record, flat in zip(records, blank, strict=True) if not flat])
    numbers = iter(near.tolist())
    offset = int(near.max()) + 1 if len(near) else 0
    own: dict[str, int] = {}
    return np.array(
        [
            own.setdefault(record.digest, offset + len(own)) if flat else next(numbers)
            for record, flat in zip(records, blank, strict=True)
        ],
        np.intp,
    )


def _conflicts(records: Sequence[Record], near: IndexArray, read: Read) -> tuple[list[tuple[str, ...]], dict[str, str]]:
    """Find the pictures that lie under two classes.

    A near hash alone is no proof, so pixels are compared, but never all pairs: files of equal bytes are one, each other file is
    decoded once at most, and compared with a bounded number of different pictures of its group.

    Returns:
        For each such picture the names of its files, of which the first two are of different classes; and why files could not
        be read any more, by name.
    """
    members: dict[int, list[Record]] = defaultdict(list)
    for record, number in zip(records, near.tolist(), strict=True):
        members[number].append(record)
    conflicts: list[tuple[str, ...]] = []
    lost: dict[str, str] = {}
    for group in members.values():
        if len({record.label for record in group}) > 1:
            for picture in _pictures(group, read, lost):
                other = next((record for record in picture if record.label != picture[0].label), None)
                if other:
                    rest = (record.name for record in picture[1:] if record is not other)
                    conflicts.append((picture[0].name, other.name, *rest))
    return conflicts, lost


def _pictures(group: Sequence[Record], read: Read, lost: dict[str, str]) -> list[list[Record]]:
    """Divide images of near-equal hash into those that show the same picture; those that cannot be read are told to `lost`."""
    copies: dict[str, list[Record]] = defaultdict(list)
    for record in group:
        copies[record.digest].append(record)
    if len(copies) == 1:
        return [list(group)]
    found: list[list[Record]] = []
    known: deque[tuple[Pixels, list[Record]]] = deque(maxlen=MAX_PICTURES_COMPARED)
    for records in copies.values():
        try:
            pixels = read(records[0].path).pixels
        except (OSError, ValueError) as error:
            lost |= {record.name: why_unreadable(error) for record in records}
            continue
        same = next((files for other, files in known if same_picture(pixels, other)), None)
        if same is None:
            same = []
            found.append(same)
            known.append((pixels, same))
        same += records
    return found


def _grouped(records: Sequence[Record], near: IndexArray) -> list[Record]:
    """Give one group number to images that share a patient or are duplicates, through any chain of both."""
    patients = {name: number for number, name in enumerate(sorted({record.patient for record in records}))}
    ends = np.array([patients[record.patient] for record in records], int)
    offset = len(patients)
    size = offset + (int(near.max()) + 1 if len(near) else 0)
    links = coo_array((np.ones(len(records), bool), (ends, offset + near)), shape=(size, size))
    numbers = connected_components(links, directed=False)[1]
    return [replace(record, group=int(numbers[end])) for record, end in zip(records, ends, strict=True)]
