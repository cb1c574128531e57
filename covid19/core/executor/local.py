"""This machine as an `Executor`: a task runs in this process."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence

from covid19.core.executor.executor import Failed, Item, Resources, Result_co, Task
from covid19.core.executor.processes import RunTask, run_here


class LocalExecutor:
    """See `executor.Executor`.

    Args:
        run: runs a function on a file, here or in a process that can be ended.
    """

    gpus = 0
    is_remote = False

    def __init__(self, run: RunTask = run_here) -> None:
        self._resources = Resources(run, os.cpu_count() or 1)

    def map(
        self, task: Task[Item, Result_co], items: Sequence[Item], ordered: bool = False
    ) -> Generator[tuple[int, Result_co | Failed]]:
        """See `Executor`."""
        task.set_up(self._resources)
        yield from task.run(items)
