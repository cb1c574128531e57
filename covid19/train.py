"""The main job: settings in, a trained model, a report and a plot out. `train` reads as the twelve steps of the job.

What imports Keras is imported inside the functions: that takes 3 to 5 s, during which files are already decoded, and what is
wrong with the flags is answered before.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.console import Stopwatch, say, say_status, warn
from covid19.core.errors import InputError
from covid19.core.executor.executor import Executor
from covid19.core.executor.opening import open_executor
from covid19.core.keras_startup import import_keras
from covid19.core.outputs import OutputTransaction, check_outputs
from covid19.core.settings import DataSettings, Settings, TrainingSettings
from covid19.data.dataset import Dataset, check_counts, choose_positive, describe_odd_positive, inputs_in
from covid19.data.decoding import DecodingPool
from covid19.data.gathering import Gathered, gather, label_table
from covid19.data.images import Read, read_picture
from covid19.data.reader import Filter, read_dataset, warn_of_skipped
from covid19.data.scan import RememberedPictures
from covid19.data.scan_cache import ScanCache
from covid19.evaluation.metrics import evaluate, one_hot, predict_labels
from covid19.features.augmentation import View
from covid19.features.backbone.weights import UNTRAINED, get_weights
from covid19.features.batches import load_batches
from covid19.features.cache import cache_files, open_caches
from covid19.lungs.drawn import find_masks
from covid19.model.info import MAX_CLASSES
from covid19.report.result import Report, report_text

if TYPE_CHECKING:
    from covid19.audit.result import LungAttention
    from covid19.features.extraction import Extracted
    from covid19.model.head import Heads
    from covid19.model.novelty import NoveltyDetector
    from covid19.preparation import SplitFeatures
    from covid19.report.summary import Outcome


PICTURES_CHECKED = 2  # run through the assembled model, to prove that it computes what was evaluated


def train(settings: Settings) -> Report:
    """Run the job and write the model, the report and the plot.

    Args:
        settings: what to do; everything in it is checked before the slow part.

    Returns:
        The report, as written to `settings.output.report`.

    Raises:
        InputError: something given cannot be used; nothing was written.
        OSError: an output could not be written; all outputs are as they were.
    """
    with DecodingPool(settings.data.file_timeout) as decoder:
        return _train(settings, decoder)


def _train(settings: Settings, decoder: DecodingPool) -> Report:
    """The twelve steps."""
    data, training, compute = settings.data, settings.training, settings.compute
    watch = Stopwatch()
    run = RememberedPictures(decoder.run)
    read = partial(read_picture, run=run)
    gathered, positive = _check(settings)
    weights = get_weights(training.weights)
    with (
        open_executor(compute.cluster, run, data.file_timeout) as executor,
        open_caches(compute.cache, compute.cache_dir, compute.cache_size) as caches,
    ):
        with watch("read"):
            # 1. gather, 2. decode and resize
            dataset = _read_while_keras_imports(data, gathered, caches.scans, executor, read)
        from covid19.audit.run import audit
        from covid19.evaluation.estimate import estimate
        from covid19.features.backbone.network import build_base
        from covid19.model.head import head_model, new_heads, train_heads
        from covid19.model.load import load_head
        from covid19.model.save import assemble
        from covid19.preparation import audit_inputs, split_and_extract
        from covid19.report.summary import Outcome, describe_test

        base = build_base(weights)  # 3. base, which takes pixels in [0, 1]
        with watch("extract"):  # 4. split, 5. augment, 6. run the base
            prepared = split_and_extract(dataset, base, weights, caches, executor, read, settings)
            inputs = audit_inputs(prepared, settings, caches.scans, executor, read)
    dataset, split, extracted, classes = prepared.dataset, prepared.split, prepared.extracted, gathered.classes
    records, x = dataset.records, extracted.features  # float32 (images, views, 512)
    y = one_hot([record.label for record in records], classes)  # 7. labels
    members, test_at = [np.array(split.train)], np.array(split.test)
    heads = new_heads(x, members, len(classes), training.seed)  # 8. head
    if training.start_from:
        heads, earlier = load_head(training.start_from, classes, weights)
        _warn_of_leak(earlier.trained_on, [records[i].digest for i in split.test])
    with watch("train"):  # 9. train the head on features, then assemble
        heads, history = train_heads(heads, x, y, members, training, test_at)
    with watch("cross_validate"):
        estimated = estimate(dataset, x, prepared.untrained, y, split.train, positive, training, settings.evaluation)
    with watch("audit"):
        shortcuts = audit(dataset, positive, y, estimated, inputs, training) if inputs else None
        if shortcuts and settings.audit.level == "full":
            shortcuts = replace(shortcuts, lungs=_attention(prepared, y, training, base, heads, read))
    heads = heads.tempered(estimated.temperature)
    model = assemble(base, head_model(heads))
    with watch("predict"):
        views = [prepared.views[i] for i in test_at[:PICTURES_CHECKED]]
        probabilities = _predict(heads, model, extracted, test_at, views, read)  # 10. predict
    groups = [records[i].group for i in split.test]
    test = evaluate(y[test_at], probabilities, classes, positive, groups, estimated.threshold)  # 11. report and plot
    held_out = describe_test(
        y[test_at], predict_labels(probabilities, classes.index(positive), estimated.threshold), classes, test
    )
    outcome = Outcome(dataset, split, weights, extracted, history, test, estimated, shortcuts, prepared.lungs_found)
    return _write(settings, outcome, model, prepared.detector, held_out, read, watch)  # 12. save


def _attention(
    prepared: SplitFeatures, labels: Float32Array, training: TrainingSettings, base: Any, heads: Heads, read: Read
) -> LungAttention:  # fmt: skip
    """How much of the Grad-CAM lies on the lungs of the held-out images, by the model and by one on an untrained base."""
    from covid19.audit.attention import lungs_looked_at, untrained_heads
    from covid19.features.backbone.network import build_base

    classes, lungs = prepared.dataset.classes, prepared.lungs
    tested = [view for view in (prepared.views[i] for i in prepared.split.test) if view.record.digest in lungs]
    looked = lungs_looked_at(tested, lungs, classes, base, heads, read)
    if prepared.untrained is None:
        return looked
    theirs = untrained_heads(prepared.untrained, labels, np.array(prepared.split.train), training)
    never_trained = build_base(get_weights(UNTRAINED))
    return replace(looked, untrained=lungs_looked_at(tested, lungs, classes, never_trained, theirs, read).by_class)


def _predict(
    heads: Heads, model: Any, extracted: Extracted, test: IndexArray, views: Sequence[View], read: Read
) -> Float32Array:  # fmt: skip
    """Probabilities of the test images, float32 (n, classes), from their stored features; the model agrees on the first few."""
    from covid19.model.head import probabilities_of
    from covid19.model.save import check_assembled

    probabilities = probabilities_of(heads, extracted.features, test)[:, 0]
    for batch in load_batches(views, read):
        if batch.positions:
            check_assembled(model, batch.as_floats(), probabilities[batch.positions], extracted.precision)
    return probabilities


def _write(
    settings: Settings,
    outcome: Outcome,
    model: Any,
    detector: NoveltyDetector | None,
    held_out: str,
    read: Read,
    watch: Stopwatch,
) -> Report:
    """Write plot, page, model and report, all or none, and print the results; return the report."""
    from covid19.model.save import save_model
    from covid19.report.conclusion import conclude
    from covid19.report.html import write_page
    from covid19.report.model_info import model_info
    from covid19.report.plots import plot_history
    from covid19.report.summary import make_report, summarise

    output = settings.output
    with OutputTransaction() as outputs:
        with watch("write"):
            if output.plot:
                plot_history(outputs.draft(output.plot, private=False), outcome.history, outcome.weights.title)
            if output.page:
                write_page(outputs.draft(output.page), make_report(settings, outcome, watch.total()), outcome, read)
            if output.model and detector:
                save_model(outputs.draft(output.model), model, model_info(settings, outcome), detector)
        report = make_report(settings, outcome, watch.total())
        outputs.draft(output.report).write_text(report_text(report), encoding="utf-8")
    say_status(conclude(report).advice, report.audit.verdict if report.audit else None)
    say(summarise(report, output, outcome.weights.title, held_out))
    return report


def _check(settings: Settings) -> tuple[Gathered, str]:
    """Find what is wrong with paths, folders and names before anything slow; return the images and the positive class."""
    check_outputs(settings.output.files(), _inputs(settings))
    if settings.evaluation.threshold != "argmax" and not settings.evaluation.folds:
        raise InputError(
            f"--threshold {settings.evaluation.threshold} is found by cross-validation, which --folds 0 leaves out; expected 2 "
            "folds or more with it: leave out --folds 0"
        )
    if settings.training.start_from and not settings.training.start_from.is_file():
        raise InputError(
            f"--from '{settings.training.start_from}' is no file; expected a model that 'covid19 train' wrote: check the path"
        )
    find_masks(settings.lungs.lung_masks)
    gathered = gather(settings.data.dataset, label_table(settings.data), settings.evaluation.positive)
    classes = gathered.classes
    _check_names(settings.data.dataset, classes)
    positive = choose_positive(classes, settings.evaluation.positive)
    if odd := describe_odd_positive(positive):
        warn(odd)
    check_counts(settings.data.dataset, gathered.counts(), "image", gathered.skipped)
    say(f"Reading {len(gathered.images)} images of {len(classes)} classes ({', '.join(classes)}) from {settings.data.dataset}")
    _check_split(settings.data, gathered)
    return gathered, positive


def _check_split(data: DataSettings, gathered: Gathered) -> None:
    """Say what becomes of a split that the data come with, and refuse to keep one that they do not have."""
    parts = ", ".join(f"{part} {count}" for part, count in gathered.parts().items())
    if data.split == "given":
        if len(gathered.parts()) < 2:
            raise InputError(
                f"--split given, but the images of '{data.dataset}' come with {parts or 'no split'}; "
                "expected folders train and test, or a column split in the table of the labels: leave out --split given"
            )
        say(f"Keeping the split of the data: {parts}")
    elif parts:
        warn(f"the images come with a split ({parts}): all are pooled and split anew by patient; --split given keeps theirs")


def _check_names(root: Path, classes: tuple[str, ...]) -> None:
    """Refuse classes that no model's file can carry, before one is trained, see `info.ModelInfo`."""
    if len(classes) > MAX_CLASSES:
        raise InputError(
            f"--dataset '{root}' holds {len(classes)} classes; expected {MAX_CLASSES} at most: give the folder that holds the "
            "classes, or the column of the labels"
        )
    odd = next((name for name in classes if not name.isprintable()), None)
    if odd is not None:
        raise InputError(f"class '{odd}' of '{root}' has a name that is no text to print; expected the class's name: rename it")


def _inputs(settings: Settings) -> list[Path]:
    """The files and folders that the run reads; some may not exist."""
    weights = None if settings.training.weights in ("auto", "imagenet", UNTRAINED) else Path(settings.training.weights)
    caches = cache_files(settings.compute.cache_dir) if settings.compute.cache_dir else []
    files = [path for path in (settings.training.start_from, weights, *caches) if path and path.is_file()]
    return [
        *files,
        *inputs_in(settings.data.dataset),
        *(path for path in (settings.data.metadata, *settings.data.labels, settings.lungs.lung_masks) if path),
    ]


def _read_while_keras_imports(
    settings: DataSettings, gathered: Gathered, scans: ScanCache, executor: Executor, read: Read
) -> Dataset:
    """Decode on one core while the other imports Keras: both take seconds and neither needs the other."""
    wanted = Filter(settings.metadata, settings.projection, settings.allow_conflicts)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_dataset, gathered, wanted, scans, executor, read)
        import_keras()
        dataset = reading.result()
    warn_of_skipped(dataset)
    return dataset


def _warn_of_leak(trained_on: Sequence[str], tested: list[str]) -> None:
    """Say how many test images the earlier model was trained on: on them, good numbers mean nothing."""
    known = len(set(trained_on) & set(tested))
    if known:
        warn(f"{known} of {len(tested)} test images were training images of the --from model: the test numbers are too good")
