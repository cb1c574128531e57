"""Child processes with limits, so that a file that hangs, crashes its reader or takes too much memory costs only itself.

A function of this package and its arguments go in; what it returns comes out.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, wait
from concurrent.futures import TimeoutError as TimedOutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Protocol, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

import covid19
from covid19.core.errors import InputError
from covid19.core.settings import FILE_TIMEOUT_S

T = TypeVar("T")

MEMORY_BYTES = 2_500_000_000  # that one process may take for one file, beyond what it takes for itself
PACKAGE = Path(covid19.__file__).parent
EXPECTED = "expected memory and room for them: free some, and run again"
CHECK_INTERVAL_S = 1.0  # between two looks at whether the processes are still there
GRACE_S = 5.0  # after which a process ends by itself whose limit nobody enforced
HAS_FORK_SERVER = "forkserver" in multiprocessing.get_all_start_methods()
_START: Any = multiprocessing.get_context("forkserver" if HAS_FORK_SERVER else "spawn")
MAX_PROCESSES = 8  # enough to feed a GPU; each may take the memory above


class RunTask(Protocol):
    """Runs a function of this package on arguments: here and now (`run_here`), or in a process of its own."""

    def __call__(self, task: Callable[..., T], *arguments: Any) -> T:
        """Return what the task returns, and raise what it raises."""


def run_here(task: Callable[..., T], *arguments: Any) -> T:
    """Run a task in this process, without a limit."""
    return task(*arguments)


class LimitedProcesses:
    """Child processes, each with a limit on the time and the memory that one file may take.

    A process that passes a limit or crashes is ended and replaced; the others go on. The processes are started with the first
    task, and end with this process, however it ends. Safe for use by several threads.

    Args:
        timeout_s: seconds that one task may take.
        processes: how many tasks run at once; None takes as many as there are cores and memory for, at most `MAX_PROCESSES`.
        preload: modules that the tasks need, imported once for all processes.
    """

    def __init__(self, timeout_s: float = FILE_TIMEOUT_S, processes: int | None = None, preload: Sequence[str] = ()) -> None:
        self.timeout_s = timeout_s
        self._pool = ProcessPool(processes or _default_processes(), initializer=_set_up, context=start_context(preload))

    def run(self, task: Callable[..., T], *arguments: Any) -> T:
        """Run a task in one of the processes and wait for it.

        Args:
            task: a function of a module, which the process imports.
            arguments: of the task; they are pickled, as is what it returns.

        Raises:
            ValueError: the task took too long, took too much memory, or ended its process.
            InputError: the processes cannot be started.
            Exception: whatever the task raises.
        """
        try:
            future = self._pool.schedule(_run_with_deadline, args=(self.timeout_s, task, *arguments), timeout=self.timeout_s)
            while not wait([future], CHECK_INTERVAL_S).done:
                if not self._pool.active:  # a task that was given to it just then would never have a result
                    raise RuntimeError("they have ended")
        except RuntimeError as error:
            raise InputError(f"the processes that read files cannot be used ({error}); {EXPECTED}") from error
        try:
            return future.result()  # type: ignore[no-any-return]  # pebble's future does not know the type
        except TimedOutError as error:
            raise ValueError(f"it took longer than {self.timeout_s:g} s to read (--file-timeout)") from error
        except MemoryError as error:
            raise ValueError(f"it would take more than {MEMORY_BYTES / 1e9:g} GB of memory") from error
        except ProcessExpired as error:
            raise ValueError("the process that read it crashed: the file is damaged, or takes too much memory") from error
        except (BrokenProcessPool, CancelledError) as error:
            raise InputError(f"the processes that read files cannot be used ({error}); {EXPECTED}") from error

    def close(self) -> None:
        """End the processes, also those that are busy."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def start_context(preload: Sequence[str]) -> Any:
    """How processes are started: not as forks of this process, which has threads, but of a server that is started once.

    The server looks for modules where a new interpreter would, so it is told where this package is: another version of it may
    be installed.
    """
    context: Any = _Context()
    if not HAS_FORK_SERVER:
        return context
    from multiprocessing import forkserver  # does not exist on every platform

    context.set_forkserver_preload(list(preload))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PACKAGE.parent), before)))
    try:
        with _silent_stderr():  # a process that is stopped while it starts would print a traceback
            forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


class _Process(_START.Process):  # type: ignore[misc]  # which class it is depends on the platform
    """A process that does not run the caller's script: it needs none of it, and a script without a guard would never end."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  # the name that multiprocessing calls
        script = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")  # has no file, so that none is sent
        try:
            return _START.Process._Popen(process_obj)
        finally:
            sys.modules["__main__"] = script


class _Context(type(_START)):  # type: ignore[misc]  # as above
    """Starts such processes."""

    Process = _Process


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Let standard error lead nowhere for what is started meanwhile."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _run_with_deadline(timeout_s: float, task: Callable[..., T], *arguments: Any) -> T:
    """Run a task, and end this process some seconds after the limit if its parent, which was to do that, has been killed."""
    with Path(os.devnull).open("w", encoding="ascii") as nowhere:
        faulthandler.dump_traceback_later(timeout_s + GRACE_S, exit=True, file=nowhere)
        try:
            return task(*arguments)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _default_processes() -> int:
    cores = os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows does not say
        memory = MEMORY_BYTES * cores
    return max(1, min(cores, MAX_PROCESSES, memory // MEMORY_BYTES))


def _set_up() -> None:
    """Make this process silent, and limit its memory."""
    warnings.simplefilter("ignore")  # of odd files, of which the parent says itself what is wrong
    logging.disable()
    if sys.stderr is not None:
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # decoders in C write there, where there is no fork server whose silence is inherited
    os.close(nowhere)
    limit_memory()


def limit_memory() -> None:
    """Let this process take `MEMORY_BYTES` more than it has now; only Linux says how much that is."""
    try:
        import resource  # does not exist on Windows

        now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, now + MEMORY_BYTES))
    except (ImportError, OSError, ValueError):
        return
