"""Images with their lungs hidden, in their own size: what somebody else's model is asked about, for its audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from covid19.data.grey_levels import is_grey
from covid19.data.images import decode, encode_image
from covid19.lungs.occlusion import Occlusion, fill


def hidden_pictures(file: Path, occlusions: Sequence[Occlusion]) -> list[bytes]:
    """An image with its lungs hidden in several ways, as PNG files of its own size; grey if the image is.

    The audit of a model that was trained here hides the same part of pictures of 224x224.

    Args:
        file: of the image, on this machine.
        occlusions: ways that hide a part and leave the rest as it is.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it cannot be decoded, see `images.decode`.
    """
    image, is_negative = decode(file)
    pixels = 255 - image if is_negative else image
    height, width = pixels.shape[:2]
    grey = is_grey(pixels)
    pictures = []
    for occlusion in occlusions:
        part = cv2.resize(occlusion.part().astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0
        hidden = fill(pixels, np.asarray(part))
        pictures.append(encode_image(hidden[..., 0] if grey else hidden, ".png"))
    return pictures
