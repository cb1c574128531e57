"""LiteRT; the information is in a zip archive behind the model, where TensorFlow Lite's metadata keep associated files."""

from __future__ import annotations

import zipfile
from pathlib import Path

from covid19.model.export.export_format import ExportFormat


class LiteRt(ExportFormat):
    """See the module."""

    name = "litert"
    ending = ".tflite"
    keras_format = "litert"

    def add_info(self, path: Path, file_name: str, text: str) -> None:
        """See `ExportFormat`."""
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(file_name, text)
