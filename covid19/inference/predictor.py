"""A saved model, ready to be asked: pictures in; labels, calibrated probabilities, heat maps and features out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from covid19.core.arrays import Float32Array
from covid19.data.appearance import appearance
from covid19.data.dicom_header import refusal
from covid19.data.lungs import LUNG_BOX, NOT_FRONTAL, box_mask
from covid19.evaluation.metrics import predict_labels
from covid19.features.backbone.description import BACKBONE
from covid19.features.backbone.network import build_base
from covid19.inference.about import about_model
from covid19.inference.answer import Answer, unanswered
from covid19.inference.reading import InputImage
from covid19.lungs.finder import LungFinder
from covid19.lungs.masks import fraction_inside, packed
from covid19.lungs.occlusion import on_picture
from covid19.lungs.scan import lungs_or_box, seen_part
from covid19.model.file import read_model
from covid19.model.gradcam import gradcam
from covid19.model.info import PositiveCount
from covid19.model.load import heads_in
from covid19.model.novelty import is_unlike
from covid19.model.shift import ImageSet, ShiftResult, compare_batch
from covid19.model.training_images import TrainingImages

UNLIKE_TRAINING = "not like the training images"
MIN_LUNGS_FOUND = 0.5  # of the training images, for a picture without lungs to count as unlike them
NOT_FINITE = "the model gave no number"


class Prediction(NamedTuple):
    """What a model gives for one image.

    Attributes:
        answer: for a reader.
        heat: Grad-CAM of the predicted class on the picture, float32 (rows, columns); None where there is no label.
        features: of the base, and then the appearance, float32 (526,); None where they are not finite.
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
        described = np.concatenate([features, np.array([appearance(picture) for picture in seen])], axis=1)
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
                predictions.append(Prediction(refused, None, described[row]))
                continue
            by_class = dict(zip(self.classes, map(float, probabilities[row]), strict=True))
            heat = on_picture(gradcam(maps[row : row + 1], self._heads, int(predicted[row]))[0], hidden[row])
            on_lungs = fraction_inside(heat, lungs[row].mask) if lungs else None
            answer = Answer(file, self.classes[predicted[row]], by_class, percentile, "", on_lungs, known)
            predictions.append(Prediction(answer, heat, described[row]))
        return predictions

    def compare(self, features: Float32Array, predicted: PositiveCount) -> ShiftResult | None:
        """Whether images look like the training images as a whole; None for too few.

        Args:
            features: of their predictions, float32 (n, 526).
            predicted: how many of them are predicted positive.
        """
        known, info = self._novelty_detector.arrays(), self.info
        training = ImageSet(known["features"].astype(np.float32), known.get("appearance"))
        batch = ImageSet(features[..., : BACKBONE.width], features[..., BACKBONE.width :])
        return compare_batch(training, known["groups"], batch, predicted, info.out_of_fold, info.positive)

    def about(self) -> dict[str, Any]:
        """What every answer carries, see `about.about_model`."""
        return about_model(self.info)
