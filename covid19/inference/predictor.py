"""Ask a saved model about images: files and folders in; labels, calibrated probabilities and heat maps out, as they come.

Every answer carries what is known of the model: its cross-validated numbers, the audit's verdict and the research-only notice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from covid19.core.addresses import absolute_text, as_path
from covid19.core.arrays import Float32Array
from covid19.core.console import Progress
from covid19.core.executor.background import in_background
from covid19.core.executor.executor import Executor, Failed, Resources, Task
from covid19.core.executor.opening import open_executor
from covid19.core.outputs import atomic_write
from covid19.core.settings import FILE_TIMEOUT_S
from covid19.data.dataset import list_inputs
from covid19.data.decoding import MODULES, DecodingPool
from covid19.data.dicom_header import refusal
from covid19.data.images import encode_image
from covid19.data.lungs import LUNG_BOX, NOT_FRONTAL, box_mask
from covid19.evaluation.metrics import predict_labels
from covid19.features.backbone.network import build_base
from covid19.features.batches import BATCH_SIZE, PREFETCHED_BATCHES
from covid19.inference.about import about_model
from covid19.inference.answer import Answer, unanswered, without_label
from covid19.inference.batch import Batch
from covid19.inference.heatmaps import OVERLAY_ENDING, overlay
from covid19.inference.output_files import output_paths
from covid19.inference.reading import InputImage, image_or_reason
from covid19.inference.writers import CsvWriter, JsonWriter, TextWriter, Writer
from covid19.lungs.finder import LungFinder
from covid19.lungs.masks import fraction_inside, packed
from covid19.lungs.occlusion import on_picture
from covid19.lungs.scan import lungs_or_box, seen_part
from covid19.model.file import read_content, read_model
from covid19.model.gradcam import gradcam
from covid19.model.info import PositiveCount
from covid19.model.load import heads_in
from covid19.model.novelty import is_unlike
from covid19.model.shift import ShiftResult, compare_batch
from covid19.model.training_images import TrainingImages

UNLIKE_TRAINING = "not like the training images"
MIN_LUNGS_FOUND = 0.5  # of the training images, for a picture without lungs to count as unlike them
NOT_FINITE = "the model gave no number"
WRITERS: dict[str, Callable[..., Writer]] = {"text": TextWriter, "json": JsonWriter, "csv": CsvWriter}


class Prediction(NamedTuple):
    """What a model gives for one image.

    Attributes:
        answer: for a reader.
        heat: Grad-CAM of the predicted class on the picture, float32 (rows, columns); None where there is no label.
        features: of the base, float32 (512,); None where they are not finite.
    """

    answer: Answer
    heat: Float32Array | None
    features: Float32Array | None


class Predictor:
    """A saved model, ready to be asked.

    Args:
        source: path or content of a file that `covid19 train` wrote; it is read once.
        name: to call the file by in an error; '' takes the path.

    Raises:
        InputError: it is no such file.
    """

    def __init__(self, source: Path | bytes, name: str = "") -> None:
        content = read_model(source, name)
        self.info, self._novelty_detector = content.info, content.novelty_detector
        self._training_images = TrainingImages(self.info.trained_on, self.info.trained_hashes)
        self._base, self._heads = build_base(content.weights), heads_in(content)
        lungs = self.info.lungs
        needs_lungs = lungs is not None and (self.info.region == "lungs" or lungs.found >= MIN_LUNGS_FOUND)
        self._finder = LungFinder() if needs_lungs else None
        self._box = packed(box_mask(lungs.box if lungs else LUNG_BOX))
        self.classes: list[str] = list(self.info.classes)

    def ask(self, files: Sequence[str], images: Sequence[InputImage]) -> list[Prediction]:
        """Answer for images.

        An image that is not like the training images, or for which the model gives no finite number, gets a problem in place of
        a label and probabilities.
        """
        pixels = [image.pixels for image in images]
        lungs = [lungs_or_box(found, self._box) for found in self._finder.find(pixels)] if self._finder else []
        hidden = [seen_part(own, self.info.region) for own in lungs] or [None] * len(files)
        seen = np.stack([part.apply(own) if part else own for part, own in zip(hidden, pixels, strict=True)])
        maps = np.asarray(self._base.predict_on_batch(seen.astype(np.float32) / np.float32(255)), np.float32)
        features = maps.mean(axis=(1, 2))
        finite = np.isfinite(features).all(axis=1)
        usable = np.where(finite[:, None], features, np.float32(0))
        probabilities = self._heads.probabilities(usable)[:, 0]
        finite &= np.isfinite(probabilities).all(axis=1)
        predicted = predict_labels(probabilities, self.classes.index(self.info.positive), self.info.threshold)
        percentiles = self._novelty_detector.percentile(usable)
        predictions = []
        for row, (file, image) in enumerate(zip(files, images, strict=True)):
            if not finite[row]:
                predictions.append(Prediction(unanswered(file, NOT_FINITE), None, None))
                continue
            percentile = float(percentiles[row])
            known = self._training_images.find(image.digest, image.perceptual_hash)
            without_lungs = lungs[row].reason if lungs else ""
            not_frontal = refusal(image.header, str(self.info.settings.get("projection", "PA"))) or without_lungs
            if not_frontal or is_unlike(image.pixels, percentile):
                problem = f"{NOT_FRONTAL}: {not_frontal}" if not_frontal else UNLIKE_TRAINING
                refused = Answer(file, "", {}, percentile, problem, training_image=known)
                predictions.append(Prediction(refused, None, features[row]))
                continue
            by_class = dict(zip(self.classes, map(float, probabilities[row]), strict=True))
            heat = on_picture(gradcam(maps[row : row + 1], self._heads, int(predicted[row]))[0], hidden[row])
            on_lungs = fraction_inside(heat, lungs[row].mask) if lungs else None
            answer = Answer(file, self.classes[predicted[row]], by_class, percentile, "", on_lungs, known)
            predictions.append(Prediction(answer, heat, features[row]))
        return predictions

    def compare(self, features: Float32Array, predicted: PositiveCount) -> ShiftResult | None:
        """Whether images, by their features, float32 (n, 512), look like the training images as a whole; None for too few."""
        known = self._novelty_detector.arrays()
        training, info = known["features"].astype(np.float32), self.info
        return compare_batch(training, known["groups"], features, predicted, info.out_of_fold, info.positive)

    def about(self) -> dict[str, Any]:
        """What every answer carries, see `about.about_model`."""
        return about_model(self.info)


def predict(
    model: Path, inputs: Sequence[Path], output: str, heatmaps: Path | None, file_timeout: float = FILE_TIMEOUT_S,
    cluster: str | None = None, withhold_labels: bool = False,
) -> bool:  # fmt: skip
    """Answer for every image below the inputs, batch by batch, and print the answers as they come.

    Args:
        model: a file that `covid19 train` wrote.
        inputs: images, or folders of images.
        output: 'text', 'json' (one object) or 'csv'.
        heatmaps: folder for the pictures with their Grad-CAM heat map laid over, or None.
        file_timeout: seconds that reading one file may take.
        cluster: where to do it, see `Settings`.
        withhold_labels: whether to give no label and no probability.

    Returns:
        Whether every file could be read.

    Raises:
        InputError: an input does not exist, there are no images, the model or the cluster cannot be used, or a heat map cannot
            be written or would overwrite an input.
    """
    files = list_inputs(inputs)
    overlays = output_paths(heatmaps, "--heatmaps", inputs, files, OVERLAY_ENDING, [model]) if heatmaps else {}
    content = read_content(model)
    predictor = Predictor(content, str(model))
    writer = WRITERS[output](predictor.classes, predictor.about(), files)
    all_readable, batch = True, Batch(predictor.info.positive)
    with (
        DecodingPool(file_timeout) as decoder,
        open_executor(cluster, decoder.run, file_timeout, quiet=True) as executor,
        closing(_predict_files(files, PredictTask(content, predictor, bool(overlays)), executor)) as results,
        Progress("Predicting", len(files), "images", plain=False) as progress,
    ):
        writer.begin()
        for answer, picture, features in results:
            batch.add(answer, features)
            writer.answer(without_label(answer) if withhold_labels else answer)
            all_readable &= answer.novelty_percentile is not None
            if picture:
                with atomic_write(overlays[answer.file], private=True) as draft:
                    draft.write_bytes(picture)
            progress.advance(1)
        writer.end(predictor.compare(batch.features(), batch.predicted()))
    return all_readable


def _predict_files(files: Sequence[str], task: PredictTask, executor: Executor) -> Generator[FileAnswer]:
    """The answer for each file, named as given."""
    with closing(executor.map(task, [absolute_text(as_path(file)) for file in files], ordered=True)) as results:
        for position, result in results:
            found = FileAnswer(unanswered("", result.reason), b"", None) if isinstance(result, Failed) else result
            yield found._replace(answer=replace(found.answer, file=files[position]))


class FileAnswer(NamedTuple):
    """The answer for a file, the heat map over its picture as a PNG file's bytes, or none, and the features of the base."""

    answer: Answer
    heat_map: bytes
    features: Float32Array | None


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
        results = [FileAnswer(unanswered(file, str(image)), b"", None) for file, image in zip(files, images, strict=True)]
        good = {number: image for number, image in enumerate(images) if not isinstance(image, str)}
        if good:
            predictions = self._ready.ask([files[number] for number in good], list(good.values()))
            for (number, image), (answer, heat, features) in zip(good.items(), predictions, strict=True):
                picture = b"" if heat is None or not self._overlays else encode_image(overlay(image.pixels, heat), ".png")
                results[number] = FileAnswer(answer, picture, features)
        return results
