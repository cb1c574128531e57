"""A model in a process of its own: a file goes in, the answer and its pictures come out.

The page stays quick while the base runs, the two start at the same time, and a file that crashes or hangs a decoder costs
itself and a restart, not the page.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid19.errors import InputError

if TYPE_CHECKING:  # nothing slow here: the process should start at once
    from covid19.reply import Reply

PATIENCE = 60.0  # seconds for one file; a radiograph takes less than one


class Worker:
    """A process that holds a model and answers one file at a time.

    Args:
        model: a file that `covid19 train` wrote.
    """

    def __init__(self, model: Path) -> None:
        self._model = model
        self._turn = threading.Lock()
        self._begin()

    def wait(self) -> tuple[list[str], dict[str, Any]]:
        """Wait until the model is there; give its classes and what is known of it, see `Predictor.about`.

        Raises:
            InputError: it is no model of this program.
        """
        try:
            greeting = self._pipe.recv()
        except EOFError:
            raise InputError(f"model '{self._model}' could not be loaded; expected a whole file and enough memory") from None
        if isinstance(greeting, InputError):
            raise greeting
        return greeting  # type: ignore[no-any-return]  # a pipe carries anything

    def ask(self, path: Path) -> Reply:
        """Answer for a file, when those before it are answered."""
        from covid19.reply import without_answer

        with self._turn:
            problem = "it took too long to read"
            try:
                self._pipe.send(path)
                if self._pipe.poll(PATIENCE):
                    return self._pipe.recv()  # type: ignore[no-any-return]
            except (EOFError, OSError):
                problem = "it cannot be decoded"
            self.close()
            self._begin()
            self.wait()
            return without_answer(path, problem)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _begin(self) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork would copy the page's threads half-way
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(theirs, self._model), daemon=True)
        self._process.start()
        theirs.close()  # so that an end of the process is noticed here


def _work(pipe: Connection, model: Path) -> None:
    """The process: load, greet, answer until the other side closes."""
    warnings.simplefilter("ignore")  # of odd files, whose names no log must have
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C goes to both; the page ends this one
    from covid19.backend import import_keras

    import_keras()
    from covid19.predict import Predictor
    from covid19.reply import make_reply, warm_up

    try:
        predictor = Predictor(model)
    except InputError as error:
        pipe.send(error)
        return
    warm_up(predictor)
    pipe.send((predictor.classes, predictor.about()))
    while True:
        try:
            pipe.send(make_reply(predictor, pipe.recv()))
        except (EOFError, BrokenPipeError):
            return
