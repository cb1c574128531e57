"""The flags of a command by name, and values for them that do not come from the command line: checked as if they did."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from covid19.core.errors import InputError


def named_flags(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The flags of a parser by each of their names, with `_` for `-`, and by the name under which the command takes them."""
    own = [action for action in parser._actions if action.dest not in (argparse.SUPPRESS, "help")]
    actions = {action.dest: action for action in own}
    for action in own:
        actions |= {name.lstrip("-").replace("-", "_"): action for name in action.option_strings if name.startswith("--")}
    return actions


def flag_value(action: argparse.Action, name: str, value: Any) -> Any:
    """The value of a flag, parsed as the command line would.

    Args:
        action: the flag.
        name: by which it was given.
        value: a number, text, a path, True or False, or a list of these for a flag that takes several.

    Raises:
        InputError: the flag does not take such a value.
    """
    if action.nargs == 0:  # a flag without a value: True is as if it were given
        if isinstance(action.const, bool) and not isinstance(value, bool):
            raise InputError(f"{name} is {value!r}; expected true or false: give one of these")
        return value if name == action.dest else action.const if value else action.default
    if value is None:
        return None
    several, is_list = isinstance(value, list | tuple), isinstance(action.default, list | tuple)
    if several and (not is_list or name == "lung_box"):
        value = ",".join(map(str, value))  # numbers, as the command line has them; anything else is refused below
    parse: Callable[[str], Any] = action.type if callable(action.type) else str
    texts = map(str, value if isinstance(value, list | tuple) else [value])
    try:
        parsed = [parse(text) for text in texts]
    except argparse.ArgumentTypeError as error:
        raise InputError(f"{name}: {error}") from error
    if action.choices is not None and any(one not in action.choices for one in parsed):
        raise InputError(f"{name} is {value!r}; expected one of: {', '.join(map(str, action.choices))}")
    return tuple(parsed) if is_list and name != "lung_box" else parsed[0]
