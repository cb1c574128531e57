"""`covid19 check`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from covid19.cli.exit_codes import ExitCode
from covid19.cli.flags import add_positive_flag
from covid19.cli.flags_data import add_data_flags
from covid19.cli.values import address
from covid19.core.settings import DataSettings, take

if TYPE_CHECKING:
    from covid19.data.check_findings import Findings

SUMMARY = "look a data set over without training; exit code 1 if a run would be unsound"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the check command."""
    add = parser.add_argument
    add("dataset", type=address, metavar="DATASET", help="folder with one folder of images for each class")
    add("--json", dest="as_json", action="store_true", help="print the findings as JSON")
    add_positive_flag(parser)
    add_data_flags(parser)


def run(as_json: bool, **given: Any) -> ExitCode:
    """Check the data set and print the findings."""
    import msgspec

    from covid19.core.console import say
    from covid19.core.outputs import json_text
    from covid19.data.check_findings import describe

    findings = find(**given)
    say(json_text({"status": findings.status, **msgspec.to_builtins(findings)}, indent=2) if as_json else describe(findings))
    return ExitCode.DONE if findings.sound else ExitCode.FAILED


def find(positive: str | None = None, **given: Any) -> Findings:
    """Check the data set."""
    from covid19.check import check
    from covid19.data.gathering import gather, label_table
    from covid19.data.reader import Filter
    from covid19.features.cache import open_caches

    data = take(DataSettings, given)
    gathered = gather(data.dataset, label_table(data), positive)
    with open_caches(**given) as caches:
        return check(gathered, Filter(data.metadata, data.projection), caches, data.file_timeout, positive)
