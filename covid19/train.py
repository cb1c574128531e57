"""The main job: settings in, a trained model, a report and a plot out. `train` reads as the twelve steps of the job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from covid19 import NOTICE
from covid19.backend import import_keras
from covid19.console import Stopwatch, say, warn
from covid19.dataset import Dataset, choose_positive, list_classes, list_images, read_dataset
from covid19.errors import InputError
from covid19.metrics import evaluate, one_hot
from covid19.outputs import check_outputs
from covid19.settings import Settings
from covid19.split import stratified_split
from covid19.weights import get_weights


def train(settings: Settings) -> dict[str, Any]:
    """Run the job and write the model, the report and the plot.

    Args:
        settings: what to do; everything in it is checked before the slow part.

    Returns:
        The report, as written to `settings.report`.

    Raises:
        InputError: something given cannot be used; nothing was written.
        OSError: an output could not be written; the outputs written before it are whole.
    """
    watch = Stopwatch()
    classes, positive = _check(settings)
    weights = get_weights(settings.weights)
    with watch("read"):
        dataset = _read_while_keras_imports(settings, classes)  # 1. gather, 2. decode and resize
    # Not at the top: these import Keras, which takes seconds, and every check above answers at once.
    from covid19.base import build_base
    from covid19.features import extract, predict, views_of
    from covid19.head import build_head, fit_head, standardise
    from covid19.model import assemble, load_head, model_info, save_model
    from covid19.plots import plot_history
    from covid19.report import describe_test, make_report, write_report

    y = one_hot([record.label for record in dataset.records], classes)  # 4. labels; 3. pixels in [0, 1] by the batch, in 9
    split = stratified_split([record.label for record in dataset.records], settings.test_size, settings.seed)  # 5. split
    train_views = views_of([dataset.records[i] for i in split.train], settings.views, settings)  # 6. augment
    test_views = views_of([dataset.records[i] for i in split.test], 0, settings)
    with watch("build"):
        base = build_base(weights)  # 7. base
        head = build_head(len(classes), settings.seed)  # 8. head
    if settings.start_from:
        earlier = load_head(settings.start_from, head, classes, weights)
        _warn_of_leak(earlier["trained_on"], [dataset.records[i].digest for i in split.test])
    with watch("extract"):  # 9. train the head: the base runs once over each view
        features = extract([*train_views, *test_views], base)
        x_train, x_test = features[: len(train_views)], features[len(train_views) :]
    with watch("train"):
        if not settings.start_from:
            standardise(head, x_train)
        x_train = x_train.reshape(len(split.train), -1, x_train.shape[1])
        history = fit_head(head, (x_train, y[split.train]), (x_test, y[split.test]), settings)
        model = assemble(base, head)
    with watch("predict"):
        probabilities = predict(test_views, model, "Predicting the test images")  # 10. predict
    test = evaluate(y[split.test], probabilities, classes, positive)
    say(describe_test(y[split.test], probabilities, classes, test))  # 11. report and plot
    info = model_info(settings, classes, positive, weights, [dataset.records[i].digest for i in split.train])
    with watch("write"):
        plot_history(settings.plot, history, weights.title)
        save_model(settings.model, model, info)  # 12. save
    report = make_report(settings, dataset, split, weights, history, test, watch.total())
    write_report(settings.report, report)
    say(f"\nWrote {settings.model} (model), {settings.report} (numbers) and {settings.plot} (curves).")
    say(f"Base: VGG16, {weights.title}. {NOTICE}")
    return report


def _check(settings: Settings) -> tuple[tuple[str, ...], str]:
    """Find what is wrong with paths, folders and names before anything slow; return the classes and the positive one."""
    check_outputs((settings.model, settings.report, settings.plot))
    if settings.start_from and not settings.start_from.is_file():
        raise InputError(
            f"--from '{settings.start_from}' is no file; expected a model that 'covid19 train' wrote: check the path"
        )
    classes = list_classes(settings.dataset)
    positive = choose_positive(classes, settings.positive)
    count = len(list_images(settings.dataset, classes))
    say(f"Reading {count} images of {len(classes)} classes ({', '.join(classes)}) from {settings.dataset}")
    return classes, positive


def _read_while_keras_imports(settings: Settings, classes: tuple[str, ...]) -> Dataset:
    """Decode on one core while the other imports Keras: both take seconds and neither needs the other."""
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_dataset, settings.dataset, classes)
        import_keras()
        dataset = reading.result()
    for path, reason in dataset.skipped:
        warn(f"skipped '{path}': {reason}")
    return dataset


def _warn_of_leak(trained_on: list[str], tested: list[str]) -> None:
    """Say how many test images the earlier model was trained on: on them, good numbers mean nothing."""
    known = len(set(trained_on) & set(tested))
    if known:
        warn(f"{known} of {len(tested)} test images were training images of the --from model: the test numbers are too good")
