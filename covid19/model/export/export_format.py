"""What an export format is. Importing a format needs only the standard library: the command line lists all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class ExportFormat:
    """A format that a model can be written in.

    Attributes:
        name: for `--format`.
        ending: what follows the model's name in the default path of the output.
        keras_format: what `keras.Model.export` calls it.
        packages: that it needs and a plain installation lacks; they are the extra `name` of this package.
    """

    name: str
    ending: str
    keras_format: str = ""
    packages: tuple[str, ...] = ()

    def write(self, model: Any, path: Path) -> None:
        """Write a Keras model from RGB in [0, 1], float32 (n, height, width, 3), to probabilities, float32 (n, classes)."""
        model.export(path, format=self.keras_format, verbose=False)

    def add_info(self, path: Path, file_name: str, text: str) -> None:
        """Put the model's information, a JSON object, into what `write` wrote; as a file, it is called `file_name`."""
        raise NotImplementedError
