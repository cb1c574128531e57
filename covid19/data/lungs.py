"""The box that holds the lungs on most PA films, for where nothing better is known."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from covid19.data.images import PICTURE_SIDE_PX

Box: TypeAlias = tuple[float, float, float, float]

NOT_FRONTAL = "not like a frontal chest X-ray"  # of a picture in which no lungs are found
LUNG_BOX: Box = (0.12, 0.15, 0.88, 0.85)  # left, top, right, bottom, as fractions of the picture


def box_mask(box: Box) -> NDArray[np.bool_]:
    """The pixels inside a box, bool (224, 224)."""
    left, top, right, bottom = (round(PICTURE_SIDE_PX * fraction) for fraction in box)
    mask = np.zeros((PICTURE_SIDE_PX, PICTURE_SIDE_PX), bool)
    mask[top:bottom, left:right] = True
    return mask
