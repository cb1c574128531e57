"""External validity: a model's numbers on another data set and at home in; whether it holds, and what to do, in words out."""

from __future__ import annotations

from typing import Literal, NamedTuple

from covid19.core.measures import Metric
from covid19.evaluation.result import PartialEvaluation
from covid19.model.info import CrossValidationSummary

ExternalStatus = Literal["FAILS", "WORSE", "HOLDS", "BETTER THAN CHANCE", "ONLY POSITIVES", "ONLY NEGATIVES"]

WHAT_TO_DO: dict[ExternalStatus, str] = {
    "FAILS": "Do not use the model on such images: report this, find out what differs from home, and train on both.",
    "WORSE": "Report these numbers rather than those at home, and find out what differs.",
    "HOLDS": "Report these numbers beside those at home, and test on further hospitals: this is one.",
    "BETTER THAN CHANCE": "Train the model with cross-validation, so that there is something to compare with.",
    "ONLY POSITIVES": "Add negatives of the same hospital: a model that calls every image positive has a sensitivity of 1.",
    "ONLY NEGATIVES": "Add positives of the same hospital: a model that calls every image negative has a specificity of 1.",
}


class ExternalConclusion(NamedTuple):
    """What a test on another data set allows to conclude.

    Attributes:
        status: in a word or two.
        sentence: the status with the numbers that it stands on.
        advice: what to do.
    """

    status: ExternalStatus
    sentence: str
    advice: str


def conclude_externally(test: PartialEvaluation, internal: CrossValidationSummary | None) -> ExternalConclusion:
    """Whether a model holds on another data set.

    Args:
        test: of the model on the other data set.
        internal: the model's cross-validated numbers at home, if it has any.
    """
    status, found = _compare(test, internal)
    found += _describe_threshold(test, internal) if status in ("HOLDS", "BETTER THAN CHANCE") else ""
    where = "on" if status in ("FAILS", "WORSE", "HOLDS", "BETTER THAN CHANCE") else "in"
    return ExternalConclusion(status, f"{status} {where} this data set: {found}", WHAT_TO_DO[status])


def _compare(test: PartialEvaluation, internal: CrossValidationSummary | None) -> tuple[ExternalStatus, str]:
    """The status, and the numbers for it."""
    auc = test.roc_auc
    if test.sensitivity and auc is None:
        found = _one_side("sensitivity", test.sensitivity, internal.sensitivity if internal else None)
        return "ONLY POSITIVES", f"{found}; nothing is known of specificity."
    if test.specificity and auc is None:
        found = _one_side("specificity", test.specificity, internal.specificity if internal else None)
        return "ONLY NEGATIVES", f"{found}; nothing is known of sensitivity."
    if auc is None:
        raise ValueError("expected an evaluation of images of at least one side")
    if auc.low <= 1 / 2:
        home = f"; {internal.roc_auc.value:.2f} at home" if internal else ""
        return "FAILS", f"AUC {auc}, not shown to be better than chance{home}."
    if internal is None:
        return "BETTER THAN CHANCE", f"AUC {auc}; nothing is known of the model at home."
    home = f"{internal.roc_auc.value:.2f} at home"
    if auc.high < internal.roc_auc.value:
        return "WORSE", f"AUC {auc}, lower than at home; {home}."
    return "HOLDS", f"AUC {auc}, not shown to be worse than at home; {home}."


def _describe_threshold(test: PartialEvaluation, internal: CrossValidationSummary | None) -> str:
    """That a rate at the model's threshold is lower than at home, as it may be where the AUC is not; '' if none is."""
    rates = {"sensitivity": test.sensitivity, "specificity": test.specificity}
    lower = [
        f"{name} {here}, {home.value:.2f} at home"
        for name, here in rates.items()
        if internal and here and here.high < (home := getattr(internal, name)).value
    ]
    return f" At the model's threshold it is worse: {'; '.join(lower)}." if lower else ""


def _one_side(name: str, here: Metric, home: Metric | None) -> str:
    if home is None:
        return f"{name} {here}"
    lower = ", lower than at home" if here.high < home.value else ""
    return f"{name} {here}{lower}; {home.value:.2f} at home"
