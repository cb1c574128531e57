"""JSON Schemas of the reports, made from their types: `python3 -m covid19.report.json_schema` writes them anew."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import msgspec

from covid19.report.external_result import ExternalReport
from covid19.report.result import AuditReport, Report

FOLDER = Path(__file__).parent / "schema"
REPORTS: dict[str, type] = {
    "metrics.schema.json": Report,
    "evaluation.schema.json": ExternalReport,
    "audit.schema.json": AuditReport,
}


def schema_text(report: type) -> str:
    """The JSON Schema (draft 2020-12) of a type of report."""
    schema = msgspec.json.schema(report)
    for definition in schema["$defs"].values():
        definition["description"] = inspect.cleandoc(definition["description"])
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


if __name__ == "__main__":
    for name, report in REPORTS.items():
        (FOLDER / name).write_text(schema_text(report), encoding="utf-8")
