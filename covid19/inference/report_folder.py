"""The DICOM reports of a run: answers one by one in; a file for each DICOM image, and what got none, out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from covid19.core.addresses import as_path, on_disk
from covid19.core.console import say, shortened, warn
from covid19.core.executor.processes import RunTask
from covid19.core.outputs import OutputTransaction
from covid19.data.dicom_identity import read_identity
from covid19.data.images import why_unreadable
from covid19.inference.answer import Answer
from covid19.inference.structured_report import StructuredReports

REPORT_ENDING = "_sr.dcm"


class ReportFolder:
    """Writes a report for each DICOM file of a run, and counts the files that get none.

    Args:
        reports: that makes them.
        paths: where the report on each file is written.
        outputs: of the run, with which they appear.
        run: where to read headers, see `DecodingPool.run`.
    """

    def __init__(self, reports: StructuredReports, paths: Mapping[str, Path], outputs: OutputTransaction, run: RunTask) -> None:
        self._reports, self._paths, self._outputs, self._run = reports, paths, outputs, run
        self._written: set[str] = set()
        self._other_kinds: set[str] = set()
        self._problems: dict[str, str] = {}

    def add(self, answer: Answer, digest: str) -> None:
        """Write the report on one file, if it is a DICOM file that says whose it is; one that was given twice gets one.

        Args:
            answer: for the file.
            digest: of the bytes that were answered for; '' of a file that could not be read.
        """
        if answer.file in self._written:
            return
        try:
            with on_disk(as_path(answer.file)) as local:
                source = self._run(read_identity, local)
            if source and digest not in ("", source.digest):  # it may be another patient's by now
                raise ValueError("the file was changed after it was answered for: run again")
        except (OSError, ValueError) as error:
            self._problems[answer.file] = why_unreadable(error)
            return
        if source is None:
            self._other_kinds.add(answer.file)
            return
        draft = self._outputs.draft(self._paths[answer.file])
        self._reports.make(answer, source.values).save_as(draft, enforce_file_format=True)
        self._written.add(answer.file)

    def tell(self) -> None:
        """Say on standard error what was written and which files got no report; it is no part of the answers."""
        for line in shortened([f"no DICOM report on '{file}': {why}" for file, why in self._problems.items()]):
            warn(line)
        if self._other_kinds:
            count = f"{len(self._other_kinds)} of {len(self._paths)} files"
            warn(f"no DICOM report on {count}, which are no DICOM files, such as '{min(self._other_kinds)}'")
        if self._written:
            say(f"Wrote DICOM reports on {len(self._written)} of {len(self._paths)} files; they name the patients.", sys.stderr)
