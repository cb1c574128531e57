"""The JSON report of `covid19 evaluate`, `evaluation.json`, as types."""

from __future__ import annotations

from dataclasses import dataclass

from covid19.audit.result import AuditResult
from covid19.core.measures import Count, Difference
from covid19.evaluation.result import PartialEvaluation, Prediction, ReliabilityBin
from covid19.model.info import CrossValidationSummary
from covid19.report.external_conclusion import ExternalStatus
from covid19.report.result import DatasetSummary, SchemaVersion


@dataclass(frozen=True)
class ModelSummary:
    """The model that is tested.

    Attributes:
        path: of its file.
        base: its backbone: name, weights, digest.
        trained_with: versions of the program and the packages that trained it.
        status: the verdict of its own audit at home, as one word or two.
        verdict: the same in words.
    """

    path: str
    base: dict[str, str]
    trained_with: dict[str, str]
    status: str
    verdict: str


@dataclass(frozen=True)
class Drop:
    """Internal less external metrics; None where the external one is not known."""

    accuracy: Difference | None
    sensitivity: Difference | None
    specificity: Difference | None
    roc_auc: Difference | None


@dataclass(frozen=True, kw_only=True)
class ExternalReport:
    """What `covid19 evaluate` writes.

    Attributes:
        schema_version, command, version, created, dataset, audit, notice: as in `Report`; without images of both sides there is
            no audit.
        model: that was tested.
        status: whether the model holds on the data set, in a word or two.
        conclusion: the same as a sentence with its numbers.
        advice: what to do.
        renamed: the model's class for each class of the data set that has another name.
        in_training: images left out because the model was trained on them.
        test: of the model on the data set, which may have only positives or only negatives.
        reliability: the reliability diagram; empty without images of both sides.
        predictions: for each image.
        internal: None if the model was not cross-validated.
        drop: None without `internal`.
    """

    schema_version: SchemaVersion
    command: str
    version: str
    created: str
    model: ModelSummary
    status: ExternalStatus
    conclusion: str
    advice: str
    dataset: DatasetSummary
    renamed: dict[str, str]
    in_training: Count
    test: PartialEvaluation
    reliability: list[ReliabilityBin]
    predictions: list[Prediction]
    internal: CrossValidationSummary | None
    drop: Drop | None
    audit: AuditResult | None
    notice: str
