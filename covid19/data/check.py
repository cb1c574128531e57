"""Look a data set over without training: counts, what is wrong with it, and whether its sources give the classes away.

A folder goes in, findings come out. A *problem* makes a run unsound: it would be refused, or its score would mean nothing.
A *warning* is something to know before the score is believed.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from covid19.core.console import printable, shortened
from covid19.data.dataset import FEW_PATIENTS, Dataset, Record
from covid19.data.images import COLOURFUL, MIN_CONTRAST_GREY_LEVELS, PICTURE_SIDE_PX
from covid19.data.lungs import NOT_FRONTAL
from covid19.data.patients import KAGGLE
from covid19.data.reader import describe_conflict

ADULT_AGE_YEARS = 18
MAX_AGE_YEARS = 150  # a larger number in the table is no age
PERMUTATIONS = 1000
SIGNIFICANT = 0.05
TELLING_AUC = 0.9  # from which on a probe tells the class
TELLING_CHILDREN = 0.5  # difference of the classes' fractions of children from which on age tells the class
TELLING_SOURCE = 0.8  # fraction of the way from chance to certainty from which on the source tells the class
DETAILS = {
    "small": f"smaller than the {PICTURE_SIDE_PX} pixels that the network is given",
    "flat": "nearly one shade",
    "colourful": "colourful, like a photograph",
}


@dataclass(frozen=True)
class FileNote:
    """A file of which there is something to say, and what."""

    path: str
    why: str


@dataclass(frozen=True)
class SourceGuess:
    """How well the source alone tells the class: each image is given the most frequent class of its source.

    Attributes:
        accuracy: of that guess, in [0, 1].
        chance: the mean of its accuracy when the classes are dealt anew to the groups; small sources are right by themselves.
        p_value: of that permutation test (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9:39, 2010).
        images: over which it was made.
    """

    accuracy: float
    chance: float
    p_value: float
    images: int

    @property
    def tells_class(self) -> bool:
        """Whether the source all but gives the class away."""
        return self.accuracy - self.chance >= TELLING_SOURCE * (1 - self.chance)


@dataclass(frozen=True)
class SourceFindings:
    """The sources of the images: `table` counts images by source and class."""

    table: dict[str, dict[str, int]]
    guess: SourceGuess | None


@dataclass(frozen=True)
class ProbeFinding:
    """How well the classes are told apart by what sees no lung.

    Attributes:
        name: of the probe, in words.
        auc: ROC AUC, of the class against all others together, out of fold.
        p_value: of a permutation test by patient, corrected for the number of probes.
    """

    name: str
    auc: float
    p_value: float

    @property
    def is_significant(self) -> bool:
        """Whether this is more than chance."""
        return self.p_value < SIGNIFICANT

    @property
    def tells_class(self) -> bool:
        """Whether it all but gives the class away."""
        return self.is_significant and self.auc >= TELLING_AUC


@dataclass(frozen=True)
class Findings:
    """What `check` found.

    Attributes:
        root: folder of the data set.
        sound: whether there are no problems.
        problems: each makes a run unsound.
        warnings: each is something to know before a score is believed.
        classes: counts of each class.
        projections, patients_by_rule, metadata: as in a run's report.
        sources: of the images that name one.
        probes: that see no lung; none where a class has too few patients to be divided.
        files: that were left out or look odd.
    """

    root: str
    sound: bool
    problems: list[str]
    warnings: list[str]
    classes: dict[str, dict[str, int]]
    projections: dict[str, int]
    patients_by_rule: dict[str, int]
    metadata: dict[str, Any] | None
    sources: SourceFindings
    probes: list[ProbeFinding]
    files: list[FileNote]

    @property
    def status(self) -> str:
        """FAIL, PASS or PASS with warnings, and what that means."""
        if not self.sound:
            return "FAIL: not ready for training. Mend the problems below."
        warnings = f" with {len(self.warnings)} warning{'s' * (len(self.warnings) > 1)}" if self.warnings else ""
        return f"PASS{warnings}: no problem was found."


def look_over(dataset: Dataset, without_lungs: Mapping[str, str], probes: Sequence[ProbeFinding]) -> Findings:
    """Look over a data set's files, metadata and classes.

    Args:
        dataset: from `survey`; images under two classes are reported, not refused.
        without_lungs: why no lungs were found in an image, by its name.
        probes: how well the classes are told apart without the lungs.
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
        warnings=_warnings(dataset, counts, sources.guess, probes),
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
        skipped[item.path.partition("/")[0]][item.kind] += item.kind != "stray"
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
            "model can score so without looking at the lungs; take controls from the same sources (covid19 prepare --controls "
            "same-source)"
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


def _describe(probe: ProbeFinding) -> str:
    return f"by {probe.name} alone the classes are told apart with an AUC of {probe.auc:.2f} (p = {probe.p_value:.3f})"


def _warnings(
    dataset: Dataset, classes: dict[str, dict[str, int]], guess: SourceGuess | None, probes: Sequence[ProbeFinding]
) -> list[str]:
    """What to know before a score on this data set is believed."""

    def total(key: str) -> int:
        return sum(counts[key] for counts in classes.values())

    images = total("images")
    strays = sum(skipped.kind == "stray" for skipped in dataset.skipped)
    texts = {
        "file(s) cannot be read and are left out": total("unreadable"),
        "file(s) lie in no class folder and are left out": strays,
        "image(s) have another projection and are left out": total("other projection"),
        f"of {images} images have no known patient: each counts as a patient of its own": total("patient unknown"),
        f"of {images} images have no known projection: they are taken for PA": total("projection unknown"),
        **{f"image(s) are {text}": total(kind) for kind, text in DETAILS.items()},
        f"image(s) are {NOT_FRONTAL}: no lungs were found": total(NOT_FRONTAL),
        f"of {images} images have no stated licence: ask before they are passed on": images - total("licence stated"),
        "image(s) have rows that contradict each other in the metadata": len((dataset.metadata or {}).get("conflicts", ())),
    }
    found = [f"{count} {text}" for text, count in texts.items() if count]
    patients = {label: counts["patients"] for label, counts in classes.items()}
    few = shortened([f"'{label}' ({count})" for label, count in patients.items() if count < FEW_PATIENTS])
    if few:
        found.append(f"fewer than {FEW_PATIENTS} patients of class {' and '.join(few)}: little can be concluded")
    found += [_describe(probe) for probe in probes if probe.is_significant and not probe.tells_class]
    if guess and guess.p_value < 0.05 and not guess.tells_class:
        found.append(f"the source hints at the class: accuracy {guess.accuracy:.3f}, by chance {guess.chance:.3f}")
    return found


def describe(findings: Findings) -> str:
    """The findings as text for a terminal: counts by class, sources by class, problems, warnings."""
    labels = list(findings.classes)
    rows = [[name, *(str(findings.classes[label][name]) for label in labels)] for name in findings.classes[labels[0]]]
    lines = [*_table(["", *labels], rows), ""]
    lines.append("projections: " + ", ".join(f"{projection} {count}" for projection, count in findings.projections.items()))
    lines.append("patients known by: " + ", ".join(f"{rule} {count}" for rule, count in findings.patients_by_rule.items()))
    if metadata := findings.metadata:
        lines.append(
            f"metadata: {metadata['rows']} rows, {metadata['matched']} images matched, {metadata['without_file']} files not "
            f"here, {len(metadata['conflicts'])} with contradicting rows"
        )
    table, guess = findings.sources.table, findings.sources.guess
    if table:
        shown = [[source[:48], *(str(counts[label]) for label in labels)] for source, counts in list(table.items())[:12]]
        lines += ["", *_table(["source", *labels], shown)]
        if len(table) > len(shown):
            lines.append(f"... and {len(table) - len(shown)} smaller sources")
    if guess:
        lines.append(
            f"guess the class from the source: accuracy {guess.accuracy:.3f}, by chance {guess.chance:.3f} "
            f"(p = {guess.p_value:.3f}, {guess.images} images)"
        )
    if findings.probes:
        told = ", ".join(f"{probe.name} AUC {probe.auc:.2f} (p = {probe.p_value:.3f})" for probe in findings.probes)
        lines.append(f"classes told apart without the lungs: {told}")
    for kind, texts in (("problem", findings.problems), ("warning", findings.warnings)):
        lines += ["", *(f"{kind}: {text}" for text in texts)] if texts else []
    files = [f"{printable(file.path)}: {file.why}" for file in findings.files]
    lines += [f"  {line}" for line in shortened(files, "more files (all of them with --json)")]
    return "\n".join([f"{findings.status}\n", *lines])


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Columns, the first flush left, the others flush right."""
    first, *others = (max(map(len, column)) for column in zip(head, *rows, strict=True))
    return [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))])
        for name, *cells in (head, *rows)
    ]
