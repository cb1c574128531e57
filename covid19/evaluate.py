"""External validation: a saved model, as it is, on another data set. Model and folder in, numbers and an audit out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from covid19 import NOTICE, __version__
from covid19.audit.probes import probe_inputs
from covid19.core.console import say, warn
from covid19.core.errors import InputError
from covid19.core.executor.local import LocalExecutor
from covid19.core.keras_startup import import_keras
from covid19.core.outputs import atomic_write, check_outputs, json_text
from covid19.core.settings import FILE_TIMEOUT_S, Settings
from covid19.data.dataset import Dataset, check_counts, inputs_in, list_classes
from covid19.data.decoding import DecodingPool
from covid19.data.duplicates import near_groups
from covid19.data.images import read_picture
from covid19.data.reader import Filter, read_dataset, warn_of_skipped
from covid19.evaluation.metrics import evaluate, one_hot, predict_labels
from covid19.features.cache import open_caches

if TYPE_CHECKING:
    from covid19.audit.run import AuditInputs

Array = NDArray[np.float32]

MEASURES = {"accuracy": "acc", "sensitivity": "sens", "specificity": "spec", "roc_auc": "AUC"}


def evaluate_model(
    model: Path, dataset: Path, report: Path, metadata: Path | None, projection: str, cache: bool, cache_dir: Path | None,
    cache_size: int, file_timeout: float = FILE_TIMEOUT_S, command: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Test a model on another data set, threshold and temperature frozen, and write what was found.

    Args:
        model: that `covid19 train` wrote.
        dataset: folder with the model's class folders.
        report: JSON file to write.
        metadata, projection: as `Settings` has them.
        cache, cache_dir, cache_size: of the feature cache.
        file_timeout: seconds that reading one file may take.
        command: as typed, for the report.

    Returns:
        The report: `test` as in `metrics.json`, `internal` (the model's own cross-validated numbers), `drop` (internal less
        external), `in_training` (images left out because the model was trained on them), `audit`.

    Raises:
        InputError: model or data set cannot be used, or the classes differ.
    """
    check_outputs((report,), [model, *inputs_in(dataset), *([metadata] if metadata else [])])
    if not model.is_file():
        raise InputError(f"--model '{model}' is no file; expected a model that 'covid19 train' wrote: check the path")
    classes = list_classes(dataset)
    import_keras()
    from covid19.audit.run import AuditInputs, audit_sample, measurements_of
    from covid19.features.augmentation import View
    from covid19.features.backbone.network import build_base
    from covid19.features.extraction import Extractor
    from covid19.model.file import read_model
    from covid19.model.head import probabilities_of
    from covid19.model.load import heads_in

    content = read_model(model)
    info, base = content.info, content.weights
    if classes != tuple(info["classes"]):
        raise InputError(
            f"--dataset '{dataset}' has the classes {', '.join(classes)}; expected the model's, {', '.join(info['classes'])}: "
            "name the folders so"
        )
    with DecodingPool(file_timeout) as decoder, open_caches(cache, cache_dir, cache_size) as caches:
        executor, read = LocalExecutor(decoder.run), partial(read_picture, run=decoder.run)
        found, known = _unseen(read_dataset(dataset, classes, Filter(metadata, projection), caches.scans, executor, read), info)
        views = [View(record) for record in found.records]
        features = Extractor(caches.features, executor, read).extract(views, build_base(base), base.digest).features
        at = audit_sample([record.label for record in found.records], Settings.seed)
        probes = probe_inputs(measurements_of([found.records[i] for i in at], caches.scans, executor, read))
    said = probabilities_of(heads_in(content), features, np.arange(len(found.records)))[:, 0]
    _check_finite(found, said)
    labels = one_hot([record.label for record in found.records], classes)
    result = {
        "command": command,
        "version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {"path": str(model), "base": info["base"], "trained_with": info["versions"]},
        "dataset": found.as_json(),
        "in_training": known,
        **_numbers(found, labels, said, AuditInputs(at, features[at, 0], None, {}, probes), info),
        "notice": NOTICE,
    }
    with atomic_write(report, private=True) as draft:
        draft.write_text(json_text(result, indent=2) + "\n", encoding="utf-8")
    _say(result, predict_labels(said, classes.index(info["positive"]), info["threshold"]), labels, classes, report)
    return result


def _check_finite(dataset: Dataset, said: Array) -> None:
    """Make sure that every image has its probabilities: from NaN, a class and a report would be made that mean nothing."""
    if lost := [record.name for record, row in zip(dataset.records, said, strict=True) if not np.isfinite(row).all()]:
        raise InputError(
            f"the model gave no number for {len(lost)} images, such as '{lost[0]}'; expected probabilities: try --no-cache, or "
            "train the model again"
        )


def _numbers(dataset: Dataset, labels: Array, said: Array, inputs: AuditInputs, info: dict[str, Any]) -> dict[str, Any]:
    """The report's `test`, `predictions`, `internal`, `drop` and `audit`."""
    from covid19.audit.run import audit
    from covid19.evaluation.cross_validation import make_folds
    from covid19.evaluation.estimate import Estimate

    groups, settings, internal = [record.group for record in dataset.records], Settings(dataset.root), info["cross_validation"]
    test = evaluate(labels, said, dataset.classes, info["positive"], groups, info["threshold"])
    divisions = make_folds(labels.argmax(axis=1).tolist(), groups, settings.folds, settings.repeats, settings.seed)
    frozen = Estimate(said if divisions else None, info["temperature"], info["threshold"], None, divisions)
    return {
        "test": test,
        "predictions": [
            {"path": record.name, "probabilities": dict(zip(dataset.classes, map(float, row), strict=True))}
            for record, row in zip(dataset.records, said, strict=True)
        ],
        "internal": internal,
        "drop": {key: internal[key]["value"] - test[key]["value"] for key in MEASURES} if internal else None,
        "audit": audit(dataset, info["positive"], labels, frozen, inputs, settings),
    }


def _unseen(dataset: Dataset, info: dict[str, Any]) -> tuple[Dataset, int]:
    """The data set without the images that the model was trained on, by their bytes or by a near hash; and how many these are.

    Raises:
        InputError: a class is left with fewer than two images.
    """
    warn_of_skipped(dataset)
    digests, hashes = set(info["trained_on"]), info["trained_hashes"]
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


def _say(result: dict[str, Any], called: Any, labels: Any, classes: tuple[str, ...], report: Path) -> None:
    from covid19.audit.verdict import explain_verdict
    from covid19.report.summary import describe_test

    test, internal, drop = result["test"], result["internal"], result["drop"]
    say(describe_test(labels, called, classes, test, "images of the other data set"))
    for key, name in MEASURES.items():
        line = f"{name:<5}external {test[key]['value']:.2f} ({test[key]['low']:.2f}-{test[key]['high']:.2f})"
        if internal:
            own = internal[key]
            line += f"  internal {own['value']:.2f} ({own['low']:.2f}-{own['high']:.2f})  drop {drop[key]:+.2f}"
        say(line)
    say(f"\nVerdict on this data set: {explain_verdict(result['audit'])}\nWrote {report}.\n{NOTICE}")
