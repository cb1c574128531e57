"""The list of commands. Each is the module of that name in `cli/commands/`."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any, Protocol, cast


class Command(Protocol):
    """What a module of `cli/commands/` defines.

    At its top, a command imports only modules that need nothing but the standard library, because every start imports every
    command and `covid19 --help` is to answer at once. `run` imports the modules that do the work, which take from 50 ms
    (`serve`) and 110 ms (`prepare`) to 2100 ms (`train`), by `python3 -X importtime` on two shared cores.
    """

    SUMMARY: str
    """One line for `covid19 --help`, without a full stop."""

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's flags to its parser."""

    def run(self, *arguments: Any, **flags: Any) -> int | None:
        """Do the work, given the value of each flag by its name. Returns the exit code; None stands for 0."""


# In the order in which `covid19 --help` lists them.
COMMANDS = (
    "train",
    "audit",
    "predict",
    "serve",
    "export",
    "evaluate",
    "compare",
    "lungs",
    "prepare",
    "check",
    "sample",
)


def load_command(name: str) -> Command:
    """The module of one of `COMMANDS`."""
    return cast("Command", import_module(f"covid19.cli.commands.{name}"))
