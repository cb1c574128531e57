"""The main job: settings in, a trained model, a report and a plot out. `train` reads as the twelve steps of the job."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from covid19.audit.probes import probe_inputs
from covid19.core.console import Stopwatch, say, shortened, warn
from covid19.core.errors import InputError
from covid19.core.executor.executor import Executor
from covid19.core.executor.opening import open_executor
from covid19.core.keras_startup import import_keras
from covid19.core.outputs import OutputTransaction, check_outputs, json_text
from covid19.core.settings import Settings
from covid19.data.dataset import Dataset, Record, check_counts, choose_positive, inputs_in, list_classes, list_images
from covid19.data.decoding import DecodingPool
from covid19.data.images import Read, read_picture
from covid19.data.lungs import find_masks
from covid19.data.reader import Filter, read_dataset, warn_of_skipped
from covid19.data.scan import RememberedPictures
from covid19.data.scan_cache import ScanCache
from covid19.data.split import Split, stratified_split
from covid19.evaluation.metrics import evaluate, one_hot, predict_labels
from covid19.features.array_file import Features
from covid19.features.augmentation import View, augmented_views
from covid19.features.backbone.weights import UNTRAINED, Weights, get_weights
from covid19.features.batches import load_batches
from covid19.features.cache import Caches, cache_files, open_caches
from covid19.model.info import MAX_CLASSES

if TYPE_CHECKING:
    from covid19.audit.run import AuditInputs
    from covid19.features.extraction import Extracted, Extractor
    from covid19.report.summary import Outcome

PICTURES_CHECKED = 2  # run through the assembled model, as proof


def train(settings: Settings) -> dict[str, Any]:
    """Run the job and write the model, the report and the plot.

    Args:
        settings: what to do; everything in it is checked before the slow part.

    Returns:
        The report, as written to `settings.report`.

    Raises:
        InputError: something given cannot be used; nothing was written.
        OSError: an output could not be written; all outputs are as they were.
    """
    with DecodingPool(settings.file_timeout) as decoder:
        return _train(settings, decoder)


def _train(settings: Settings, decoder: DecodingPool) -> dict[str, Any]:
    """The twelve steps."""
    watch = Stopwatch()
    run = RememberedPictures(decoder.run)
    read = partial(read_picture, run=run)
    classes, positive = _check(settings)
    weights = get_weights(settings.weights)
    with (
        open_executor(settings.cluster, run, settings.file_timeout) as executor,
        open_caches(settings.cache, settings.cache_dir, settings.cache_size) as caches,
    ):
        with watch("read"):
            # 1. gather, 2. decode and resize
            dataset = _read_while_keras_imports(settings, classes, caches.scans, executor, read)
        # Not at the top: these import Keras, which takes seconds, and every check above answers at once.
        from covid19.audit.run import audit, lungs_looked_at
        from covid19.evaluation.estimate import estimate
        from covid19.features.backbone.network import build_base
        from covid19.model.head import head_model, new_heads, train_heads
        from covid19.model.load import load_head
        from covid19.model.save import assemble
        from covid19.report.summary import Outcome, describe_test

        base = build_base(weights)  # 3. base, which takes pixels in [0, 1]
        with watch("extract"):  # 4. split, 5. augment, 6. run the base
            dataset, split, extracted, untrained, inputs = _split_and_extract(
                dataset, base, weights, caches, executor, read, settings
            )
    records, x = dataset.records, extracted.features  # float32 (images, views, 512)
    y = one_hot([record.label for record in records], classes)  # 7. labels
    members, test_at = [np.array(split.train)], np.array(split.test)
    heads = new_heads(x, members, len(classes), settings.seed)  # 8. head
    if settings.start_from:
        heads, earlier = load_head(settings.start_from, classes, weights)
        _warn_of_leak(earlier["trained_on"], [records[i].digest for i in split.test])
    with watch("train"):  # 9. train the head on features, then assemble
        heads, history = train_heads(heads, x, y, members, settings, test_at)
    with watch("cross_validate"):
        honest = estimate(dataset, x, untrained, y, split.train, positive, settings)
    with watch("audit"):
        shortcuts = audit(dataset, positive, y, honest, inputs, settings)
        if shortcuts and settings.audit == "full":
            shortcuts["lungs"] = lungs_looked_at(dataset, split, y, base, heads, untrained, read, settings)
    heads = heads.tempered(honest.temperature)
    model = assemble(base, head_model(heads))
    with watch("predict"):
        probabilities = _predict(heads, model, extracted, test_at, records, read)  # 10. predict
    groups = [records[i].group for i in split.test]
    test = evaluate(y[test_at], probabilities, classes, positive, groups, honest.threshold)  # 11. report and plot
    say(describe_test(y[test_at], predict_labels(probabilities, classes.index(positive), honest.threshold), classes, test))
    found = Outcome(dataset, split, weights, extracted, history, test, honest, shortcuts)
    return _write(settings, found, model, read, watch)  # 12. save


class SplitFeatures(NamedTuple):
    """The data set without the images that could not be read again, its split, and its features."""

    dataset: Dataset
    split: Split
    extracted: Extracted
    untrained: Features | None
    inputs: AuditInputs


def _split_and_extract(
    dataset: Dataset, base: Any, weights: Weights, caches: Caches, executor: Executor, read: Read, settings: Settings
) -> SplitFeatures:  # fmt: skip
    """Split, draw views and run the base over them; an image that cannot be read again is left out, as if it never could."""
    from covid19.audit.run import AuditInputs, audit_sample, measurements_of, occluded_features
    from covid19.features.extraction import Extractor, UnreadableError

    extractor = Extractor(caches.features, executor, read)
    while True:
        split = _split(dataset, settings)
        records, at = dataset.records, audit_sample([record.label for record in dataset.records], settings.seed)
        views = augmented_views(records, split.train, settings)
        try:
            extracted = extractor.extract(views, base, weights.digest, 1 + settings.augmentations)
            untrained = _untrained_features(records, weights, extractor) if settings.folds else None
            own = [records[i] for i in at]
            hidden = occluded_features(own, base, weights, extractor, read, settings)
        except UnreadableError as error:
            for line in shortened([f"skipped '{name}': {why}" for name, why in error.lost.items()]):
                warn(line)
            dataset = dataset.without(error.lost)
            continue
        probes = probe_inputs(measurements_of(own, caches.scans, executor, read)) if settings.audit != "none" else {}
        inputs = AuditInputs(at, extracted.features[at, 0], None if untrained is None else untrained[at, 0], hidden, probes)
        return SplitFeatures(dataset, split, extracted, untrained, inputs)


def _predict(
    heads: Any, model: Any, extracted: Extracted, test: Any, records: Sequence[Record], read: Read
) -> Any:  # fmt: skip
    """What the head says of the test images' features, proven on a few to be what the model says: (n, classes)."""
    from covid19.model.head import probabilities_of
    from covid19.model.save import check_assembled

    probabilities = probabilities_of(heads, extracted.features, test)[:, 0]
    tried = [View(records[i]) for i in test[:PICTURES_CHECKED]]
    for batch in load_batches(tried, read):
        if batch.positions:
            check_assembled(model, batch.as_floats(), probabilities[batch.positions], extracted.precision)
    return probabilities


def _write(settings: Settings, found: Outcome, model: Any, read: Read, watch: Stopwatch) -> dict[str, Any]:
    """Write plot, page, model and report, all or none, and print the summary; return the report."""
    from covid19.model.novelty import fit_novelty_detector
    from covid19.model.save import save_model
    from covid19.report.html import write_page
    from covid19.report.model_info import model_info
    from covid19.report.plots import plot_history
    from covid19.report.summary import make_report, summarise

    with OutputTransaction() as outputs:
        with watch("write"):
            if settings.plot:
                plot_history(outputs.draft(settings.plot, private=False), found.history, found.weights.title)
            write_page(outputs.draft(settings.page), make_report(settings, found, watch.total()), found, read)
            if settings.model:
                groups = np.array([record.group for record in found.dataset.records])
                known = fit_novelty_detector(found.extracted.features, groups, np.array(found.split.train), settings.seed)
                save_model(outputs.draft(settings.model), model, model_info(settings, found), known)
        report = make_report(settings, found, watch.total())
        outputs.draft(settings.report).write_text(json_text(report, indent=2) + "\n", encoding="utf-8")
    say(summarise(report, settings, found.weights.title))
    return report


def _untrained_features(records: Sequence[Record], weights: Weights, extractor: Extractor) -> Features | None:
    """What a base that was never trained sees, float32 (images, 1, 512): shows what training it adds. None if it is that."""
    from covid19.features.backbone.network import build_base

    if not weights.trained:
        return None
    untrained = get_weights("random")
    return extractor.extract([View(record) for record in records], build_base(untrained), untrained.digest).features


def _check(settings: Settings) -> tuple[tuple[str, ...], str]:
    """Find what is wrong with paths, folders and names before anything slow; return the classes and the positive one."""
    check_outputs(settings.outputs(), _inputs(settings))
    if settings.threshold != "argmax" and not settings.folds:
        raise InputError(
            f"--threshold {settings.threshold} is found by cross-validation, which --folds 0 leaves out; expected 2 folds or "
            "more with it: leave out --folds 0"
        )
    if settings.start_from and not settings.start_from.is_file():
        raise InputError(
            f"--from '{settings.start_from}' is no file; expected a model that 'covid19 train' wrote: check the path"
        )
    find_masks(settings.lung_masks)
    classes = list_classes(settings.dataset)
    _check_names(settings.dataset, classes)
    positive = choose_positive(classes, settings.positive)
    labels = [image.label for image in list_images(settings.dataset, classes)]
    check_counts(settings.dataset, {label: labels.count(label) for label in classes}, "image")
    say(f"Reading {len(labels)} images of {len(classes)} classes ({', '.join(classes)}) from {settings.dataset}")
    return classes, positive


def _check_names(root: Path, classes: tuple[str, ...]) -> None:
    """Refuse classes that no model's file can carry, before one is trained, see `info.check_info`."""
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
    weights = None if settings.weights in ("auto", "imagenet", UNTRAINED) else Path(settings.weights)
    caches = cache_files(settings.cache_dir) if settings.cache_dir else []
    files = [path for path in (settings.start_from, weights, *caches) if path and path.is_file()]
    return [*files, *inputs_in(settings.dataset), *(path for path in (settings.metadata, settings.lung_masks) if path)]


def _read_while_keras_imports(
    settings: Settings, classes: tuple[str, ...], scans: ScanCache, executor: Executor, read: Read
) -> Dataset:
    """Decode on one core while the other imports Keras: both take seconds and neither needs the other."""
    wanted = Filter(settings.metadata, settings.projection, settings.allow_conflicts)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_dataset, settings.dataset, classes, wanted, scans, executor, read)
        import_keras()
        dataset = reading.result()
    warn_of_skipped(dataset)
    return dataset


def _split(dataset: Dataset, settings: Settings) -> Split:
    """Divide by patient, or by image with a warning that says what that costs."""
    records = dataset.records
    labels = [record.label for record in records]
    groups = [record.group for record in records]
    if not settings.groups:
        split = stratified_split(labels, range(len(records)), settings.test_size, settings.seed)
        known = {groups[i] for i in split.train}
        shared = sum(groups[i] in known for i in split.test)
        warn(f"--no-groups: {shared} of {len(split.test)} test images share a patient or a duplicate with the training images")
        return split
    try:
        return stratified_split(labels, groups, settings.test_size, settings.seed)
    except ValueError as error:
        raise InputError(
            f"{error}; expected at least two groups of each class, to hold one out: add patients, or split by image with "
            "--no-groups"
        ) from error


def _warn_of_leak(trained_on: list[str], tested: list[str]) -> None:
    """Say how many test images the earlier model was trained on: on them, good numbers mean nothing."""
    known = len(set(trained_on) & set(tested))
    if known:
        warn(f"{known} of {len(tested)} test images were training images of the --from model: the test numbers are too good")
