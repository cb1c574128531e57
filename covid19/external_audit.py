"""The audit of any model, of which only scores are known: tables and a folder in, a verdict and a report out. No Keras."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from covid19 import NOTICE, __version__
from covid19.audit.explanation import CROP_ELSEWHERE, advise
from covid19.audit.external import Divided, Prepared, audit_prepared, divide
from covid19.audit.hidden import FOLDERS, match_hidden
from covid19.audit.inputs import audit_sample, count_boxes
from covid19.audit.probes import LARGE_SET_IMAGES
from covid19.audit.result import AuditResult
from covid19.core.arrays import Float64Array
from covid19.core.console import Stopwatch, say, say_status, warn
from covid19.core.errors import InputError
from covid19.core.executor.local import LocalExecutor
from covid19.core.outputs import OutputTransaction, check_outputs
from covid19.core.settings import GivenScores, Settings
from covid19.data.dataset import Dataset, check_counts, choose_positive, describe_odd_positive, inputs_in
from covid19.data.decoding import DecodingPool
from covid19.data.gathering import gather, label_table
from covid19.data.images import read_picture
from covid19.data.reader import Filter, read_dataset, warn_of_skipped
from covid19.evaluation.score_table import ScoreTable, read_scores
from covid19.evaluation.scores import match_scores
from covid19.features.cache import Caches, open_caches
from covid19.lungs.drawn import find_masks
from covid19.lungs.measured import measurements_of
from covid19.lungs.scan import find_lungs
from covid19.report.audit_page import write_audit_page
from covid19.report.conclusion import conclude_audit
from covid19.report.result import SCHEMA_VERSION, AuditReport, PredictionsSummary, ScoredImage, report_text
from covid19.report.summary import compare_parts, summarise_dataset, timestamp

FLAG, HIDDEN_FLAG = "--predictions", "--hidden-predictions"
UNTESTED = (
    "whether the model's features tell where an image comes from",
    "where in the picture the model looks",
)


class Tables(NamedTuple):
    """The tables of scores as they were read; without scores of hidden lungs, the second is None."""

    predictions: ScoreTable
    hidden: ScoreTable | None


def audit_scores(settings: Settings, given: GivenScores) -> AuditReport:
    """Audit the scores of a model, and write the report and its page.

    Args:
        settings: the data, the positive class, folds and repeats of the probes, how lungs are found, the caches, the report,
            and the seed of folds and permutations.
        given: the tables of scores.

    Raises:
        InputError: a table or the data set cannot be used.
    """
    watch, data, compute = Stopwatch(), settings.data, settings.compute
    _check_files(settings, given)
    gathered = gather(data.dataset, label_table(data), settings.evaluation.positive)
    positive = choose_positive(gathered.classes, settings.evaluation.positive)
    if odd := describe_odd_positive(positive):
        warn(odd)
    tables = _read_tables(given, gathered.classes, positive)
    with (
        DecodingPool(data.file_timeout) as decoder,
        open_caches(compute.cache, compute.cache_dir, compute.cache_size) as caches,
    ):
        executor, read = LocalExecutor(decoder.run), partial(read_picture, run=decoder.run)
        with watch("read"):
            wanted = Filter(data.metadata, data.projection, data.allow_conflicts)
            dataset = read_dataset(gathered, wanted, caches.scans, executor, read)
            warn_of_skipped(dataset)
        with watch("lungs"):
            prepared = _prepare(dataset, tables, settings, caches, executor, decoder)
    # Hundreds of small regressions: more threads would take longer to meet than to compute.
    threads = 1 if len(prepared.values) <= LARGE_SET_IMAGES else None
    with watch("audit"), threadpool_limits(threads):
        divided = divide(prepared, positive, settings)
        found = audit_prepared(prepared, positive, divided, settings)
    report = _report(settings, given, tables, prepared, divided, found, positive, watch.total())
    _write(report, settings)
    return report


def _check_files(settings: Settings, given: GivenScores) -> None:
    """Find what is wrong with paths before anything slow."""
    lungs, data = settings.lungs, settings.data
    if given.hidden_predictions and lungs.region == "lungs":
        raise InputError(
            f"{HIDDEN_FLAG} was given with --region lungs; expected one of them: of pictures that show the lungs alone, "
            f"nothing is left when these are hidden: leave out {HIDDEN_FLAG}"
        )
    if not settings.evaluation.folds:
        raise InputError(
            "--folds 0 was given with --predictions; expected folds for the probes, 2 or more: leave out --folds 0"
        )
    find_masks(lungs.lung_masks)
    tables = (given.predictions, given.hidden_predictions, data.metadata, *data.labels, lungs.lung_masks)
    check_outputs(settings.output.files(), [*inputs_in(data.dataset), *(path for path in tables if path)])


def _read_tables(given: GivenScores, classes: Sequence[str], positive: str) -> Tables:
    hidden = given.hidden_predictions
    return Tables(
        read_scores(given.predictions, classes, positive, FLAG),
        read_scores(hidden, classes, positive, HIDDEN_FLAG) if hidden else None,
    )


def _prepare(
    dataset: Dataset, tables: Tables, settings: Settings, caches: Caches, executor: LocalExecutor, decoder: DecodingPool
) -> Prepared:
    """Lay the scores beside the images, draw those to audit, and measure them."""
    matched = match_scores(tables.predictions, [record.name for record in dataset.records], FLAG)
    scored = dataset.of(matched.at.tolist())
    check_counts(dataset.root, scored.counts(), "image that has a score")
    at = audit_sample([record.label for record in scored.records], settings.training.seed)
    audited = scored.of(at.tolist())
    names, read = [record.name for record in audited.records], partial(read_picture, run=decoder.run)
    hidden = match_hidden(tables.hidden, names, HIDDEN_FLAG) if tables.hidden else {}
    lungs = find_lungs(audited.records, settings.lungs, caches.lungs, executor, read)
    measured = measurements_of(audited.records, lungs, caches.scans, executor, read)
    folds = tuple(tuple(one[i] for i in at) for one in matched.folds)
    without_lungs = count_boxes(audited.records, lungs)
    return Prepared(audited, matched.values[at], folds, hidden, measured, without_lungs, matched, len(dataset.records))


def _report(
    settings: Settings,
    given: GivenScores,
    tables: Tables,
    prepared: Prepared,
    divided: Divided,
    found: AuditResult | None,
    positive: str,
    timing: dict[str, float],
) -> AuditReport:
    matched, divisions = prepared.matched, divided.divisions
    summary = PredictionsSummary(
        path=str(given.predictions),
        columns=list(tables.predictions.columns),
        rows=len(tables.predictions.rows),
        rows_without_image=matched.unmatched_rows,
        images=len(matched.at),
        images_without_score=prepared.images - len(matched.at),
        repeats=matched.repeats,
        folds=len(divisions[0]) if divisions else 0,
        folds_given=divided.are_given,
        images_shared=divided.shared,
        hidden=str(given.hidden_predictions) if given.hidden_predictions else None,
    )
    return AuditReport(
        schema_version=SCHEMA_VERSION,
        command=settings.command,
        version=__version__,
        created=timestamp(),
        positive=positive,
        predictions=summary,
        scores=[
            ScoredImage(record.name, value, record.label, record.group)
            for record, value in zip(prepared.dataset.records, prepared.values.tolist(), strict=True)
        ],
        dataset=summarise_dataset(prepared.dataset),
        audit=found,
        not_tested=_not_tested(prepared, settings),
        notes=[*divided.notes, *_notes(summary, matched.values, found)],
        timing=timing,
        notice=NOTICE,
    )


def _not_tested(prepared: Prepared, settings: Settings) -> list[str]:
    """What an audit of a model that was trained here would also have tested."""
    missing = [name for name in FOLDERS if name not in prepared.hidden]
    if settings.lungs.region == "lungs":
        return ["what the model scores by the outline of the lungs alone", *UNTESTED]
    if not missing:
        return list(UNTESTED)
    how = f"write the pictures with covid19 audit --write-hidden DIR, and give the model's scores of them with {HIDDEN_FLAG}"
    return [f"the model on pictures with {' or '.join(missing)} ({how})", *UNTESTED]


def _notes(summary: PredictionsSummary, values: Float64Array, found: AuditResult | None) -> list[str]:
    """What is odd about the scores, in sentences."""
    notes = []
    if summary.images_without_score:
        notes.append(f"{summary.images_without_score} images have no score and were left out.")
    if summary.rows_without_image:
        notes.append(f"{summary.rows_without_image} of {summary.rows} rows of scores are of images that are not used.")
    if len(np.unique(values)) <= 2:
        notes.append("The scores have two values at most, as decisions have: of scores, the AUC would be higher.")
    if found and found.model.high < 1 / 2:
        notes.append("The scores rank the classes the wrong way round: are they those of another class? See --positive.")
    return notes


def _write(report: AuditReport, settings: Settings) -> None:
    """Write page and report, both or neither, and print what was found."""
    output, concluded = settings.output, conclude_audit(report)
    with OutputTransaction() as outputs:
        if output.page:
            write_audit_page(outputs.draft(output.page), report)
        outputs.draft(output.report).write_text(report_text(report), encoding="utf-8")
    for note in report.notes:
        warn(note)
    say_status(advise(report.audit, CROP_ELSEWHERE), report.audit.verdict if report.audit else None)
    lines = [concluded.headline, *(text for text in concluded.findings if text not in report.notes)]
    if report.audit:
        lines += ["", *compare_parts(report.audit)]
    written = ", ".join(f"{path} ({what})" for path, what in ((output.report, "JSON report"), (output.page, "page")) if path)
    say("\n".join([*lines, "", f"Wrote {written}. {NOTICE}"]))
