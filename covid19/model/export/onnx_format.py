"""ONNX; the information is in `metadata_props`."""

from __future__ import annotations

import json
from pathlib import Path

from covid19.model.export.export_format import ExportFormat


class Onnx(ExportFormat):
    """See the module."""

    name = "onnx"
    ending = ".onnx"
    keras_format = "onnx"
    packages = ("onnx", "tf2onnx")

    def add_info(self, path: Path, file_name: str, text: str) -> None:
        """See `ExportFormat`."""
        import onnx  # an optional package

        graph = onnx.load(path)
        for key, value in json.loads(text).items():
            as_text = value if isinstance(value, str) else json.dumps(value)
            graph.metadata_props.add(key=key, value=as_text.encode(errors="backslashreplace").decode())  # UTF-8 alone
        onnx.save(graph, path)
