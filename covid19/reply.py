"""What the page shows of one file: the answer, the picture and where the model looks. A path and a model go in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.answers import Answer
from covid19.images import SIDE, Pixels, as_picture, decode

if TYPE_CHECKING:  # the page's own process does without Keras
    from covid19.predict import Predictor

PREVIEW = 800  # pixels of the longer side of the picture that is shown


class Reply(NamedTuple):
    """What is said and shown of one file.

    Attributes:
        answer: its `file` is the name alone.
        picture: as JPEG, in its own proportions; empty for a file that cannot be read.
        heat: Grad-CAM as PNG with transparency, to be laid over; empty where no label is given.
    """

    answer: Answer
    picture: bytes
    heat: bytes


def without_answer(path: Path, problem: str) -> Reply:
    """The reply for a file that cannot be read."""
    return Reply(Answer(path.name, "", {}, None, problem), b"", b"")


def warm_up(predictor: Predictor) -> None:
    """Run the base once, which builds its graph, so that the first answer comes as quickly as the others."""
    predictor.ask([""], np.zeros((1, SIDE, SIDE, 3), np.uint8))


def make_reply(predictor: Predictor, path: Path) -> Reply:
    """Read a file, ask the model and make the pictures."""
    try:
        image, negative = decode(path)
    except OSError as error:
        return without_answer(path, f"cannot be opened: {error.strerror}")
    except ValueError as error:
        return without_answer(path, str(error))
    (answer,), heat = predictor.ask([path.name], as_picture(image, negative).pixels[None])
    return Reply(answer, _picture(image, negative), _heat(heat[0]) if answer.label else b"")


def _picture(image: Pixels, negative: bool) -> bytes:
    height, width = image.shape[:2]
    scale = min(1.0, PREVIEW / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., ::-1]
    return _encoded(".jpg", 255 - shown if negative else shown)


def _heat(heat: NDArray[np.float32]) -> bytes:
    """A heat map (7, 7) as colours that are the less transparent, the more a cell speaks for the class."""
    strength = cv2.resize(heat / max(float(heat.max()), 1e-9), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    levels = np.asarray(255 * strength, np.uint8)
    return _encoded(".png", np.dstack([cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), levels]))


def _encoded(ending: str, pixels: NDArray[Any]) -> bytes:
    return bytes(cv2.imencode(ending, np.ascontiguousarray(pixels))[1])
