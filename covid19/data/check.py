"""Look a data set over without training: counts, what is wrong with it, and whether its sources give the classes away.

A data set goes in, `check_findings.Findings` come out. A *problem* makes a run unsound: it would be refused, or its score would
mean nothing. A *warning* is something to know before the score is believed.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from covid19.core.console import shortened
from covid19.data.check_findings import FileNote, Findings, ProbeFinding, SourceFindings, SourceGuess
from covid19.data.dataset import FEW_PATIENTS, Dataset, Record, choose_positive, describe_odd_positive
from covid19.data.images import COLOURFUL, MIN_CONTRAST_GREY_LEVELS, PICTURE_SIDE_PX
from covid19.data.lungs import NOT_FRONTAL
from covid19.data.patients import KAGGLE
from covid19.data.reader import describe_conflict
from covid19.data.same_sources import have_both_sides

ADULT_AGE_YEARS = 18
MAX_AGE_YEARS = 150  # a larger number in the table is no age
PERMUTATIONS = 1000
TELLING_CHILDREN = 0.5  # difference of the classes' fractions of children from which on age tells the class
DETAILS = {
    "small": f"smaller than the {PICTURE_SIDE_PX} pixels that the network is given",
    "flat": "nearly one shade",
    "colourful": "colourful, like a photograph",
}


def look_over(
    dataset: Dataset, without_lungs: Mapping[str, str], probes: Sequence[ProbeFinding], positive: str | None = None
) -> Findings:
    """Look over a data set's files, metadata and classes.

    Args:
        dataset: from `survey`; images under two classes are reported, not refused.
        without_lungs: why no lungs were found in an image, by its name.
        probes: how well the classes are told apart without the lungs.
        positive: the positive class; None takes that of a run without it.
    """
    files = [FileNote(skipped.path, skipped.reason) for skipped in dataset.skipped]
    files += [FileNote(record.name, DETAILS[kind]) for record in dataset.records for kind in _oddities(record)]
    files += [FileNote(name, f"{NOT_FRONTAL}: {reason}") for name, reason in without_lungs.items()]
    described = dataset.as_json()
    counts = _count_classes(dataset, without_lungs)
    named = [record for record in dataset.records if record.entry.source]
    sources = SourceFindings(_by_source(named, dataset.classes), guess_by_source(named))
    problems = _problems(dataset, counts, sources.guess, probes)
    return Findings(
        root=str(dataset.root),
        sound=not problems,
        problems=problems,
        warnings=_warnings(dataset, counts, sources.guess, probes, choose_positive(dataset.classes, positive)),
        classes=counts,
        projections=described["projections"],
        patients_by_rule=described["patients_by_rule"],
        metadata=described["metadata"],
        sources=sources,
        probes=list(probes),
        files=files,
    )


def guess_by_source(records: Sequence[Record]) -> SourceGuess | None:
    """How well the source alone tells the class of images whose source is known.

    None where fewer than two classes have a source, or all images have the same one.
    """
    labels, label = np.unique([record.label for record in records], return_inverse=True)
    sources, source = np.unique([record.entry.source for record in records], return_inverse=True)
    if min(len(labels), len(sources)) < 2:
        return None
    _, first, group = np.unique([record.group for record in records], return_index=True, return_inverse=True)

    def accuracy(classes: Any) -> float:
        table = np.bincount(source * len(labels) + classes, minlength=len(sources) * len(labels))
        return float(table.reshape(len(sources), -1).max(axis=1).sum() / len(records))

    generator = np.random.default_rng(0)
    found = accuracy(label)
    dealt = [accuracy(generator.permutation(label[first])[group]) for _ in range(PERMUTATIONS)]
    above = sum(value >= found - 1e-12 for value in dealt)
    chance = float(np.mean(dealt))
    return SourceGuess(found, chance, (above + 1) / (PERMUTATIONS + 1), len(records))


def _oddities(record: Record) -> list[str]:
    stats = record.stats
    found = {
        "small": min(stats.width, stats.height) < PICTURE_SIDE_PX,
        "flat": stats.contrast < MIN_CONTRAST_GREY_LEVELS,
        "colourful": stats.colour >= COLOURFUL,
    }
    return [kind for kind, odd in found.items() if odd]


def _count_classes(dataset: Dataset, without_lungs: Collection[str]) -> dict[str, dict[str, int]]:
    """What there is of each class."""
    exact, near = Counter(record.digest for record in dataset.records), Counter(dataset.near)
    duplicates: dict[str, Counter[str]] = defaultdict(Counter)
    records: dict[str, list[Record]] = {label: [] for label in dataset.classes}
    for record, number in zip(dataset.records, dataset.near, strict=True):
        records[record.label].append(record)
        duplicates[record.label].update(exact=exact[record.digest] > 1, near=near[number] > 1)
    skipped: dict[str, Counter[str]] = defaultdict(Counter)
    for item in dataset.skipped:
        kind = "unreadable" if item.kind == "kind" else item.kind
        skipped[item.label][kind] += kind in ("unreadable", "projection", "conflict")
    return {label: _count(own, skipped[label], duplicates[label], without_lungs) for label, own in records.items()}


def _count(
    records: Sequence[Record], skipped: Counter[str], duplicates: Counter[str], without_lungs: Collection[str]
) -> dict[str, int]:
    """What there is of one class, given how many files were left out by kind, and how many images have duplicates."""
    odd = Counter(kind for record in records for kind in _oddities(record))
    ages = [_is_child(record) for record in records]
    return {
        "files": len(records) + sum(skipped.values()),
        "unreadable": skipped["unreadable"],
        "other projection": skipped["projection"],
        "under two classes": skipped["conflict"],
        "images": len(records),
        "patients": len({record.patient for record in records}),
        "patient unknown": sum(record.rule == "none" for record in records),
        "projection unknown": sum(not record.projection for record in records),
        "exact duplicates": duplicates["exact"],
        "near duplicates": duplicates["near"] - duplicates["exact"],
        **{kind: odd[kind] for kind in DETAILS},
        NOT_FRONTAL: sum(record.name in without_lungs for record in records),
        "of children": ages.count(True),
        "of adults": ages.count(False),
        "licence stated": sum(bool(record.entry.license) for record in records),
    }


def _is_child(record: Record) -> bool | None:
    """Whether the patient is a child, None if nothing tells; Kaggle's pneumonia set is of children of one to five years."""
    try:
        age = float(record.entry.age)
    except ValueError:
        age = math.nan
    if 0 <= age <= MAX_AGE_YEARS:
        return age < ADULT_AGE_YEARS
    return True if record.entry.source == KAGGLE else None


def _by_source(records: Sequence[Record], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Images by source and class, the largest source first."""
    cells = Counter((record.entry.source, record.label) for record in records)
    total = Counter(record.entry.source for record in records)
    return {source: {label: cells[source, label] for label in classes} for source, _ in total.most_common()}


def _problems(
    dataset: Dataset, classes: dict[str, dict[str, int]], guess: SourceGuess | None, probes: Sequence[ProbeFinding]
) -> list[str]:
    """What makes a run on this data set unsound."""
    found = shortened([describe_conflict(names) for names in dataset.conflicts], "more images under two classes")
    groups: dict[str, set[int]] = defaultdict(set)
    for record in dataset.records:
        groups[record.label].add(record.group)
    small = []
    for label, counts in classes.items():
        if counts["images"] < 2:
            small.append(f"class '{label}' has {counts['images']} usable images; a run needs two")
        elif len(groups[label]) < 2:
            small.append(f"all images of class '{label}' are of one patient or of one picture: none can be held out")
    found += shortened(small, "more such classes")
    if guess and guess.tells_class:
        found.append(
            f"the source alone tells the class with accuracy {guess.accuracy:.3f} (by chance {guess.chance:.3f}): a "
            f"model can score so without looking at the lungs; {_mend_sources(dataset)}"
        )
    found += [f"{_describe(probe)}: a model can score so without looking at the lungs" for probe in probes if probe.tells_class]
    children = {label: counts["of children"] / max(counts["images"], 1) for label, counts in classes.items()}
    young, old = max(children, key=lambda name: children[name]), min(children, key=lambda name: children[name])
    if children[young] - children[old] >= TELLING_CHILDREN:
        found.append(
            f"class '{young}' is of children and class '{old}' is not (Kaggle's pneumonia set is of children of one to five "
            "years, the COVID-19 sets are of adults): a model can tell them by age"
        )
    return found


def _mend_sources(dataset: Dataset) -> str:
    """What to do where the source tells the class; controls of the same collection are not advised where they are used."""
    positive = choose_positive(dataset.classes, None)
    if have_both_sides(dataset.records, np.array([record.label == positive for record in dataset.records])):
        return "leave out the sources that have images of one class alone"
    return "take controls from the same sources (covid19 prepare --controls same-source)"


def _describe(probe: ProbeFinding) -> str:
    return f"by {probe.name} alone the classes are told apart with an AUC of {probe.auc:.2f} (p = {probe.p_value:.3f})"


def _warnings(
    dataset: Dataset,
    classes: dict[str, dict[str, int]],
    guess: SourceGuess | None,
    probes: Sequence[ProbeFinding],
    positive: str,
) -> list[str]:
    """What to know before a score on this data set is believed."""

    def total(key: str) -> int:
        return sum(counts[key] for counts in classes.values())

    images = total("images")
    left_out = Counter(skipped.kind for skipped in dataset.skipped)
    texts = {
        "file(s) cannot be read and are left out": total("unreadable"),
        "file(s) lie in no class folder and are left out": left_out["stray"],
        "image(s) have no label, or several, and are left out": left_out["label"],
        "folder(s) of masks are left out": left_out["mask"],
        "folder(s) are left out that copy the tree in which they lie": left_out["copy"],
        "folder(s) and link(s) hold no image or cannot be looked into": left_out["folder"],
        "image(s) have another projection and are left out": total("other projection"),
        f"of {images} images have no known patient: each counts as a patient of its own": total("patient unknown"),
        f"of {images} images have no known projection: they are taken for PA": total("projection unknown"),
        **{f"image(s) are {text}": total(kind) for kind, text in DETAILS.items()},
        f"image(s) are {NOT_FRONTAL}: no lungs were found": total(NOT_FRONTAL),
        f"of {images} images have no stated licence: ask before they are passed on": images - total("licence stated"),
        "image(s) have rows that contradict each other in the metadata": len((dataset.metadata or {}).get("conflicts", ())),
    }
    found = [*dataset.notes, *(f"{count} {text}" for text, count in texts.items() if count)]
    if odd := describe_odd_positive(positive):
        found.append(odd)
    parts = Counter(record.part for record in dataset.records if record.part)
    if parts:
        counted = ", ".join(f"{part} {count}" for part, count in parts.items())
        found.append(f"the images come with a split ({counted}): a run splits anew by patient, or keeps it with --split given")
    patients = {label: counts["patients"] for label, counts in classes.items()}
    few = shortened([f"'{label}' ({count})" for label, count in patients.items() if count < FEW_PATIENTS])
    if few:
        found.append(f"fewer than {FEW_PATIENTS} patients of class {' and '.join(few)}: little can be concluded")
    found += [_describe(probe) for probe in probes if probe.is_significant and not probe.tells_class]
    if guess and guess.p_value < 0.05 and not guess.tells_class:
        found.append(f"the source hints at the class: accuracy {guess.accuracy:.3f}, by chance {guess.chance:.3f}")
    return found
