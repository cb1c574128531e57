"""The exit codes of the program."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covid19.report.external_result import ExternalReport
    from covid19.report.result import AuditReport, Report


class ExitCode(IntEnum):
    """How a command ended; a signal that ends it gives `SIGNALLED` and the signal's number, as shells have it."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    FLAGGED = 3
    SIGNALLED = 128


def verdict_exit_code(report: Report | ExternalReport | AuditReport, fail_on: str | None) -> ExitCode:
    """The exit code for the verdict of a report's audit.

    Args:
        report: of a training run, an external validation or an audit of given scores.
        fail_on: the value of --fail-on.
    """
    verdict = report.audit and report.audit.verdict
    return ExitCode.FLAGGED if fail_on and verdict in {"explained", fail_on} else ExitCode.DONE
