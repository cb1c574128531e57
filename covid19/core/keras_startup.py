"""Import Keras without its backend's start-up chatter; real errors still reach standard error."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# What TensorFlow logs at every start on a machine without a GPU: information, warnings, and one 'error' (no CUDA driver).
STARTUP_LOG_LINES = re.compile(
    r"^(WARNING: All log messages before absl|[IW]\d{4} |[EF]\d{4} .*(cuInit|cuda_platform|Unable to register)"
    r"|\d{4}-\d\d-\d\d [\d:.]+: [IW] |To enable the following instructions)"
)


def import_keras() -> None:
    """Import Keras and touch its device once, quietly. Takes 3 to 5 s the first time and nothing after that."""
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)  # Keras warns there of every .h5 file, also of one asked for
    # The import makes half a million objects that live until the exit. Without this the garbage collector walks them again and
    # again, during the import, during the run and at the exit: 2 s of a run of 7 s from stored features.
    gc.disable()
    try:
        with _interrupt_held(), without_chatter():
            import keras

            keras.ops.zeros(1)  # the device is looked for here, and its absence announced
        # It warns where functions are traced again, which each network is once for each size of batch.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    finally:
        gc.freeze()
        gc.enable()


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
