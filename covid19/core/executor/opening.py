"""Open the executor that `--cluster` asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from covid19.core.executor.executor import Executor
from covid19.core.executor.local import LocalExecutor
from covid19.core.executor.processes import RunTask


@contextmanager
def open_executor(cluster: str | None, run: RunTask, file_timeout_s: float, quiet: bool = False) -> Iterator[Executor]:
    """This machine, or a Ray cluster, for as long as it is needed.

    Args:
        cluster: None for this process, else 'auto', 'local' or 'ray://host:port', see `ray_cluster.open_cluster`.
        run: runs a function on a file on this machine.
        file_timeout_s: seconds that reading one file may take on the nodes of a cluster.
        quiet: whether to print nothing about a cluster.

    Raises:
        InputError: the cluster cannot be used.
    """
    if cluster is None:
        yield LocalExecutor(run)
        return
    from covid19.core.executor.ray_cluster import open_cluster  # needs Ray, see `ray_stream`

    with open_cluster(cluster, file_timeout_s, quiet) as executor:
        yield executor
