"""What evaluation measures, as types: they are computed here, written to JSON reports, and described by a JSON Schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from covid19.core.arrays import Float32Array
from covid19.core.measures import Count, Fraction, Metric, NotNegative
from covid19.data.dataset import Record

Grouping = list[Literal["patient", "duplicates"]]


@dataclass(frozen=True)
class OptionalMetric:
    """A measure that is not defined where nothing is predicted to be of the class; None then."""

    value: Fraction | None = None
    low: Fraction | None = None
    high: Fraction | None = None


@dataclass(frozen=True)
class ClassMetrics:
    """One class against all others together."""

    sensitivity: Metric
    specificity: Metric
    precision: OptionalMetric
    f1: Metric
    roc_auc: Metric
    average_precision: Metric


@dataclass(frozen=True)
class MacroMetrics:
    """The means over the classes, each against all others."""

    roc_auc: Metric
    average_precision: Metric
    f1: Metric


@dataclass(frozen=True, kw_only=True)
class PartialEvaluation:
    """Predictions compared with the truth, on images of which one side may be missing.

    Of positives alone the sensitivity is known, of negatives alone the specificity, and nothing else: all other numbers are
    None then, and `report` is empty.

    Attributes:
        positive: the positive class.
        threshold: probability from which it is predicted; None predicts the most probable class.
        confusion_matrix: images by true class (rows) and predicted class (columns).
        accuracy, sensitivity, specificity, precision: with Wilson intervals for the effective number of images, which is
            lower where patients have several; all but the accuracy of the positive class.
        balanced_accuracy, f1, roc_auc, average_precision, brier, calibration_error: with bootstrap intervals by group; all
            but the balanced accuracy of the positive class.
        report: scikit-learn's classification report: precision, recall, f1-score and support by class, and their means.
        macro, by_class: with more than two classes, of those that have images.
    """

    positive: str
    threshold: NotNegative | None
    confusion_matrix: list[list[Count]]
    accuracy: Metric | None = None
    sensitivity: Metric | None = None
    specificity: Metric | None = None
    precision: OptionalMetric = OptionalMetric()
    balanced_accuracy: Metric | None = None
    f1: Metric | None = None
    roc_auc: Metric | None = None
    average_precision: Metric | None = None
    brier: Metric | None = None
    calibration_error: Metric | None = None
    report: dict[str, dict[str, float] | float] = field(default_factory=dict)
    macro: MacroMetrics | None = None
    by_class: dict[str, ClassMetrics] | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation(PartialEvaluation):
    """Predictions compared with the truth, on images of both sides; attributes as of `PartialEvaluation`, all known."""

    accuracy: Metric
    sensitivity: Metric
    specificity: Metric
    precision: OptionalMetric
    balanced_accuracy: Metric
    f1: Metric
    roc_auc: Metric
    average_precision: Metric
    brier: Metric
    calibration_error: Metric
    report: dict[str, dict[str, float] | float]


@dataclass(frozen=True)
class AccuracyAndAuc:
    """Accuracy, and ROC AUC of the positive class, without intervals."""

    accuracy: Fraction
    roc_auc: Fraction


@dataclass(frozen=True)
class MajorityBaseline:
    """What is reached by always predicting the largest class."""

    accuracy: Metric
    roc_auc: Fraction = 0.5


@dataclass(frozen=True)
class Baselines:
    """What is reached without a model, and with a backbone that was never trained (None if the run's own is that)."""

    majority: MajorityBaseline
    untrained_base: AccuracyAndAuc | None


@dataclass(frozen=True)
class OperatingPoint:
    """Sensitivity and specificity at the threshold that a rule chooses, measured on the images that it was chosen on."""

    rule: str
    threshold: NotNegative
    sensitivity: Metric
    specificity: Metric


@dataclass(frozen=True)
class PredictiveValues:
    """Positive and negative predictive value where a given fraction of the patients has the disease.

    Attributes:
        given: whether the prevalence was asked for; otherwise it is that of the held-out images.
        prevalence: fraction of the positive class.
        ppv, npv: None where nothing is predicted so.
    """

    given: bool
    prevalence: Fraction
    ppv: OptionalMetric
    npv: OptionalMetric


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose probability of the positive class lies in one of ten equal bins.

    Attributes:
        count: images.
        probability: their mean probability.
        observed: fraction of them that is positive.
    """

    count: Count
    probability: Fraction
    observed: Metric


@dataclass(frozen=True)
class CalibrationQuality:
    """How well probabilities agree with the truth; 0 is best.

    Attributes:
        log_loss: in nats.
        brier: mean squared error of the positive class's probability.
        calibration_error: expected calibration error over ten bins.
    """

    log_loss: NotNegative
    brier: Fraction
    calibration_error: Fraction


@dataclass(frozen=True)
class Calibration:
    """The temperature that the logits are divided by, what it changes, and the reliability diagram after it."""

    temperature: NotNegative
    before: CalibrationQuality
    after: CalibrationQuality
    reliability: list[ReliabilityBin]


@dataclass(frozen=True)
class Prediction:
    """What was predicted for one image.

    Attributes:
        path: relative to the data set's root.
        probabilities: of each class.
        label: the true class; '' in reports of earlier versions.
        group: the same for images of one patient and for duplicates; None in reports of earlier versions.
    """

    path: str
    probabilities: dict[str, Fraction]
    label: str = ""
    group: Count | None = None


@dataclass(frozen=True, kw_only=True)
class CrossValidation(Evaluation):
    """The evaluation of out-of-fold probabilities, each the mean over the repeats.

    Attributes:
        folds, repeats: of the cross-validation.
        grouped_by: what kept images in one fold; empty if nothing did.
        threshold_rule: by which the threshold was chosen, as `--threshold` has it.
        each_repeat: of each repeat by itself, before calibration.
        by_image: what a cross-validation that ignores patients gives, before calibration; None if every image is a patient.
        operating_points: of the rules for thresholds.
        predictive_values: at the threshold.
        calibration: of the out-of-fold probabilities.
        baselines: by the same folds.
        predictions: out of fold, calibrated.
    """

    folds: Count
    repeats: Count
    grouped_by: Grouping
    threshold_rule: str
    each_repeat: list[AccuracyAndAuc]
    by_image: AccuracyAndAuc | None
    operating_points: list[OperatingPoint]
    predictive_values: PredictiveValues
    calibration: Calibration
    baselines: Baselines
    predictions: list[Prediction]


def list_predictions(records: Sequence[Record], classes: Sequence[str], probabilities: Float32Array) -> list[Prediction]:
    """The probabilities of images as a report has them.

    Args:
        records: the n images.
        classes: in the order of the columns.
        probabilities: (n, classes).
    """
    return [
        Prediction(record.name, dict(zip(classes, row, strict=True)), record.label, record.group)
        for record, row in zip(records, probabilities.tolist(), strict=True)
    ]
