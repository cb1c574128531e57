"""What `covid19 evaluate` prints: the status first, then the model's own verdict, the three numbers, at home against here."""

from __future__ import annotations

from covid19.audit.explanation import explain
from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.console import aligned
from covid19.evaluation.result import Evaluation
from covid19.evaluation.words import confusion_lines
from covid19.report.external_result import ExternalReport
from covid19.report.summary import METRICS_SHOWN, compare_parts, describe_test, format_metric


def why_not_audited(report: ExternalReport) -> str:
    """Why nothing is known of shortcuts on the data set; '' if something is."""
    if report.audit:
        return ""
    if not report.test.roc_auc:
        return "Whether the score needs the lungs here cannot be asked of images of one side alone."
    return "Whether the score needs the lungs here was not tested: a class has too few patients to be divided."


def describe_externally(report: ExternalReport, labels: Float32Array, predicted: IndexArray) -> str:
    """The results as text, below the statuses.

    Args:
        report: of the test.
        labels: one-hot, (n, classes), in the order of the report's classes.
        predicted: class of each image, (n,).
    """
    test = report.test
    lines = [explain(report.audit), "", *compare_parts(report.audit)] if report.audit else [why_not_audited(report)]
    lines += ["", *_at_home_and_here(report), ""]
    if isinstance(test, Evaluation):
        lines.append(describe_test(labels, predicted, report.dataset.classes, test, "images of the other data set"))
    else:
        lines += [*confusion_lines(report.dataset.classes, report.dataset.classes, test.confusion_matrix), ""]
        lines.append(f"{len(predicted)} images of the other data set; positive class: {test.positive}")
    return "\n".join(lines)


def _at_home_and_here(report: ExternalReport) -> list[str]:
    """The measures that are known, as a table."""
    rows = []
    for name, title in METRICS_SHOWN.items():
        if here := getattr(report.test, name):
            at_home = getattr(report.internal, name, None)  # a model's file does not have them all
            home = [format_metric(at_home), f"{getattr(report.drop, name):+.2f}"] if at_home else ["", ""]
            rows.append([title, format_metric(here), *(home if report.internal else [])])
    return aligned(["", "here", *(["at home", "drop"] if report.internal else [])], rows)
