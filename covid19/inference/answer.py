"""What is answered for one image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from covid19.model.training_images import TrainingImage

LABEL_WITHHELD = "the label is withheld"


@dataclass(frozen=True)
class Answer:
    """The answer for one image.

    Attributes:
        file: as given.
        label: the predicted class; '' where there is a problem.
        probabilities: calibrated, by class; empty where there is no label, so that nobody takes them for an answer.
        novelty_percentile: percentile of its distance to the training images, 0 to 100; None for a file that cannot be read.
        problem: why there is no label, or ''.
        heat_on_lungs: fraction of the heat map for the predicted class that lies on the lungs; None without a label, where no
            lungs were found, and if the model was trained without looking for them.
        training_image: whether the model was trained on this image, see `TrainingImages.find`; '' if it was not.
    """

    file: str
    label: str
    probabilities: dict[str, float]
    novelty_percentile: float | None
    problem: str
    heat_on_lungs: float | None = None
    training_image: TrainingImage = ""


def unanswered(file: str, problem: str) -> Answer:
    """The answer for a file that cannot be read, or for which the model gives no number."""
    return Answer(file, "", {}, None, problem)


def remark(answer: Answer) -> str:
    """What a reader must know beside the label: why there is none, or why it means nothing; '' if neither."""
    known = {"same file": "this very file", "near-duplicate": "nearly this image", "": ""}[answer.training_image]
    trained = f"the model was trained on {known}: what it says of it means nothing" if known else ""
    return "; ".join(filter(None, (answer.problem, trained)))


def without_label(answer: Answer) -> Answer:
    """The answer with its label and its probabilities withheld, if it has any."""
    withheld = replace(answer, label="", probabilities={}, heat_on_lungs=None, problem=LABEL_WITHHELD)
    return withheld if answer.label else answer
