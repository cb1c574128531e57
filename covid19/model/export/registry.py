"""The export formats by name. To add one, list it here."""

from __future__ import annotations

from covid19.model.export.export_format import ExportFormat
from covid19.model.export.litert import LiteRt
from covid19.model.export.onnx_format import Onnx
from covid19.model.export.saved_model import SavedModel

FORMATS: dict[str, ExportFormat] = {form.name: form for form in (Onnx(), SavedModel(), LiteRt())}
