"""External validation: a saved model, as it is, on another data set. Model and folder in, numbers and an audit out.

What imports Keras is imported inside the functions: that takes 3 to 5 s, and a wrong path is answered before.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from covid19 import NOTICE, __version__
from covid19.core.arrays import Float32Array
from covid19.core.console import aligned, say, say_status, warn
from covid19.core.errors import InputError
from covid19.core.executor.local import LocalExecutor
from covid19.core.keras_startup import import_keras
from covid19.core.outputs import atomic_write, check_outputs
from covid19.core.settings import ComputeSettings, DataSettings, EvaluationSettings, LungSettings, TrainingSettings
from covid19.data.dataset import Dataset, check_counts, inputs_in
from covid19.data.decoding import DecodingPool
from covid19.data.duplicates import near_groups
from covid19.data.gathering import Gathered, gather, label_table
from covid19.data.images import read_picture
from covid19.data.reader import Filter, read_dataset, warn_of_skipped
from covid19.evaluation.metrics import evaluate, one_hot, predict_labels
from covid19.evaluation.result import Evaluation, list_predictions
from covid19.features.cache import open_caches
from covid19.lungs.drawn import find_masks
from covid19.lungs.measured import measurements_of
from covid19.lungs.scan import find_lungs
from covid19.report.result import SCHEMA_VERSION, Drop, ExternalReport, ModelSummary, report_text

if TYPE_CHECKING:
    from covid19.audit.inputs import AuditInputs
    from covid19.audit.result import AuditResult
    from covid19.model.file import ModelFile
    from covid19.model.info import CrossValidationSummary, ModelInfo


def evaluate_model(
    model: Path, report: Path, data: DataSettings, lungs: LungSettings, compute: ComputeSettings, command: str = ""
) -> ExternalReport:  # fmt: skip
    """Test a model on another data set, with its threshold and temperature as they are, and write the report.

    Args:
        model: that `covid19 train` wrote.
        report: JSON file to write.
        data: the data set, whose class folders are the model's.
        lungs: drawn masks, the box, and the region that the model is shown; None as region is the one it was trained on.
        compute: where features are kept; the work is done on this machine.
        command: as typed, for the report.

    Raises:
        InputError: model or data set cannot be used, or the classes differ.
    """
    find_masks(lungs.lung_masks)
    tables = [path for path in (data.metadata, *data.labels, lungs.lung_masks) if path]
    check_outputs((report,), [model, *inputs_in(data.dataset), *tables])
    if not model.is_file():
        raise InputError(f"--model '{model}' is no file; expected a model that 'covid19 train' wrote: check the path")
    from covid19.model.file import read_model

    content = read_model(model)
    info = content.info
    gathered = gather(data.dataset, label_table(data), info.positive)
    import_keras()
    from covid19.model.head import probabilities_of
    from covid19.model.load import heads_in
    from covid19.report.conclusion import conclude_externally
    from covid19.report.summary import summarise_dataset, timestamp

    classes = gathered.classes
    if classes != info.classes:
        raise InputError(
            f"--dataset '{data.dataset}' has the classes {', '.join(classes)}; expected the model's, "
            f"{', '.join(info.classes)}: name the folders so"
        )
    lungs = replace(lungs, region=lungs.region or info.region)
    dataset, known, features, inputs = _extract(content, gathered, data, lungs, compute)
    probabilities = probabilities_of(heads_in(content), features, np.arange(len(dataset.records)))[:, 0]
    _check_finite(dataset, probabilities)
    labels = one_hot([record.label for record in dataset.records], classes)
    groups = [record.group for record in dataset.records]
    test = evaluate(labels, probabilities, classes, info.positive, groups, info.threshold)
    internal = info.cross_validation
    result = ExternalReport(
        schema_version=SCHEMA_VERSION,
        command=command,
        version=__version__,
        created=timestamp(),
        model=ModelSummary(str(model), msgspec.to_builtins(info.base), info.versions),
        conclusion=conclude_externally(test, internal),
        dataset=summarise_dataset(dataset),
        in_training=known,
        test=test,
        predictions=list_predictions([record.name for record in dataset.records], classes, probabilities),
        internal=internal,
        drop=_drop(internal, test) if internal else None,
        audit=_audit(dataset, labels, probabilities, inputs, info),
        notice=NOTICE,
    )
    with atomic_write(report, private=True) as draft:
        draft.write_text(report_text(result), encoding="utf-8")
    _print_summary(result, predict_labels(probabilities, classes.index(test.positive), test.threshold), labels, report)
    return result


def _extract(
    content: ModelFile, gathered: Gathered, data: DataSettings, lungs: LungSettings, compute: ComputeSettings
) -> tuple[Dataset, int, Any, AuditInputs]:
    """Read the data set, leave out what the model was trained on, and run the model's backbone.

    Returns:
        The data set without the images of the training, how many these were, features (n, 1, width), and the audit's inputs.
    """
    from covid19.audit.inputs import AuditInputs, audit_sample, count_boxes, hidden_parts, occluded_features, seen_views
    from covid19.features.backbone.network import build_base
    from covid19.features.extraction import Extractor

    base = content.weights
    with (
        DecodingPool(data.file_timeout) as decoder,
        open_caches(compute.cache, compute.cache_dir, compute.cache_size) as caches,
    ):
        executor, read = LocalExecutor(decoder.run), partial(read_picture, run=decoder.run)
        wanted = Filter(data.metadata, data.projection)
        everything = read_dataset(gathered, wanted, caches.scans, executor, read)
        dataset, known = _without_training_images(everything, content.info)
        at = audit_sample([record.label for record in dataset.records], TrainingSettings.seed)
        audited, region = [dataset.records[i] for i in at], lungs.region
        found = find_lungs(dataset.records if region == "lungs" else audited, lungs, caches.lungs, executor, read)
        views = seen_views(dataset.records, found, region)
        network, extractor = build_base(base), Extractor(caches.features, executor, read)
        features = extractor.extract(views, network, base.digest).features
        parts = hidden_parts(region, "quick")
        occluded = occluded_features(audited, found, parts, network, base, extractor)
        measured = measurements_of(audited, found, caches.scans, executor, read)
    without_lungs = count_boxes(audited, found)
    return dataset, known, features, AuditInputs(at, features[at, 0], None, occluded, without_lungs, measured, region)


def _check_finite(dataset: Dataset, probabilities: Float32Array) -> None:
    """Make sure that every image has its probabilities: from NaN, a class and a report would be made that mean nothing."""
    rows = zip(dataset.records, probabilities, strict=True)
    if lost := [record.name for record, row in rows if not np.isfinite(row).all()]:
        raise InputError(
            f"the model gave no number for {len(lost)} images, such as '{lost[0]}'; expected probabilities: try --no-cache, or "
            "train the model again"
        )


def _drop(internal: CrossValidationSummary, test: Evaluation) -> Drop:
    """Internal less external metrics."""
    names = [field.name for field in fields(Drop)]
    return Drop(**{name: getattr(internal, name).value - getattr(test, name).value for name in names})


def _audit(
    dataset: Dataset, labels: Float32Array, probabilities: Float32Array, inputs: AuditInputs, info: ModelInfo
) -> AuditResult | None:
    """The shortcut audit of the data set, by folds and a seed as a training run has them by default."""
    from covid19.audit.run import audit
    from covid19.evaluation.estimate import Estimate
    from covid19.evaluation.folds import make_folds

    training, groups = TrainingSettings(), [record.group for record in dataset.records]
    folds, repeats = EvaluationSettings.folds, EvaluationSettings.repeats
    divisions = make_folds(labels.argmax(axis=1).tolist(), groups, folds, repeats, training.seed)
    frozen = Estimate(probabilities if divisions else None, info.temperature, info.threshold, None, divisions)
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
    left = replace(dataset, records=tuple(dataset.records[i] for i in kept), near=tuple(dataset.near[i] for i in kept))
    check_counts(dataset.root, left.counts(), "image that the model was not trained on")
    return left, known


def _print_summary(result: ExternalReport, predicted: NDArray[np.intp], labels: Float32Array, report: Path) -> None:
    from covid19.audit.explanation import advise, explain
    from covid19.report.summary import METRICS_SHOWN, compare_parts, describe_test, format_metric

    test, internal, drop = result.test, result.internal, result.drop
    say(f"\n{result.conclusion}")
    say_status(advise(result.audit), result.audit.verdict if result.audit else None)
    if result.audit:
        say("\n".join([explain(result.audit), "", *compare_parts(result.audit)]))
    rows = []
    for name, title in METRICS_SHOWN.items():
        at_home = getattr(internal, name, None)  # a model's file does not have them all
        home = [format_metric(at_home), f"{getattr(drop, name):+.2f}"] if at_home else ["", ""]
        rows.append([title, format_metric(getattr(test, name)), *(home if internal else [])])
    head = ["", "here", *(["at home", "drop"] if internal else [])]
    say("\n".join(["", *aligned(head, rows)]))
    say(f"\n{describe_test(labels, predicted, result.dataset.classes, test, 'images of the other data set')}")
    say(f"\nWrote {report}.\n{NOTICE}")
