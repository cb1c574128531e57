"""`covid19 compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "put two reports side by side, with paired intervals of their differences"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the compare command."""
    parser.add_argument("first", type=Path, metavar="A", help="JSON report that 'covid19 train', 'audit' or 'evaluate' wrote")
    parser.add_argument(
        "second", type=Path, metavar="B", help="another; where both tested the same images, differences are paired"
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="print the comparison as JSON")


def run(first: Path, second: Path, as_json: bool) -> None:
    """Compare the reports and print what differs."""
    import msgspec

    from covid19.core.console import say
    from covid19.core.outputs import json_text
    from covid19.report.comparison import compare_reports, describe_comparison

    comparison = compare_reports((first, second))
    say(json_text(msgspec.to_builtins(comparison), indent=2) if as_json else describe_comparison(comparison))
