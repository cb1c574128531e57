"""The model in a process of its own: images go in, answers and heat maps come out.

The process sees no file and no name, only pixels of one size and digests. One that hangs or dies is replaced by another with
the same model, whose file is read once: what is shown of the model is true of what answers, whatever happens to the file
meanwhile.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid19.core.errors import InputError
from covid19.core.executor.processes import limit_memory, start_context
from covid19.data.decoding import MODULES

if TYPE_CHECKING:  # nothing slow here: the process should start at once
    from covid19.core.arrays import Float32Array
    from covid19.inference.reading import InputImage
    from covid19.inference.server.uploads import Reply
    from covid19.model.info import PositiveCount
    from covid19.model.shift import ShiftResult

ANSWER_TIMEOUT_S = 60.0  # for one image, which takes less than a second
MAX_MODEL_BYTES = 1 << 29


class ModelProcess:
    """A process that holds a model and answers for one image at a time.

    Args:
        model: a file that `covid19 train` wrote; read now, and never again.

    Raises:
        InputError: the file cannot be read.
    """

    def __init__(self, model: Path) -> None:
        self._model = model
        if not model.is_file():
            raise InputError(f"model '{model}' is not a file; expected one that 'covid19 train' wrote: check the path")
        if model.stat().st_size > MAX_MODEL_BYTES:
            raise InputError(
                f"model '{model}' has {model.stat().st_size / 1e6:.0f} MB; expected {MAX_MODEL_BYTES / 1e6:.0f} at most, "
                "as 'covid19 train' writes: check the path"
            )
        try:
            self._content = model.read_bytes()
        except OSError as error:
            raise InputError(f"model '{model}' cannot be read ({error.strerror}); expected one that can: check it") from error
        self._asking, self._replacing = threading.Lock(), threading.Lock()
        self._closed = False
        self._start()

    def wait(self) -> tuple[list[str], dict[str, Any]]:
        """Wait until the model is loaded.

        Returns:
            Its classes, and what is known of it, see `Predictor.about`.

        Raises:
            InputError: the file is not a model of this program.
        """
        try:
            greeting = self._pipe.recv()
        except (EOFError, OSError):
            raise InputError(f"model '{self._model}' could not be loaded; expected a whole file and enough memory") from None
        if isinstance(greeting, str):
            raise InputError(greeting)
        return greeting  # type: ignore[no-any-return]  # a pipe carries anything

    def ask(self, image: InputImage) -> Reply:
        """Answer for an image, when those before it are answered.

        Raises:
            ValueError: the model has no answer, took too long, or its process died.
        """
        return self._exchange(image)  # type: ignore[no-any-return]  # a pipe carries anything

    def compare(self, features: Float32Array, predicted: PositiveCount) -> ShiftResult | None:
        """Whether images look like the training images as a whole, see `Predictor.compare`.

        Raises:
            ValueError: as `ask` does.
        """
        return self._exchange((features, predicted))  # type: ignore[no-any-return]

    def _exchange(self, question: InputImage | tuple[Float32Array, PositiveCount]) -> Any:
        """Send a question to the process and wait for its reply."""
        with self._asking:
            problem = f"the model took longer than {ANSWER_TIMEOUT_S:g} s to answer: send it again"
            try:
                self._pipe.send(question)
                if self._pipe.poll(ANSWER_TIMEOUT_S):
                    reply = self._pipe.recv()
                    if isinstance(reply, str):
                        raise ValueError(reply)
                    return reply
            except (EOFError, OSError):
                problem = "the model's process ended: send it again"
            self._replace()
            raise ValueError(problem)

    def close(self) -> None:
        """End the process."""
        with self._replacing:
            self._closed = True
            self._end()

    def _replace(self) -> None:
        with self._replacing:
            if self._closed:
                return
            self._end()
            self._start()
        self.wait()

    def _start(self) -> None:
        context = start_context(MODULES)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_answer_images, args=(theirs, self._content, str(self._model)), daemon=True)
        self._process.start()
        theirs.close()  # so that an end of the process is noticed here

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _answer_images(pipe: Connection, model: bytes, name: str) -> None:
    """The process: load, greet, answer until the other side closes."""
    warnings.simplefilter("ignore")
    for number in ("SIGINT", "SIGHUP"):  # they go to the whole terminal; the page ends this process
        if hasattr(signal, number):
            signal.signal(getattr(signal, number), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from covid19.core.keras_startup import import_keras

    import_keras()  # in this process only; what is imported below needs Keras
    from covid19.inference.predictor import Predictor
    from covid19.inference.reading import InputImage
    from covid19.inference.server.uploads import answer_image, warm_up

    try:
        predictor = Predictor(model, name)
    except InputError as error:
        pipe.send(str(error))
        return
    warm_up(predictor)
    limit_memory()  # after that one image needs little more
    pipe.send((predictor.classes, predictor.about()))
    while True:
        try:
            question = pipe.recv()
            try:
                reply: object = (
                    answer_image(predictor, question) if isinstance(question, InputImage) else predictor.compare(*question)
                )
            except ValueError as error:  # numbers that are no answer
                reply = str(error)
            pipe.send(reply)
        except (EOFError, OSError):  # the page's process is gone
            return


def _end_with_parent() -> None:
    """End this process, whatever it does, when the page's process is gone, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
