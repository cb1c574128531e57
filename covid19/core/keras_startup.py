"""Import Keras without its backend's start-up chatter; real errors still reach standard error."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from covid19.core.errors import InputError

BACKENDS = ("tensorflow", "jax", "torch")
# What TensorFlow logs at every start on a machine without a GPU: information, warnings, and one 'error' (no CUDA driver).
STARTUP_LOG_LINES = re.compile(
    r"^(WARNING: All log messages before absl|[IW]\d{4} |[EF]\d{4} .*(cuInit|cuda_platform|Unable to register)"
    r"|\d{4}-\d\d-\d\d [\d:.]+: [IW] |To enable the following instructions)"
)


def import_keras() -> None:
    """Import Keras and touch its device once, quietly. Takes 3 to 5 s the first time and nothing after that.

    What the user's `keras.json` says is not asked: another order of channels or another precision would make other models.

    Raises:
        InputError: KERAS_BACKEND names a backend that is not installed, or none.
    """
    if "keras" in sys.modules:
        return
    _check_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)  # Keras warns there of every .h5 file, also of one asked for
    # The import makes half a million objects that live until the exit. Without this the garbage collector walks them again and
    # again, during the import, during the run and at the exit: 2 s of a run of 7 s from stored features.
    gc.disable()
    try:
        with _interrupt_held(), without_chatter():
            with _without_settings_file():
                import keras

            keras.config.set_image_data_format("channels_last")
            keras.config.set_floatx("float32")
            keras.config.set_dtype_policy("float32")
            keras.ops.zeros(1)  # the device is looked for here, and its absence announced
        # It warns where functions are traced again, which each network is once for each size of batch.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    finally:
        gc.freeze()
        gc.enable()


def _check_backend() -> None:
    """Choose TensorFlow unless KERAS_BACKEND names another backend, which must be there."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise InputError(f"KERAS_BACKEND is '{backend}'; expected {', '.join(BACKENDS)}: unset it, which takes TensorFlow")
    if importlib.util.find_spec(backend) is None:
        raise InputError(
            f"KERAS_BACKEND is '{backend}', and that package is not installed; expected it, or another backend: install it, or "
            "unset KERAS_BACKEND, which takes TensorFlow"
        )
    os.environ["KERAS_BACKEND"] = backend


@contextmanager
def _without_settings_file() -> Iterator[None]:
    """Let Keras look for its settings, and write them, in an empty folder while it is imported."""
    previous = os.environ.get("KERAS_HOME")
    with tempfile.TemporaryDirectory(prefix="covid19-") as folder:
        os.environ["KERAS_HOME"] = folder
        try:
            yield
        finally:
            if previous is None:
                del os.environ["KERAS_HOME"]
            else:
                os.environ["KERAS_HOME"] = previous


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Keep signals that end a run until the end: raised in the middle of TensorFlow's import, it is often swallowed there."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    received: list[int] = []
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = [signal.signal(number, lambda number, _: received.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back file descriptor 2 (C++ code writes there directly) and pass on all lines but the chatter."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if not STARTUP_LOG_LINES.match(line):
                    print(line, file=sys.stderr)
