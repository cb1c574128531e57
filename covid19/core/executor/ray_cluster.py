"""A Ray cluster as an `Executor`: tasks run on its nodes, and their results come back.

`ray_stream.py` hands out what is to be done, `ray_actors.py` does it there. Nothing else knows of Ray.
`ray_stream.py` states why Ray is imported inside functions.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from covid19.core.addresses import reason
from covid19.core.console import say, warn
from covid19.core.errors import InputError
from covid19.core.executor.executor import Failed, Item, Result_co, Task
from covid19.core.executor.ray_stream import Pool, stream

CONNECT_TIMEOUT_S = 5.0
MAX_WAIT_FOR_CORES_S = 5.0  # before the user is told that other work uses them
POLLS_FOR_CORES = 10
MAX_JOIN_ATTEMPTS = 3  # as a client, 30 s each
MAX_CORES_PER_ACTOR = 8  # of an actor without GPU: on more, one forward is not proportionally faster
MIN_CORE_UTILISATION = 0.9  # fraction of all cores that larger actors must still use


@contextmanager
def open_cluster(address: str, file_timeout_s: float, quiet: bool = False) -> Iterator[RayExecutor]:
    """Connect to a cluster, or start one on this machine, until the end of the block.

    Args:
        address: 'local' starts one on this machine; 'auto' joins the one that this machine belongs to, and starts one if there
            is none; 'ray://host:port' joins another as a client.
        file_timeout_s: seconds that reading one file may take.
        quiet: whether to print nothing of it.

    Raises:
        InputError: Ray is missing, or the cluster does not answer, has another version, or neither cores nor GPUs.
    """
    if any(importlib.util.find_spec(name) is None for name in ("ray", "pyarrow", "pandas")):
        raise InputError("--cluster needs Ray, which is not installed; expected it: pip install 'covid19-xray[cluster]'")
    if address.startswith("ray://"):
        _check_listening(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as later versions of Ray do; it warns otherwise
    import ray

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        where = _connect(address)
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray puts its own in their place
                signal.signal(number, handler)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        pool = plan(nodes)
        cores = sum(node.get("CPU", 0) for node in nodes)
        if not quiet:
            size = f"{len(nodes)} node{'s' * (len(nodes) != 1)}, {cores:.0f} cores, {pool.gpus * pool.actors} GPUs"
            say(f"Ray cluster {where}: {size}; {pool.actors} hold the base")
            _warn_if_busy(cores)
        yield RayExecutor(pool, int(cores), file_timeout_s)
    finally:
        ray.shutdown()


def _warn_if_busy(cores: float) -> None:
    """Tell a run that waits for others from one that hangs; one that has just ended takes a moment to give its cores back."""
    import ray

    for _ in range(POLLS_FOR_CORES):
        free = ray.available_resources().get("CPU", 0)  # type: ignore[no-untyped-call]
        if free >= cores:
            return
        time.sleep(MAX_WAIT_FOR_CORES_S / POLLS_FOR_CORES)
    warn(f"{cores - free:.0f} of the cluster's {cores:.0f} cores are busy with other work: this run waits for them")


def _check_listening(address: str) -> None:
    """Make sure that something listens: Ray itself would try for half a minute."""
    try:
        parts = urlsplit(address)
        with socket.create_connection((parts.hostname or "", parts.port or 10001), CONNECT_TIMEOUT_S):
            pass
    except (OSError, ValueError) as error:
        raise InputError(
            f"--cluster {address} does not answer ({error}); expected the client port of a Ray cluster, such as "
            "ray://head:10001: check the address, and that 'ray start --head' runs there"
        ) from error


def _connect(address: str) -> str:
    """Connect to a cluster and return the words that tell the user which it is."""
    import ray

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address != "local":
            try:
                _join(address, quiet)
                return f"at {address}" if address != "auto" else "that this machine belongs to"
            except ConnectionError:
                if address != "auto":
                    raise
        # It listens on every interface; unless RAY_AUTH_MODE says otherwise, Ray refuses who has not its token.
        ray.init(address="local", include_dashboard=False, **quiet)
        return "started on this machine"
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise InputError(
            f"--cluster {address} cannot be used ({reason(error)}); expected a Ray cluster with this version of Ray and of "
            "Python, and its token if it has one (RAY_AUTH_MODE=token, ~/.ray/auth_token): install the same on both sides"
        ) from error


def _join(address: str, options: dict[str, Any]) -> None:
    """Join a cluster; again if its head aborts: the server that it forks for a client sometimes hangs in gRPC at the fork."""
    import ray

    for left in reversed(range(MAX_JOIN_ATTEMPTS)):
        try:
            ray.init(address=address, **options)
            return
        except ConnectionAbortedError:
            if not left:
                raise


def plan(nodes: Sequence[dict[str, float]]) -> Pool:
    """The actors that hold the base: one for each GPU or, without any, one for up to eight cores of each node.

    Args:
        nodes: the resources of each live node, as Ray has them: `CPU` and `GPU`.

    Raises:
        InputError: there are neither.
    """
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if with_gpus:
        cores = min(int(node.get("CPU", 0) // node["GPU"]) for node in with_gpus)
        return Pool(int(sum(node["GPU"] for node in with_gpus)), cores, 1)
    counts = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1]
    if not counts:
        raise InputError("the Ray cluster has neither cores nor GPUs to offer; expected a node with either: add one")
    actors_by_size = {
        cores_per_actor: sum(count // cores_per_actor for count in counts)
        for cores_per_actor in {min(count, MAX_CORES_PER_ACTOR) for count in counts}
    }
    efficient = [cores for cores, actors in actors_by_size.items() if cores * actors >= MIN_CORE_UTILISATION * sum(counts)]
    cores_per_actor = max(efficient or actors_by_size)
    return Pool(actors_by_size[cores_per_actor], cores_per_actor, 0)


class RayExecutor:
    """The nodes of a connected Ray cluster; see `executor.Executor`.

    Args:
        pool: the workers that there is room for.
        cores: of all nodes.
        file_timeout_s: seconds that reading one file may take.
    """

    is_remote = True

    def __init__(self, pool: Pool, cores: int, file_timeout_s: float) -> None:
        self._pool, self._cores, self._file_timeout_s = pool, cores, file_timeout_s
        self.gpus = pool.gpus * pool.actors

    def map(
        self, task: Task[Item, Result_co], items: Sequence[Item], ordered: bool = False
    ) -> Generator[tuple[int, Result_co | Failed]]:
        """See `Executor`."""
        pool = Pool(max(self._cores, 1), min(self._cores, 1), 0) if task.needs_one_core else self._pool
        yield from stream(task, items, pool, self._file_timeout_s, ordered)
