"""`covid19 predict`: files and folders in; answers, printed as they come, heat maps, DICOM reports and a comparison out.

Every answer carries what is known of the model: its cross-validated numbers, the audit's verdict and the research-only notice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from covid19.core.addresses import absolute_text, as_path
from covid19.core.arrays import Float32Array
from covid19.core.console import Progress
from covid19.core.executor.background import in_background
from covid19.core.executor.executor import Executor, Failed, Resources, Task
from covid19.core.executor.opening import open_executor
from covid19.core.outputs import OutputTransaction
from covid19.core.settings import CLASS_FOLDERS, PredictSettings
from covid19.data.dataset import list_inputs
from covid19.data.decoding import MODULES, DecodingPool
from covid19.data.images import encode_image
from covid19.features.batches import BATCH_SIZE, PREFETCHED_BATCHES
from covid19.inference.answer import Answer, unanswered, without_label
from covid19.inference.batch import Batch
from covid19.inference.comparison import Comparer
from covid19.inference.ground_truth import read_ground_truth
from covid19.inference.heatmaps import OVERLAY_ENDING, overlay
from covid19.inference.output_files import output_paths
from covid19.inference.predictor import Predictor
from covid19.inference.reading import InputImage, image_or_reason
from covid19.inference.report_folder import REPORT_ENDING, ReportFolder
from covid19.inference.structured_report import StructuredReports, check_packages
from covid19.inference.writers import CsvWriter, JsonWriter, TextWriter, Writer
from covid19.model.file import read_content
from covid19.model.shift import without_counts

WRITERS: dict[str, Callable[..., Writer]] = {"text": TextWriter, "json": JsonWriter, "csv": CsvWriter}


def predict(settings: PredictSettings) -> bool:
    """Answer for every image below the inputs, batch by batch, and print the answers as they come.

    Returns:
        Whether every file could be read.

    Raises:
        InputError: an input does not exist, there are no images, the model, the cluster or the labels cannot be used, or a heat
            map or a report cannot be written or would overwrite an input.
    """
    if settings.dicom_sr:
        check_packages()
    files = list_inputs(settings.inputs)
    overlays = _paths(settings, files, settings.heatmaps, "--heatmaps", OVERLAY_ENDING)
    report_paths = _paths(settings, files, settings.dicom_sr, "--dicom-sr", REPORT_ENDING)
    content = read_content(settings.model)
    predictor = Predictor(content, str(settings.model))
    about, batch = predictor.about(), Batch(predictor.info.positive)
    truth = read_ground_truth(settings, predictor.info, files)
    comparer = Comparer(truth, predictor.info) if truth else None
    writer = WRITERS[settings.output](predictor.classes, about, files)
    all_readable = True
    with (
        OutputTransaction() as outputs,
        DecodingPool(settings.file_timeout) as decoder,
        open_executor(settings.cluster, decoder.run, settings.file_timeout, quiet=True) as executor,
        closing(_predict_files(files, PredictTask(content, predictor, bool(overlays)), executor)) as results,
        Progress("Predicting", len(files), "images", plain=False) as progress,
    ):
        maker = StructuredReports(settings.model, content, about) if settings.dicom_sr else None
        reports = ReportFolder(maker, report_paths, outputs, decoder.run) if maker else None
        writer.begin()
        for found in results:
            answer = without_label(found.answer) if settings.withhold_labels else found.answer
            batch.add(found.answer, found.features)
            if comparer:
                comparer.add(answer, found.patient)
            if reports:
                reports.add(answer, found.digest)
            if found.heat_map and answer.label:  # it is that of the label, which may be withheld
                outputs.draft(overlays[answer.file]).write_bytes(found.heat_map)
            writer.answer(answer)
            all_readable &= answer.novelty_percentile is not None
            progress.advance(1)
        shift = predictor.compare(batch.features(), batch.predicted())
        writer.end(without_counts(shift) if settings.withhold_labels else shift, comparer.result() if comparer else None)
    if reports:
        reports.tell()
    return all_readable


def _paths(settings: PredictSettings, files: Sequence[str], folder: Path | None, flag: str, ending: str) -> dict[str, Path]:
    """Where what is made of each file is written; empty if it was not asked for."""
    kept = [settings.model, *(path for path in settings.labels if path != CLASS_FOLDERS)]
    return output_paths(folder, flag, settings.inputs, files, ending, kept) if folder else {}


def _predict_files(files: Sequence[str], task: PredictTask, executor: Executor) -> Generator[FileAnswer]:
    """The answer for each file, named as given."""
    with closing(executor.map(task, [absolute_text(as_path(file)) for file in files], ordered=True)) as results:
        for position, result in results:
            found = FileAnswer(unanswered("", result.reason)) if isinstance(result, Failed) else result
            yield found._replace(answer=replace(found.answer, file=files[position]))


class FileAnswer(NamedTuple):
    """What is found out about a file.

    Attributes:
        answer: for a reader.
        heat_map: over its picture, as a PNG file's bytes; empty if none was wanted or the file gets no label.
        features: see `predictor.Prediction`; None where they are not known.
        patient: in its DICOM header, or ''.
        digest: SHA-256 of its bytes, in hexadecimal; '' where it cannot be read.
    """

    answer: Answer
    heat_map: bytes = b""
    features: Float32Array | None = None
    patient: str = ""
    digest: str = ""


class PredictTask(Task[str, FileAnswer]):
    """Answers for the files at paths or addresses, in their order.

    Args:
        model: content of a model's file, from which the predictor is made on other machines.
        predictor: of this machine.
        overlays: whether to draw heat maps, of images that get a label.
    """

    preload = MODULES

    def __init__(self, model: bytes, predictor: Predictor, overlays: bool) -> None:
        self._model, self._overlays = model, overlays
        self._predictor: Predictor | None = predictor

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_predictor": None}

    def set_up(self, resources: Resources) -> None:
        """Load the model where it is not yet."""
        self._run = resources.run
        self._ready = self._predictor or Predictor(self._model)

    def run(self, items: Sequence[str]) -> Iterator[tuple[int, FileAnswer]]:
        """Decode in the background, and ask the model batch by batch."""
        starts = range(0, len(items), BATCH_SIZE)
        loaded = in_background(
            lambda at: [image_or_reason(file, self._run) for file in items[at : at + BATCH_SIZE]],
            starts,
            PREFETCHED_BATCHES,
        )
        for start, images in zip(starts, loaded, strict=True):
            yield from enumerate(self._answer(items[start : start + BATCH_SIZE], images), start)

    def _answer(self, files: Sequence[str], images: Sequence[InputImage | str]) -> list[FileAnswer]:
        results = [FileAnswer(unanswered(file, str(image))) for file, image in zip(files, images, strict=True)]
        good = {number: image for number, image in enumerate(images) if not isinstance(image, str)}
        if good:
            predictions = self._ready.ask([files[number] for number in good], list(good.values()))
            for (number, image), (answer, heat, features) in zip(good.items(), predictions, strict=True):
                picture = b"" if heat is None or not self._overlays else encode_image(overlay(image.pixels, heat), ".png")
                patient = image.header.get("patient", "")
                results[number] = FileAnswer(answer, picture, features, patient, image.digest)
        return results
