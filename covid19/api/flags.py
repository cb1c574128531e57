"""The flags of a command as keyword arguments: values in, checked as the command line checks them; defaults for the rest."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from covid19.cli.flag_values import flag_value, named_flags
from covid19.cli.registry import load_command

NOT_KEYWORDS = ("dataset", "model", "inputs", "fail_on", "command")  # positional, or of the command line alone
Function = TypeVar("Function", bound=Callable[..., Any])


class Flags(NamedTuple):
    """The flags of a command.

    Attributes:
        defaults: by the name under which the command takes each.
        actions: by every name that a keyword argument may have.
    """

    defaults: dict[str, Any]
    actions: dict[str, argparse.Action]


def flags_of(command: str) -> Flags:
    """The flags of a command and their defaults, as its parser has them."""
    parser = argparse.ArgumentParser(add_help=False)
    load_command(command).add_flags(parser)
    actions = named_flags(parser)
    taken = {*(action.dest for action in actions.values()), *parser._defaults}
    return Flags({name: parser.get_default(name) for name in taken}, actions)


def parsed_flags(command: str, given: dict[str, Any], defaults: bool = True) -> dict[str, Any]:
    """The values of a command's flags: those given, parsed as the command line would, and the defaults of the others.

    Args:
        command: its name.
        given: values by the flags' names, with `_` for `-`.
        defaults: whether to add those of the flags that are not given.

    Raises:
        TypeError: a name is no flag.
        InputError: a value is none that the flag takes.
    """
    flags = flags_of(command)
    values = dict(flags.defaults) if defaults else {}
    for name, value in given.items():
        action = flags.actions.get(name)
        if action is None:
            raise TypeError(f"{command}() got an unexpected keyword argument '{name}'; expected a flag of 'covid19 {command}'")
        values[action.dest] = flag_value(action, name, value)
    return values


def sign(function: Function, command: str) -> Function:
    """Let a function's signature name the flags of its command, for the help of notebooks."""
    flags = flags_of(command)
    own = [one for one in inspect.signature(function).parameters.values() if one.kind != one.VAR_KEYWORD]
    taken = {parameter.name for parameter in own} | set(NOT_KEYWORDS)
    further = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=flags.defaults[action.dest])
        for name, action in flags.actions.items()
        if name not in taken and name == action.dest
    ]
    function.__signature__ = inspect.Signature([*own, *further])  # type: ignore[attr-defined]  # what `inspect` looks for
    return function
