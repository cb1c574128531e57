"""`covid19 check`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from covid19.cli.exit_codes import ExitCode
from covid19.cli.flags_data import add_data_flags

SUMMARY = "look a data set over without training; exit code 1 if a run would be unsound"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the check command."""
    add = parser.add_argument
    add("dataset", type=Path, metavar="DATASET", help="folder with one folder of images for each class")
    add("--json", dest="as_json", action="store_true", help="print the findings as JSON")
    add_data_flags(parser)


def run(dataset: Path, as_json: bool, metadata: Path | None, projection: str, file_timeout: float, **cache: Any) -> ExitCode:
    """Check the data set and print the findings."""
    import msgspec

    from covid19.check import check
    from covid19.core.console import say
    from covid19.core.outputs import json_text
    from covid19.data.check_findings import describe
    from covid19.data.reader import Filter
    from covid19.features.cache import open_caches

    with open_caches(**cache) as caches:
        findings = check(dataset, Filter(metadata, projection), caches, file_timeout)
    say(json_text({"status": findings.status, **msgspec.to_builtins(findings)}, indent=2) if as_json else describe(findings))
    return ExitCode.DONE if findings.sound else ExitCode.FAILED
