"""The results of a run in words and as a `Report`: what the run prints at its end, and metrics.json."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sklearn.metrics import classification_report

from covid19 import NOTICE, __version__
from covid19.audit.explanation import difference
from covid19.audit.result import AuditResult
from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.console import aligned
from covid19.core.measures import Metric
from covid19.core.settings import OutputSettings, Settings
from covid19.data.dataset import Dataset
from covid19.data.split import Split
from covid19.evaluation.result import Evaluation
from covid19.evaluation.words import confusion_lines, metric_line
from covid19.report.conclusion import conclude, three_numbers
from covid19.report.result import (
    SCHEMA_VERSION,
    BaseSummary,
    DatasetSummary,
    Environment,
    FeaturesSummary,
    PatientCounts,
    Report,
    SplitSummary,
    TrainingSummary,
)

if TYPE_CHECKING:  # an audit of given scores needs no Keras
    from covid19.evaluation.estimate import Estimate
    from covid19.features.backbone.weights import Weights
    from covid19.features.extraction import Extracted
    from covid19.model.head import History

METRICS_SHOWN = {
    "roc_auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
}


def environment() -> Environment:
    """Versions of what the run stands on."""
    import keras

    backend = keras.backend.backend()
    return Environment(
        platform.python_version(), keras.__version__, backend, sys.modules[backend].__version__, platform.platform()
    )


class Outcome(NamedTuple):
    """The results of a run, for its report.

    Attributes:
        dataset, split, weights: what it stood on.
        extracted: from `Extractor.extract`.
        history: from `train_heads`.
        test: from `evaluate`, on the held-out images.
        estimate: from `estimate`.
        audit: from `run.audit`, or None.
        lungs_found: fraction of the images whose lungs were found or drawn; None where they were not looked for.
    """

    dataset: Dataset
    split: Split
    weights: Weights
    extracted: Extracted
    history: History
    test: Evaluation
    estimate: Estimate
    audit: AuditResult | None
    lungs_found: float | None


def make_report(settings: Settings, outcome: Outcome, timing: dict[str, float]) -> Report:
    """Everything about one run; paths of images are relative to the data set's root."""
    training, compute, weights = settings.training, settings.compute, outcome.weights
    return Report(
        schema_version=SCHEMA_VERSION,
        command=settings.command,
        version=__version__,
        created=timestamp(),
        dataset=summarise_dataset(outcome.dataset),
        split=_summarise_split(outcome.dataset, outcome.split, settings),
        base=BaseSummary(**weights.as_json(), requested=training.weights, warning=weights.warning),
        features=FeaturesSummary(
            outcome.extracted.runs,
            outcome.extracted.precision,
            str(compute.cache_dir or "default") if compute.cache else None,
        ),
        training=TrainingSummary(
            epochs=training.epochs,
            batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            augmentations=training.augmentations,
            rotation=training.rotation,
            start_from=str(training.start_from) if training.start_from else None,
            history=outcome.history,
        ),
        test=outcome.test,
        cross_validation=outcome.estimate.numbers,
        audit=outcome.audit,
        timing=timing,
        environment=environment(),
        notice=NOTICE,
        settings=settings.as_json(),
    )


def timestamp() -> str:
    """The time in UTC, to the second, as ISO 8601 has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def summarise_dataset(dataset: Dataset) -> DatasetSummary:
    """What a report says of the data."""
    return msgspec.convert(dataset.as_json(), DatasetSummary)


def _summarise_split(dataset: Dataset, split: Split, settings: Settings) -> SplitSummary:
    """The members of each part, by what they were grouped, and how many patients are in each part and in both."""
    train, test = ([dataset.records[i] for i in positions] for positions in (split.train, split.test))
    patients, tested = ({record.patient for record in records} for records in (train, test))
    given = settings.data.split == "given"
    return SplitSummary(
        len(test) / len(dataset.records) if given else settings.evaluation.test_size,
        settings.training.seed,
        ["patient", "duplicates"] if settings.evaluation.groups and not given else [],
        PatientCounts(len(patients), len(tested), len(patients & tested)),
        [record.name for record in train],
        [record.name for record in test],
    )


def describe_test(
    truth: Float32Array, predicted: IndexArray, classes: Sequence[str], test: Evaluation, what: str = "held-out images"
) -> str:
    """The classification report, the confusion matrix, accuracy, sensitivity and specificity, as text.

    Args:
        truth: one-hot labels (n, classes).
        predicted: class of each image, (n,), from `metrics.predict_labels`.
        classes: names in the order of the columns.
        test: what `metrics.evaluate` made of them.
        what: was tested, in words.
    """
    table = classification_report(
        truth.argmax(axis=1), predicted, labels=range(len(classes)), target_names=classes, zero_division=0.0
    )
    lines = [table, *confusion_lines(classes, classes, test.confusion_matrix), ""]
    lines.append(f"{len(truth)} {what}; positive class: {test.positive}")
    lines += [metric_line("acc", test.accuracy), metric_line("sensitivity", test.sensitivity)]
    return "\n".join([*lines, metric_line("specificity", test.specificity)])


def summarise(report: Report, output: OutputSettings, base: str, held_out: str) -> str:
    """The results of a run as text, in the order of what matters.

    Args:
        report: of the run.
        output: the files written.
        base: the backbone's weights, in words.
        held_out: from `describe_test`.

    Returns:
        What is concluded, the three numbers, both estimates side by side, the held-out images, and the files. The status line
        that comes first is the caller's.
    """
    cross, test, concluded = report.cross_validation, report.test, conclude(report)
    estimates: dict[str, Evaluation] = {f"held out, {len(report.split.test)} images": test}
    if cross:
        estimates = {f"cross-validated, {cross.folds} folds x {cross.repeats}": cross, **estimates}
    lines = [concluded.headline, *concluded.findings, ""]
    if report.audit:
        lines += [*compare_parts(report.audit), ""]
    rows = [
        [title, *(format_metric(getattr(own, name)) for own in estimates.values())] for name, title in METRICS_SHOWN.items()
    ]
    counts = report.dataset.counts.values()
    lines += [
        *aligned(["", *estimates], rows),
        f"accuracy of always the larger class: {max(counts) / sum(counts):.2f}",
        "",
        held_out,
        "",
    ]
    written = {output.model: "model", output.report: "JSON report", output.page: "HTML report", output.plot: "curves"}
    lines.append(f"Wrote {', '.join(f'{path} ({what})' for path, what in written.items() if path)}.")
    lines.append(f"Base: VGG16, {base}. {NOTICE}")
    return "\n".join(lines)


def compare_parts(audit: AuditResult) -> list[str]:
    """The AUC of the whole picture and of its parts, a line each."""
    parts = three_numbers(audit)
    width = max(len(part.part) for part in parts)
    lines = []
    for part in parts:
        line = f"AUC, {part.part:<{width}}  {format_metric(part.auc)}"
        lines.append(f"{line}  the model adds {difference(part.margin)}" if part.margin else line)
    return lines


def format_metric(metric: Metric) -> str:
    """The value with its interval, to two decimals: '0.90 (0.60-0.98)'."""
    return f"{metric.value:.2f} ({metric.low:.2f}-{metric.high:.2f})"
