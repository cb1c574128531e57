"""`--config FILE`: flags of a command in a TOML file, which the command line overrules."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covid19.cli.flag_values import flag_value, named_flags
from covid19.core.errors import InputError

MAX_BYTES = 1_000_000  # of a file of settings

Options = dict[str, argparse.Action]


def add_config_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of every command."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="flags in TOML by their names; the command line wins")


def apply_config(parsers: Mapping[str, argparse.ArgumentParser], command: str, argv: Sequence[str]) -> None:
    """Make what a file of settings says the defaults of a command's flags, if the command line names such a file.

    Args:
        parsers: of all commands by their names.
        command: that is run.
        argv: the command line.

    Raises:
        InputError: the file cannot be read, or has a name that is no flag or a value that the flag does not take.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    add_config_flag(finder)
    try:
        path: Path | None = finder.parse_known_args(list(argv))[0].config
    except argparse.ArgumentError:  # without a file's name, of which the command's own parser says more
        return
    if path is None:
        return
    options = {name: _options(parser) for name, parser in parsers.items()}
    for name, value in _settings(path, command, options).items():
        action = options[command].get(name)
        if action is None:
            raise InputError(
                f"--config '{path}': '{name}' is no flag of covid19 {command}; expected the name of one: rename it"
            )
        try:
            parsers[command].set_defaults(**{action.dest: flag_value(action, name, value)})
        except InputError as error:
            raise InputError(f"--config '{path}': {error}") from error
        action.required = False


def _options(parser: argparse.ArgumentParser) -> Options:
    """The flags that a file may have, by their names."""
    return {name: own for name, own in named_flags(parser).items() if own.option_strings and own.dest != "config"}


def _settings(path: Path, command: str, options: Mapping[str, Options]) -> dict[str, Any]:
    """What a file says to a command: at its top, where flags of other commands may be too, and in the command's own table."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        found = tomllib.loads(content.decode())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"--config '{path}' cannot be read ({error}); expected a TOML file: give another") from error
    tables = {name: value for name, value in found.items() if isinstance(value, dict)}
    if odd := next((name for name in tables if name not in options), None):
        raise InputError(
            f"--config '{path}' has a table '{odd}'; expected tables of commands ({', '.join(options)}): rename it"
        )
    top = {name.replace("-", "_"): value for name, value in found.items() if name not in tables}
    elsewhere = {name for own in options.values() for name in own} - options[command].keys()
    own = {name.replace("-", "_"): value for name, value in tables.get(command, {}).items()}
    return {name: value for name, value in top.items() if name not in elsewhere} | own
