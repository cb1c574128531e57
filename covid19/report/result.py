"""The JSON report of a training run or audit, `metrics.json`, as types; `external_result.py` has that of `covid19 evaluate`.

`json_schema.py` makes the JSON Schemas of these types. Paths of images are relative to the data set's root.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, to_builtins

from covid19.audit.result import AuditResult
from covid19.core.measures import Count, Fraction, NotNegative
from covid19.core.outputs import json_text
from covid19.evaluation.result import CrossValidation, Evaluation, Grouping

if TYPE_CHECKING:
    from covid19.report.external_result import ExternalReport

SchemaVersion = Literal[1]
SCHEMA_VERSION: SchemaVersion = 1  # raised when a field is renamed, removed or changes its meaning


@dataclass(frozen=True)
class DuplicateCounts:
    """Images that have an exact, or only a near, duplicate in the data set, and images left out since classes conflict."""

    exact: Count
    near: Count
    conflicting: Count


@dataclass(frozen=True)
class MetadataSummary:
    """The metadata table.

    Attributes:
        path: of the table.
        rows: in it.
        matched: images that a row describes.
        without_file: rows whose image is not in the data set.
        conflicts: images whose rows contradict each other.
    """

    path: str
    rows: Count
    matched: Count
    without_file: Count
    conflicts: list[str]


@dataclass(frozen=True)
class SkippedFile:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class DatasetSummary:
    """The images of a run.

    Attributes:
        root: the data set's folder as given.
        classes: in the order of the model's outputs.
        counts: images by class.
        images, patients: in all.
        patients_by_class: patients by class.
        patients_by_rule: images by what identified the patient: metadata, dicom, name or none.
        projections: images by projection (DICOM View Position).
        duplicates: counts of duplicates.
        metadata: None without a table.
        skipped: files left out.
    """

    root: str
    classes: list[str]
    counts: dict[str, Count]
    images: Count
    patients: Count
    patients_by_class: dict[str, Count]
    patients_by_rule: dict[str, Count]
    projections: dict[str, Count]
    duplicates: DuplicateCounts
    metadata: MetadataSummary | None
    skipped: list[SkippedFile]


@dataclass(frozen=True)
class PatientCounts:
    """Patients with images in the training part, in the test part, and in both."""

    train: Count
    test: Count
    both: Count


@dataclass(frozen=True)
class SplitSummary:
    """The training and the test part, and what kept images in one part (nothing if `grouped_by` is empty)."""

    test_size: Fraction
    seed: Count
    grouped_by: Grouping
    patients: PatientCounts
    train: list[str]
    test: list[str]


@dataclass(frozen=True)
class BaseSummary:
    """The frozen backbone.

    Attributes:
        name: of the architecture.
        weights: where the weights come from.
        digest: SHA-256 of weights and preprocessing, in hexadecimal.
        requested: what `--weights` asked for.
        warning: why the weights are not those, or None.
    """

    name: str
    weights: str
    digest: str
    requested: str
    warning: str | None


@dataclass(frozen=True)
class FeaturesSummary:
    """The features: how many views the backbone was run on, in which precision, and the folder of the cache, if one is used."""

    extracted: Count
    precision: str
    store: str | None


# A Struct, since a dataclass cannot have a field that JSON knows as `from`.
class TrainingSummary(Struct, frozen=True, kw_only=True, rename={"start_from": "from"}):
    """Training of the head.

    Attributes:
        epochs, batch_size, learning_rate, augmentations, rotation: as `TrainingSettings` has them.
        start_from: the earlier model whose head the training started from, or None.
        history: loss (nats) and accuracy by epoch, of the training part and, as val_loss and val_accuracy, of the test part.
    """

    epochs: Count
    batch_size: Count
    learning_rate: NotNegative
    augmentations: Count
    rotation: NotNegative
    start_from: str | None
    history: dict[str, list[float]]


@dataclass(frozen=True)
class Environment:
    """Versions of what a run stood on."""

    python: str
    keras: str
    backend: str
    backend_version: str
    platform: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """`metrics.json`.

    Attributes:
        schema_version: of this structure.
        command: the command line as typed; empty if called from Python.
        version: of covid19.
        created: date and time, ISO 8601 in UTC.
        dataset, split, base, features, training: what the run stood on.
        test: of the model on the test part.
        cross_validation: None without it.
        audit: for shortcuts; None without it.
        timing: seconds by step.
        environment: versions.
        notice: what the numbers must not be used for.
        settings: in effect, by the flags' names; empty in reports of earlier versions.
    """

    schema_version: SchemaVersion
    command: str
    version: str
    created: str
    dataset: DatasetSummary
    split: SplitSummary
    base: BaseSummary
    features: FeaturesSummary
    training: TrainingSummary
    test: Evaluation
    cross_validation: CrossValidation | None
    audit: AuditResult | None
    timing: dict[str, NotNegative]
    environment: Environment
    notice: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictionsSummary:
    """The scores of a model that was not trained here.

    Attributes:
        path: of the table.
        columns: that the scores come from.
        rows: in the table.
        rows_without_image: of them, whose image is not among those of the data set that are used.
        images: that have a score.
        images_without_score: left out.
        repeats: scores of one image at most, of which the mean is taken.
        folds: parts of the cross-validation by which the probes are compared with the scores.
        folds_given: whether these are the table's own folds.
        images_shared: that were held out, in the table's folds, while others of their patient, or duplicates, were trained on;
            None where the table names no folds.
        hidden: path of the table of scores with hidden lungs, or None.
    """

    path: str
    columns: list[str]
    rows: Count
    rows_without_image: Count
    images: Count
    images_without_score: Count
    repeats: Count
    folds: Count
    folds_given: bool
    images_shared: Count | None
    hidden: str | None


@dataclass(frozen=True)
class ScoredImage:
    """The score of one image, the mean over the repeats.

    Attributes:
        path: relative to the data set's root.
        score: higher for the positive class.
        label: the true class.
        group: the same for images of one patient and for duplicates.
    """

    path: str
    score: float
    label: str
    group: Count


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What `covid19 audit --predictions` writes.

    Attributes:
        schema_version, command, version, created, dataset, audit, timing, notice: as in `Report`.
        positive: the positive class.
        predictions: the scores that were audited, as a whole.
        scores: of each image.
        not_tested: what the audit of a model that was trained here tests as well, and this one could not.
        notes: what else to know before the verdict is believed.
    """

    schema_version: SchemaVersion
    command: str
    version: str
    created: str
    positive: str
    predictions: PredictionsSummary
    scores: list[ScoredImage]
    dataset: DatasetSummary
    audit: AuditResult | None
    not_tested: list[str]
    notes: list[str]
    timing: dict[str, NotNegative]
    notice: str


def report_text(report: Report | ExternalReport | AuditReport) -> str:
    """The report as JSON.

    Raises:
        ValueError: a number is not finite.
    """
    return json_text(to_builtins(report), indent=2) + "\n"
