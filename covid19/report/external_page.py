"""evaluation.html: a model's test on another data set as one self-contained page, in the structure of a training run's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from covid19.audit.explanation import advise, explain
from covid19.core.arrays import Float32Array
from covid19.data.dataset import Record
from covid19.data.images import Read
from covid19.inference.about import describe_decision
from covid19.model.info import ModelInfo
from covid19.report import figures
from covid19.report.conclusion import three_numbers
from covid19.report.external_result import ExternalReport
from covid19.report.external_text import why_not_audited
from covid19.report.mistakes import find_mistakes
from covid19.report.pages import fill_in, score_figures


def write_external_page(
    path: Path,
    report: ExternalReport,
    info: ModelInfo,
    records: Sequence[Record],
    probabilities: Float32Array,
    read: Read,
) -> None:
    """Write the page.

    Args:
        path: file to write; see `outputs.OutputTransaction`.
        report: of the test.
        info: of the model.
        records: the images.
        probabilities: of each, (n, classes), in the order of the model's classes.
        read: decodes a file, as `images.read_picture` does.

    Raises:
        OSError: the file cannot be written.
    """
    audit, counts = report.audit, report.dataset.counts.values()
    mistake_count, mistakes = find_mistakes(records, probabilities, info.classes, info.positive, info.threshold, read)
    text = fill_in(
        "evaluation.html.j2",
        report=report,
        home_verdict=info.audit.verdict if info.audit else None,
        larger_class=max(counts) / sum(counts),
        decision=describe_decision(info),
        audit_advice=advise(audit),
        audit_finding=explain(audit),
        not_audited=why_not_audited(report),
        parts_of_picture=three_numbers(audit) if audit else [],
        probes=figures.probes(audit) if audit else "",
        figures=_figures(report, info, records, probabilities),
        mistake_count=mistake_count,
        mistakes=mistakes,
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _figures(report: ExternalReport, info: ModelInfo, records: Sequence[Record], probabilities: Float32Array) -> dict[str, str]:
    """The page's figures by title; of one side alone there is no curve, only its scores."""
    truth = np.array([record.label == info.positive for record in records])
    score = probabilities[:, info.classes.index(info.positive)].astype(float)
    shown = {"Scores by class": figures.scores(score, truth, info.positive, info.threshold)}
    if not report.reliability:
        return shown
    groups = [record.group for record in records]
    return score_figures(score, truth, groups, report.reliability, "these images") | shown
