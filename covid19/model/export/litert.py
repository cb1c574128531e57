"""LiteRT; the information is in a zip archive behind the model, where TensorFlow Lite's metadata keep associated files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from covid19.core.outputs import json_text
from covid19.model.export.export_format import ExportFormat


class LiteRt(ExportFormat):
    """See the module."""

    name = "litert"
    ending = ".tflite"
    keras_format = "litert"

    def add_info(self, path: Path, info: dict[str, Any], file_name: str) -> None:
        """See `ExportFormat`."""
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(file_name, json_text(info))
