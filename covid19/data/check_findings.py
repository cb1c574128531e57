"""What a look over a data set found: the findings, and their text for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from covid19.core.console import aligned, printable, shortened

SIGNIFICANT = 0.05
TELLING_AUC = 0.9  # from which on a probe tells the class
TELLING_SOURCE = 0.8  # fraction of the way from chance to certainty from which on the source tells the class


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


def describe(findings: Findings) -> str:
    """The findings as text for a terminal: counts by class, sources by class, problems, warnings."""
    labels = list(findings.classes)
    rows = [[name, *(str(findings.classes[label][name]) for label in labels)] for name in findings.classes[labels[0]]]
    lines = [*aligned(["", *labels], rows), ""]
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
        lines += ["", *aligned(["source", *labels], shown)]
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
