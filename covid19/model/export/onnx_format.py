"""ONNX; the information is in `metadata_props`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from covid19.core.outputs import json_text
from covid19.model.export.export_format import ExportFormat


class Onnx(ExportFormat):
    """See the module."""

    name = "onnx"
    ending = ".onnx"
    keras_format = "onnx"
    packages = ("onnx", "tf2onnx")

    def add_info(self, path: Path, info: dict[str, Any], file_name: str) -> None:
        """See `ExportFormat`."""
        import onnx  # an optional package

        graph = onnx.load(path)
        for key, value in info.items():
            as_text = value if isinstance(value, str) else json_text(value)
            graph.metadata_props.add(key=key, value=as_text.encode(errors="backslashreplace").decode())  # UTF-8 alone
        onnx.save(graph, path)
