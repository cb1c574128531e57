"""Train a new head on a frozen VGG16 to tell COVID-19 from other chest X-rays, and say how far the result can be believed.

The command is `covid19 train` (or `python3 train_covid19.py`); `covid19.train(...)` and the other functions of `covid19.api` do
the same in Python.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

# OpenCV reads this once, when it is imported: an image that claims more is refused before memory is taken for it.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "100000000")

__version__ = "0.1.0"
NOTICE = "Research only: this is not a medical device and must never be used to diagnose or treat anybody."

if TYPE_CHECKING:
    from covid19.api import audit as audit
    from covid19.api import check as check
    from covid19.api import evaluate as evaluate
    from covid19.api import load_model as load_model
    from covid19.api import predict as predict
    from covid19.api import train as train
    from covid19.api import write_hidden as write_hidden

FUNCTIONS = ("audit", "check", "evaluate", "load_model", "predict", "train", "write_hidden")  # of `covid19.api`

__all__ = ["NOTICE", "__version__", *FUNCTIONS]  # noqa: PLE0604  # names


class _CallableModule(ModuleType):
    """A module whose name is also that of a function: `covid19.train` is `covid19/train.py`, and trains when it is called."""

    def __call__(self, *arguments: Any, **flags: Any) -> Any:
        """Call the function; see `covid19.api`."""
        return _function(self.__name__.rpartition(".")[2])(*arguments, **flags)

    @property
    def __signature__(self) -> Any:
        """The function's signature, which notebooks show."""
        from inspect import signature

        return signature(_function(self.__name__.rpartition(".")[2]))


class _Package(ModuleType):
    """This package: whatever imports a module that has a function's name, it can be called."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FUNCTIONS and type(value) is ModuleType:
            value.__class__ = _CallableModule
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *FUNCTIONS})


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import a function on first use: it brings in NumPy and more, which costs seconds."""
    if name not in FUNCTIONS:
        raise AttributeError(f"module 'covid19' has no attribute {name!r}")
    if name in ("audit", "check", "evaluate", "train"):  # modules as well
        return import_module(f"covid19.{name}")
    return _function(name)


def _function(name: str) -> Any:
    return getattr(import_module("covid19.api"), name)
