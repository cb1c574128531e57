"""What runs on the nodes of a Ray cluster: workers that hold a task and are called with blocks of items."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from typing import Any, NamedTuple

from covid19.core.addresses import reason
from covid19.core.executor.executor import Failed, Resources, Task
from covid19.core.executor.processes import LimitedProcesses


class SharedArguments(NamedTuple):
    """What every worker of a stream is given, once: the task, and the seconds that reading one file may take."""

    task: Task[Any, Any]
    file_timeout_s: float


class RayWorker:
    """What Ray Data makes on each node and calls with blocks.

    Args:
        shared: a reference to pickled `SharedArguments`, in a list so that Ray passes it on as it is.
    """

    def __init__(self, shared: Sequence[Any]) -> None:
        import ray

        # Before the task is unpickled, which may import Keras: TensorFlow by itself would take every core of the node.
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(_own_cores()))
        self._task, timeout_s = pickle.loads(ray.get(shared[0]))  # from where the run began
        cores = 1 if self._task.needs_one_core else _own_cores()
        self._task.set_up(Resources(LimitedProcesses(timeout_s, cores, self._task.preload).run, cores))

    def __call__(self, block: Any) -> Any:
        """A block, an Arrow table of `position` and pickled `item`, to one of `position` and pickled `result`."""
        import pyarrow

        items = [pickle.loads(item) for item in block["item"].to_pylist()]  # from where the run began
        results = [pickle.dumps(result) for result in run_each(self._task, items)]
        return pyarrow.table({"position": block["position"], "result": pyarrow.array(results, pyarrow.binary())})


def run_each(task: Task[Any, Any], items: list[Any]) -> list[Any]:
    """The results of all items; where the task raises, each item alone, so that one that makes it raise costs only itself."""
    try:
        results = dict(task.run(items))
        return [results[position] for position in range(len(items))]
    except Exception as error:  # noqa: BLE001  # whatever it is, whoever began the run is to know
        if len(items) == 1:
            return [Failed(reason(error))]
        return [result for item in items for result in run_each(task, [item])]


def _own_cores() -> int:
    """The cores that this worker was given; Ray says so to OpenMP."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
