"""The main job: settings in, a trained model, a report and a plot out. `train` reads as the twelve steps of the job.

What imports Keras is imported inside the functions: that takes 3 to 5 s, during which files are already decoded, and what is
wrong with the flags is answered before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.console import Stopwatch, say, shortened, warn
from covid19.core.errors import InputError
from covid19.core.executor.executor import Executor
from covid19.core.executor.opening import open_executor
from covid19.core.keras_startup import import_keras
from covid19.core.outputs import OutputTransaction, check_outputs
from covid19.core.settings import AuditSettings, DataSettings, EvaluationSettings, Settings
from covid19.data.dataset import Dataset, Record, check_counts, choose_positive, inputs_in, list_classes, list_images
from covid19.data.decoding import DecodingPool
from covid19.data.images import Read, read_picture
from covid19.data.reader import Filter, read_dataset, warn_of_skipped
from covid19.data.scan import RememberedPictures
from covid19.data.scan_cache import ScanCache
from covid19.data.shared_files import UnreadableError
from covid19.data.split import Split, stratified_split
from covid19.evaluation.metrics import evaluate, one_hot, predict_labels
from covid19.features.array_file import Features
from covid19.features.augmentation import View, augmented_views
from covid19.features.backbone.weights import UNTRAINED, Weights, get_weights
from covid19.features.batches import load_batches
from covid19.features.cache import cache_files, open_caches
from covid19.lungs.drawn import find_masks, read_masks
from covid19.lungs.scan import LungCache, Lungs, find_lungs
from covid19.model.info import MAX_CLASSES
from covid19.report.result import Report, report_text

if TYPE_CHECKING:
    from covid19.audit.run import AuditInputs
    from covid19.features.extraction import Extracted, Extractor
    from covid19.model.head import Heads
    from covid19.report.summary import Outcome


PICTURES_CHECKED = 2  # run through the assembled model, to prove that it computes what was evaluated

FindLungs = Callable[[Sequence[Record]], list[Lungs]]


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
    classes, positive = _check(settings)
    weights = get_weights(training.weights)
    with (
        open_executor(compute.cluster, run, data.file_timeout) as executor,
        open_caches(compute.cache, compute.cache_dir, compute.cache_size) as caches,
    ):
        with watch("read"):
            # 1. gather, 2. decode and resize
            dataset = _read_while_keras_imports(data, classes, caches.scans, executor, read)
        from covid19.audit.run import audit, lungs_looked_at
        from covid19.evaluation.estimate import estimate
        from covid19.features.backbone.network import build_base
        from covid19.features.extraction import Extractor
        from covid19.model.head import head_model, new_heads, train_heads
        from covid19.model.load import load_head
        from covid19.model.save import assemble
        from covid19.report.summary import Outcome, describe_test

        base = build_base(weights)  # 3. base, which takes pixels in [0, 1]
        with watch("extract"):  # 4. split, 5. augment, 6. run the base
            extractor = Extractor(caches.features, executor, read)
            find = partial(_find_lungs, settings=settings.audit, cache=caches.lungs, executor=executor, read=read)
            prepared = _split_and_extract(dataset, base, weights, extractor, find, settings)
            inputs = _audit_inputs(prepared, settings.audit.level, caches.scans, executor, read)
    dataset, split, extracted = prepared.dataset, prepared.split, prepared.extracted
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
            looked = lungs_looked_at(dataset, split, y, base, heads, prepared.untrained, prepared.lungs, read, training)
            shortcuts = replace(shortcuts, lungs=looked)
    heads = heads.tempered(estimated.temperature)
    model = assemble(base, head_model(heads))
    with watch("predict"):
        probabilities = _predict(heads, model, extracted, test_at, records, read)  # 10. predict
    groups = [records[i].group for i in split.test]
    test = evaluate(y[test_at], probabilities, classes, positive, groups, estimated.threshold)  # 11. report and plot
    predicted = predict_labels(probabilities, classes.index(positive), estimated.threshold)
    say(describe_test(y[test_at], predicted, classes, test))
    outcome = Outcome(dataset, split, weights, extracted, history, test, estimated, shortcuts)
    return _write(settings, outcome, model, read, watch)  # 12. save


class SplitFeatures(NamedTuple):
    """The features of a data set that has been split.

    Attributes:
        dataset: without the images that could not be read again.
        split: of its records.
        extracted: features of the run's backbone, float32 (images, 1 + augmentations, 512).
        untrained: features of an untrained backbone, float32 (images, 1, 512); None without cross-validation, or if the run's
            own backbone is untrained.
        audited: positions of the images to audit, (m,).
        lungs: of the images to audit, by the image's digest; empty but in the full audit.
        occluded: features of these with the lungs hidden, float32 (m, 512) by the probe's name; empty but in the full audit.
    """

    dataset: Dataset
    split: Split
    extracted: Extracted
    untrained: Features | None
    audited: IndexArray
    lungs: dict[str, Lungs]
    occluded: dict[str, Float32Array]


def _split_and_extract(
    dataset: Dataset, base: Any, weights: Weights, extractor: Extractor, find: FindLungs, settings: Settings
) -> SplitFeatures:
    """Split the data set, augment the training images and run the backbone over all of them.

    An image that has become unreadable since it was scanned is left out as if it had never been readable: the split is drawn
    anew without it. What was extracted before is then in the cache.
    """
    from covid19.audit.run import audit_sample, occluded_features

    training, records = settings.training, dataset.records
    split = _split(dataset, settings.evaluation, training.seed)
    audited = audit_sample([record.label for record in records], training.seed)
    try:
        views = augmented_views(records, split.train, training)
        extracted = extractor.extract(views, base, weights.digest, 1 + training.augmentations)
        untrained = _untrained_features(records, weights, extractor) if settings.evaluation.folds else None
        lungs, occluded = {}, {}
        if settings.audit.level == "full":
            own = [records[i] for i in audited]
            found = find(own)
            lungs = {record.digest: one for record, one in zip(own, found, strict=True)}
            occluded = occluded_features(own, found, base, weights, extractor)
    except UnreadableError as error:
        for line in shortened([f"skipped '{name}': {why}" for name, why in error.lost.items()]):
            warn(line)
        return _split_and_extract(dataset.without(error.lost), base, weights, extractor, find, settings)
    return SplitFeatures(dataset, split, extracted, untrained, audited, lungs, occluded)


def _find_lungs(
    records: Sequence[Record], settings: AuditSettings, cache: LungCache, executor: Executor, read: Read
) -> list[Lungs]:
    """The lungs of images, drawn where somebody drew them, else found, else the box."""
    drawn = read_masks(settings.lung_masks, {record.path.stem for record in records}, read)
    return find_lungs(records, drawn, settings.lung_box, cache, executor, read)


def _audit_inputs(prepared: SplitFeatures, level: str, scans: ScanCache, executor: Executor, read: Read) -> AuditInputs | None:
    """What the audit looks at, of the images that it takes; None without an audit."""
    from covid19.audit.run import AuditInputs, measurements_of

    if level == "none":
        return None
    audited = prepared.audited
    untrained = prepared.untrained[audited, 0] if prepared.untrained is not None and level == "full" else None
    measured = measurements_of([prepared.dataset.records[i] for i in audited], scans, executor, read)
    boxes = sum(one.origin == "box" for one in prepared.lungs.values()) if level == "full" else None
    return AuditInputs(audited, prepared.extracted.features[audited, 0], untrained, prepared.occluded, boxes, measured)


def _untrained_features(records: Sequence[Record], weights: Weights, extractor: Extractor) -> Features | None:
    """Features of a backbone that was never trained, float32 (images, 1, 512); None if the run's own is that."""
    from covid19.features.backbone.network import build_base

    if not weights.trained:
        return None
    untrained = get_weights(UNTRAINED)
    return extractor.extract([View(record) for record in records], build_base(untrained), untrained.digest).features


def _predict(
    heads: Heads, model: Any, extracted: Extracted, test: IndexArray, records: Sequence[Record], read: Read
) -> Float32Array:  # fmt: skip
    """Probabilities of the test images, float32 (n, classes), from their stored features; the model agrees on a few of them."""
    from covid19.model.head import probabilities_of
    from covid19.model.save import check_assembled

    probabilities = probabilities_of(heads, extracted.features, test)[:, 0]
    for batch in load_batches([View(records[i]) for i in test[:PICTURES_CHECKED]], read):
        if batch.positions:
            check_assembled(model, batch.as_floats(), probabilities[batch.positions], extracted.precision)
    return probabilities


def _write(settings: Settings, outcome: Outcome, model: Any, read: Read, watch: Stopwatch) -> Report:
    """Write plot, page, model and report, all or none, and print the summary; return the report."""
    from covid19.model.novelty import fit_novelty_detector
    from covid19.model.save import save_model
    from covid19.report.html import write_page
    from covid19.report.model_info import model_info
    from covid19.report.plots import plot_history
    from covid19.report.summary import make_report, summarise

    output = settings.output
    with OutputTransaction() as outputs:
        with watch("write"):
            if output.plot:
                plot_history(outputs.draft(output.plot, private=False), outcome.history, outcome.weights.title)
            write_page(outputs.draft(output.page), make_report(settings, outcome, watch.total()), outcome, read)
            if output.model:
                groups = np.array([record.group for record in outcome.dataset.records])
                members, seed = np.array(outcome.split.train), settings.training.seed
                detector = fit_novelty_detector(outcome.extracted.features, groups, members, seed)
                save_model(outputs.draft(output.model), model, model_info(settings, outcome), detector)
        report = make_report(settings, outcome, watch.total())
        outputs.draft(output.report).write_text(report_text(report), encoding="utf-8")
    say(summarise(report, output, outcome.weights.title))
    return report


def _check(settings: Settings) -> tuple[tuple[str, ...], str]:
    """Find what is wrong with paths, folders and names before anything slow; return the classes and the positive one."""
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
    find_masks(settings.audit.lung_masks)
    classes = list_classes(settings.data.dataset)
    _check_names(settings.data.dataset, classes)
    positive = choose_positive(classes, settings.evaluation.positive)
    labels = [image.label for image in list_images(settings.data.dataset, classes)]
    check_counts(settings.data.dataset, {label: labels.count(label) for label in classes}, "image")
    say(f"Reading {len(labels)} images of {len(classes)} classes ({', '.join(classes)}) from {settings.data.dataset}")
    return classes, positive


def _check_names(root: Path, classes: tuple[str, ...]) -> None:
    """Refuse classes that no model's file can carry, before one is trained, see `info.ModelInfo`."""
    if len(classes) > MAX_CLASSES:
        raise InputError(
            f"--dataset '{root}' holds {len(classes)} folders; expected one for each class, {MAX_CLASSES} at most: give the "
            "folder that holds the classes"
        )
    odd = next((name for name in classes if not name.isprintable()), None)
    if odd is not None:
        raise InputError(
            f"class folder '{root / odd}' has a name that is no text to print; expected the class's name: rename it"
        )


def _inputs(settings: Settings) -> list[Path]:
    """The files and folders that the run reads; some may not exist."""
    weights = None if settings.training.weights in ("auto", "imagenet", UNTRAINED) else Path(settings.training.weights)
    caches = cache_files(settings.compute.cache_dir) if settings.compute.cache_dir else []
    files = [path for path in (settings.training.start_from, weights, *caches) if path and path.is_file()]
    return [
        *files,
        *inputs_in(settings.data.dataset),
        *(path for path in (settings.data.metadata, settings.audit.lung_masks) if path),
    ]


def _read_while_keras_imports(
    settings: DataSettings, classes: tuple[str, ...], scans: ScanCache, executor: Executor, read: Read
) -> Dataset:
    """Decode on one core while the other imports Keras: both take seconds and neither needs the other."""
    wanted = Filter(settings.metadata, settings.projection, settings.allow_conflicts)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_dataset, settings.dataset, classes, wanted, scans, executor, read)
        import_keras()
        dataset = reading.result()
    warn_of_skipped(dataset)
    return dataset


def _split(dataset: Dataset, evaluation: EvaluationSettings, seed: int) -> Split:
    """Divide by patient, or by image with a warning that says what that costs."""
    records = dataset.records
    labels = [record.label for record in records]
    groups = [record.group for record in records]
    if not evaluation.groups:
        split = stratified_split(labels, range(len(records)), evaluation.test_size, seed)
        known = {groups[i] for i in split.train}
        shared = sum(groups[i] in known for i in split.test)
        warn(f"--no-groups: {shared} of {len(split.test)} test images share a patient or a duplicate with the training images")
        return split
    try:
        return stratified_split(labels, groups, evaluation.test_size, seed)
    except ValueError as error:
        raise InputError(
            f"{error}; expected at least two groups of each class, to hold one out: add patients, or split by image with "
            "--no-groups"
        ) from error


def _warn_of_leak(trained_on: Sequence[str], tested: list[str]) -> None:
    """Say how many test images the earlier model was trained on: on them, good numbers mean nothing."""
    known = len(set(trained_on) & set(tested))
    if known:
        warn(f"{known} of {len(tested)} test images were training images of the --from model: the test numbers are too good")
