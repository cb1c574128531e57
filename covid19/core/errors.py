"""The one error that a user can mend: bad input, answered with one line and exit code 2."""

from __future__ import annotations


class InputError(ValueError):
    """Something given to the program (a flag, a path, a file) cannot be used.

    The message says what was received, what was expected and how to mend it.
    """
