"""Train a new head on a frozen VGG16 to tell COVID-19 from other chest X-rays, and say how far the result can be believed.

The command is `covid19 train` (or `python3 train_covid19.py`); a saved model is read back with `covid19.load_model`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# OpenCV reads this once, when it is imported: an image that claims more is refused before memory is taken for it.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "100000000")

__version__ = "0.1.0"
NOTICE = "Research only: this is not a medical device and must never be used to diagnose or treat anybody."

if TYPE_CHECKING:
    from covid19.model.load import load_model as load_model

__all__ = ["NOTICE", "__version__", "load_model"]


def __getattr__(name: str) -> Any:
    """Import `load_model` on first use: it brings in Keras, which costs seconds."""
    if name != "load_model":
        raise AttributeError(f"module 'covid19' has no attribute {name!r}")
    from covid19.core.keras_startup import import_keras

    import_keras()
    from covid19.model.load import load_model

    return load_model
