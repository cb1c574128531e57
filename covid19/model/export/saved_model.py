"""TensorFlow's SavedModel, a folder; the information is a file in its folder `assets.extra`."""

from __future__ import annotations

from pathlib import Path

from covid19.model.export.export_format import ExportFormat


class SavedModel(ExportFormat):
    """See the module."""

    name = "savedmodel"
    ending = "_savedmodel"
    keras_format = "tf_saved_model"

    def add_info(self, path: Path, file_name: str, text: str) -> None:
        """See `ExportFormat`."""
        extra = path / "assets.extra"
        extra.mkdir()
        (extra / file_name).write_text(text, encoding="utf-8")
