"""What a run's numbers allow to conclude, in plain words: a status, what to do, what was found, and what limits it."""

from __future__ import annotations

from typing import NamedTuple

from covid19.audit.explanation import CROP_ELSEWHERE, advise, difference, explain, status
from covid19.audit.inputs import PARTS, UNTRAINED
from covid19.audit.result import AuditResult, Margin
from covid19.core.measures import Metric
from covid19.data.dataset import FEW_PATIENTS
from covid19.data.measurements.thumbnail import THUMBNAIL, THUMBNAIL_SIDE_CELLS
from covid19.evaluation.result import CrossValidation, Evaluation
from covid19.report.result import AuditReport, Report

SIMPLER = {
    THUMBNAIL.name: f"a {THUMBNAIL_SIDE_CELLS}x{THUMBNAIL_SIDE_CELLS} thumbnail of the picture",
    UNTRAINED: "a backbone that was never trained",
}


class Conclusion(NamedTuple):
    """What a report concludes.

    Attributes:
        status: the audit's verdict as one word or two.
        advice: the status and what to do, in one sentence.
        headline: how well the classes are told apart.
        findings: the audit's numbers, and what else there is to know before the headline is believed.
    """

    status: str
    advice: str
    headline: str
    findings: list[str]


def conclude(report: Report) -> Conclusion:
    """What the numbers of a run allow to conclude."""
    cross = report.cross_validation
    findings = [explain(report.audit), *_against_simpler(report.audit), *_sources(report.audit)]
    findings += [*_calibration(cross), *_patients(report)]
    return Conclusion(status(report.audit), advise(report.audit), _headline(report), [text for text in findings if text])


def conclude_audit(report: AuditReport) -> Conclusion:
    """What the audit of given scores allows to conclude."""
    audit, given = report.audit, report.predictions
    headline = "There are too few patients to compare the scores with anything."
    if audit:
        auc = Metric(audit.model_auc, audit.model.low, audit.model.high)
        headline = f"{report.positive} against the rest, by the scores of {given.images} images: AUC {auc}."
    untested = f"Not tested: {'; '.join(report.not_tested)}." if report.not_tested else ""
    findings = [explain(audit), *_against_simpler(audit), untested, *report.notes]
    return Conclusion(status(audit), advise(audit, CROP_ELSEWHERE), headline, [text for text in findings if text])


def _headline(report: Report) -> str:
    """ROC AUC and balanced accuracy; the accuracy only beside the larger class's share."""
    cross, counts = report.cross_validation, report.dataset.counts.values()
    numbers: Evaluation = cross or report.test
    how = f"on {len(report.split.test)} held-out images"
    if cross:
        how = "cross-validated by " + ("patient" if cross.grouped_by else "image, so that a patient may be in several folds")
    words = (
        f"{numbers.positive} against the rest, {how}: AUC {numbers.roc_auc}, balanced accuracy "
        f"{numbers.balanced_accuracy}, accuracy {numbers.accuracy.value:.2f} where always the larger class gives "
        f"{max(counts) / sum(counts):.2f}."
    )
    if numbers.balanced_accuracy.low <= 1 / len(counts) or numbers.roc_auc.low <= 1 / 2:
        words += " That is not shown to be better than guessing."
    return words


def _against_simpler(audit: AuditResult | None) -> list[str]:
    """The simpler ways than which the model is not shown to be better."""
    margins = {margin.probe: margin for margin in audit.margins} if audit else {}
    return [
        f"The model is not shown to be better than {words}: its AUC is higher by {difference(margins[name])}."
        for name, words in SIMPLER.items()
        if name in margins and margins[name].low <= 0
    ]


def _sources(audit: AuditResult | None) -> list[str]:
    """The sources on which a head that was trained on all others fails."""
    sources = audit.sources.sources if audit and audit.sources else ()
    return [
        f"On the source '{one.source}', left out of the training, the AUC is {one.auc:.2f}, below that of the others "
        f"({one.rest.low:.2f} to {one.rest.high:.2f})."
        for one in sources
        if one.fails and one.auc is not None and one.rest
    ]


def _calibration(cross: CrossValidation | None) -> list[str]:
    """Whether calibration made things worse, or a wanted sensitivity or specificity was not reached."""
    if cross is None:
        return []
    found = []
    before, after = cross.calibration.before.log_loss, cross.calibration.after.log_loss
    if after > before:
        found.append(f"Calibration made the log loss worse out of fold ({before:.3f} before, {after:.3f} after).")
    wanted, _, target = cross.threshold_rule.partition("=")
    if target:
        reached = cross.sensitivity if wanted == "sens" else cross.specificity
        name = "sensitivity" if wanted == "sens" else "specificity"
        if reached.value < float(target):
            found.append(f"The wanted {name} of {float(target):.2f} was not reached out of fold: {reached}.")
    return found


def _patients(report: Report) -> list[str]:
    """Whether patients are unknown or few."""
    data, found = report.dataset, []
    if report.split.grouped_by and (unknown := data.patients_by_rule.get("none", 0)):
        found.append(
            f"The patient of {unknown} of {data.images} images is not known: one may have images in both training and test."
        )
    few = min(data.patients_by_class.values())
    if few < FEW_PATIENTS:
        found.append(f"With {few} patients in the smallest class, little can be concluded.")
    return found


class Comparison(NamedTuple):
    """One of the three numbers: the AUC of a part of the picture, and the model's less that."""

    part: str
    auc: Metric
    margin: Margin | None


def three_numbers(audit: AuditResult) -> list[Comparison]:
    """The AUC of the whole picture, with the lungs hidden and, in the full audit, of the lungs alone.

    They come from the same folds and the same kind of head. A model that is shown the lungs alone has their outline as the
    part without lungs.
    """
    margins = {margin.probe: margin for margin in audit.margins}
    whole = Metric(audit.model_auc, audit.model.low, audit.model.high)
    return [
        Comparison("the model", whole, None),
        *(
            Comparison(probe.name, Metric(probe.auc, probe.low, probe.high), margins[probe.name])
            for probe in audit.probes
            if probe.name in PARTS
        ),
    ]
