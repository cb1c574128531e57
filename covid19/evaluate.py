"""External validation: a saved model, as it is, on another data set. Model and folder in, numbers and an audit out.

What imports Keras is imported inside the functions: that takes 3 to 5 s, and a wrong path is answered before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from covid19 import NOTICE, __version__
from covid19.core.arrays import Float32Array
from covid19.core.console import say, say_status, warn
from covid19.core.errors import InputError
from covid19.core.executor.local import LocalExecutor
from covid19.core.keras_startup import import_keras
from covid19.core.outputs import OutputTransaction, check_outputs, page_beside
from covid19.core.settings import ComputeSettings, DataSettings, EvaluationSettings, LungSettings, TrainingSettings
from covid19.data.dataset import Dataset, check_counts, inputs_in
from covid19.data.decoding import DecodingPool
from covid19.data.duplicates import near_groups
from covid19.data.gathering import Gathered, gather, label_table
from covid19.data.images import read_picture
from covid19.data.reader import Filter, read_dataset, warn_of_skipped
from covid19.data.renaming import name_here, new_names
from covid19.evaluation.calibration import reliability
from covid19.evaluation.metrics import evaluate, evaluate_one_side, one_hot, predict_labels
from covid19.evaluation.result import PartialEvaluation, list_predictions
from covid19.features.cache import Caches, open_caches
from covid19.lungs.drawn import find_masks
from covid19.lungs.measured import measurements_of
from covid19.lungs.scan import find_lungs
from covid19.report.external_conclusion import conclude_externally
from covid19.report.external_result import Drop, ExternalReport, ModelSummary
from covid19.report.result import SCHEMA_VERSION, report_text

if TYPE_CHECKING:
    from covid19.audit.inputs import AuditInputs
    from covid19.audit.result import AuditResult
    from covid19.model.file import ModelFile
    from covid19.model.info import CrossValidationSummary, ModelInfo


class Answered(NamedTuple):
    """What the model says of a data set.

    Attributes:
        dataset: without the images of the training; of the classes that have images.
        known: how many images were left out since the model was trained on them.
        probabilities: of each image, float32 (n, classes), in the order of the model's classes.
        inputs: what the audit looks at; None where one side has no images.
    """

    dataset: Dataset
    known: int
    probabilities: Float32Array
    inputs: AuditInputs | None


def evaluate_model(
    model: Path,
    report: Path,
    data: DataSettings,
    lungs: LungSettings,
    compute: ComputeSettings,
    class_pairs: Sequence[str] = (),
    command: str = "",
) -> ExternalReport:
    """Test a model on another data set, with its threshold and temperature as they are; write the report and its page.

    Args:
        model: that `covid19 train` wrote.
        report: JSON file to write; the page is written beside it.
        data: the data set, whose classes are the model's or some of these.
        lungs: drawn masks, the box, and the region that the model is shown; None as region is the one it was trained on.
        compute: where features are kept; the work is done on this machine.
        class_pairs: texts `THEIRS=OURS`, the model's class for one of the data set's.
        command: as typed, for the report.

    Raises:
        InputError: model or data set cannot be used, or a class is unknown to the model.
    """
    find_masks(lungs.lung_masks)
    tables = [path for path in (data.metadata, *data.labels, lungs.lung_masks) if path]
    page = page_beside(report)
    check_outputs([path for path in (report, page) if path], [model, *inputs_in(data.dataset), *tables])
    if not model.is_file():
        raise InputError(f"--model '{model}' is no file; expected a model that 'covid19 train' wrote: check the path")
    from covid19.model.file import read_model

    content = read_model(model)
    info = content.info
    gathered = gather(data.dataset, label_table(data), name_here(class_pairs, info.positive), fewest_classes=1)
    names = new_names(class_pairs, gathered.classes, info.classes)
    import_keras()
    from covid19.report.external_page import write_external_page

    lungs = replace(lungs, region=lungs.region or info.region)
    with (
        DecodingPool(data.file_timeout) as decoder,
        open_caches(compute.cache, compute.cache_dir, compute.cache_size) as caches,
    ):
        answered = _ask(content, gathered.renamed(names), data, lungs, caches, decoder)
        result = _report(model, content, answered, {old: new for old, new in names.items() if old != new}, command)
        with OutputTransaction() as outputs:
            outputs.draft(report).write_text(report_text(result), encoding="utf-8")
            if page:
                records, read = answered.dataset.records, partial(read_picture, run=decoder.run)
                write_external_page(outputs.draft(page), result, info, records, answered.probabilities, read)
    _print_summary(result, answered, info)
    say(f"\nWrote {report}{f' and {page}' if page else ''}.\n{NOTICE}")
    return result


def _ask(
    content: ModelFile, gathered: Gathered, data: DataSettings, lungs: LungSettings, caches: Caches, decoder: DecodingPool
) -> Answered:
    """Read the data set, leave out what the model was trained on, and run the model's backbone and head."""
    from covid19.audit.inputs import AuditInputs, audit_sample, count_boxes, hidden_parts, occluded_features, seen_views
    from covid19.features.backbone.network import build_base
    from covid19.features.extraction import Extractor
    from covid19.model.head import probabilities_of
    from covid19.model.load import heads_in

    executor, read = LocalExecutor(decoder.run), partial(read_picture, run=decoder.run)
    everything = read_dataset(gathered, Filter(data.metadata, data.projection), caches.scans, executor, read)
    dataset, known = _without_training_images(everything, content.info)
    records, region = dataset.records, lungs.region
    both_sides = len({record.label == content.info.positive for record in records}) == 2
    at = audit_sample([record.label for record in records], TrainingSettings.seed)
    audited = [records[i] for i in at] if both_sides else []
    found = find_lungs(records if region == "lungs" else audited, lungs, caches.lungs, executor, read)
    network, extractor = build_base(content.weights), Extractor(caches.features, executor, read)
    features = extractor.extract(seen_views(records, found, region), network, content.weights.digest).features
    probabilities = probabilities_of(heads_in(content), features, np.arange(len(records)))[:, 0]
    _check_finite(dataset, probabilities)
    if not both_sides:
        return Answered(dataset, known, probabilities, None)
    parts = hidden_parts(region, "quick")
    occluded = occluded_features(audited, found, parts, network, content.weights, extractor)
    measured = measurements_of(audited, found, caches.scans, executor, read)
    inputs = AuditInputs(at, features[at, 0], None, occluded, count_boxes(audited, found), measured, region)
    return Answered(dataset, known, probabilities, inputs)


def _report(model: Path, content: ModelFile, answered: Answered, renamed: dict[str, str], command: str) -> ExternalReport:
    """Compare what the model says with the truth, and with what it reached at home."""
    from covid19.inference.about import about_model
    from covid19.report.summary import summarise_dataset, timestamp

    info, dataset, internal = content.info, answered.dataset, content.info.cross_validation
    classes, positive, threshold = info.classes, info.positive, info.threshold
    labels = one_hot([record.label for record in dataset.records], classes)
    groups = [record.group for record in dataset.records]
    measure = evaluate if answered.inputs else evaluate_one_side
    test = measure(labels, answered.probabilities, classes, positive, groups, threshold)
    index = classes.index(positive)
    bins = reliability(answered.probabilities[:, index].astype(float), labels[:, index] == 1, groups)
    about, concluded = about_model(info), conclude_externally(test, internal)
    return ExternalReport(
        schema_version=SCHEMA_VERSION,
        command=command,
        version=__version__,
        created=timestamp(),
        model=ModelSummary(str(model), msgspec.to_builtins(info.base), info.versions, about["status"], about["verdict"]),
        status=concluded.status,
        conclusion=concluded.sentence,
        advice=concluded.advice,
        dataset=summarise_dataset(replace(dataset, classes=classes)),
        renamed=renamed,
        in_training=answered.known,
        test=test,
        reliability=bins if answered.inputs else [],
        predictions=list_predictions(dataset.records, classes, answered.probabilities),
        internal=internal,
        drop=_drop(internal, test) if internal else None,
        audit=_audit(dataset, answered.probabilities, answered.inputs, info) if answered.inputs else None,
        notice=NOTICE,
    )


def _check_finite(dataset: Dataset, probabilities: Float32Array) -> None:
    """Make sure that every image has its probabilities: from NaN, a class and a report would be made that mean nothing."""
    rows = zip(dataset.records, probabilities, strict=True)
    if lost := [record.name for record, row in rows if not np.isfinite(row).all()]:
        raise InputError(
            f"the model gave no number for {len(lost)} images, such as '{lost[0]}'; expected probabilities: try --no-cache, or "
            "train the model again"
        )


def _drop(internal: CrossValidationSummary, test: PartialEvaluation) -> Drop:
    """Internal less external metrics."""
    names = [field.name for field in fields(Drop)]
    measured = {name: getattr(test, name) for name in names}
    return Drop(**{name: getattr(internal, name).value - own.value if own else None for name, own in measured.items()})


def _audit(dataset: Dataset, probabilities: Float32Array, inputs: AuditInputs, info: ModelInfo) -> AuditResult | None:
    """The shortcut audit of the data set, by folds and a seed as a training run has them by default."""
    from covid19.audit.run import audit
    from covid19.evaluation.estimate import Estimate
    from covid19.evaluation.folds import make_folds

    training = TrainingSettings()
    labels = one_hot([record.label for record in dataset.records], dataset.classes)
    groups = [record.group for record in dataset.records]
    folds, repeats = EvaluationSettings.folds, EvaluationSettings.repeats
    divisions = make_folds(labels.argmax(axis=1).tolist(), groups, folds, repeats, training.seed)
    own = probabilities[:, [info.classes.index(name) for name in dataset.classes]]
    frozen = Estimate(own if divisions else None, info.temperature, info.threshold, None, divisions)
    return audit(dataset, info.positive, labels, frozen, inputs, training)


def _without_training_images(dataset: Dataset, info: ModelInfo) -> tuple[Dataset, int]:
    """The data set without the images that the model was trained on, by their bytes or by a near hash; and how many these are.

    Raises:
        InputError: a class is left with fewer than two images.
    """
    warn_of_skipped(dataset)
    digests, hashes = set(info.trained_on), info.trained_hashes
    numbers = near_groups([*hashes, *(record.stats.hash for record in dataset.records)])
    near = set(numbers[: len(hashes)].tolist())
    kept = [
        position
        for position, (record, number) in enumerate(zip(dataset.records, numbers[len(hashes) :].tolist(), strict=True))
        if record.digest not in digests and number not in near
    ]
    known = len(dataset.records) - len(kept)
    if known:
        warn(f"{known} images were in the model's training, as they are or nearly so: left out")
    left = dataset.of(kept)
    check_counts(dataset.root, left.counts(), "image that the model was not trained on")
    return left, known


def _print_summary(result: ExternalReport, answered: Answered, info: ModelInfo) -> None:
    from covid19.audit.explanation import advise
    from covid19.report.external_text import describe_externally

    say_status(f"{result.conclusion} {result.advice}", result.status)
    say_status(f"At home, {result.model.status}: {result.model.verdict}", info.audit.verdict if info.audit else None)
    if result.audit:
        say_status(f"On these images, {advise(result.audit)}", result.audit.verdict)
    labels = one_hot([record.label for record in answered.dataset.records], info.classes)
    predicted = predict_labels(answered.probabilities, info.classes.index(info.positive), info.threshold)
    say(describe_externally(result, labels, predicted))
