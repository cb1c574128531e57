"""The page of an audit of given scores. The report goes in; HTML comes out. `templates/audit.html.j2` is the page."""

from __future__ import annotations

from pathlib import Path

from covid19.report import figures
from covid19.report.conclusion import conclude_audit, three_numbers
from covid19.report.pages import fill_in
from covid19.report.result import AuditReport


def write_audit_page(path: Path, report: AuditReport) -> None:
    """Write the page.

    Args:
        path: file to write; see `outputs.OutputTransaction`.
        report: of the audit.

    Raises:
        OSError: the file cannot be written.
    """
    text = fill_in(
        "audit.html.j2",
        report=report,
        conclusion=conclude_audit(report),
        parts_of_picture=three_numbers(report.audit) if report.audit else [],
        probes=figures.probes(report.audit) if report.audit else "",
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
