"""A Ray cluster as an `Engine`: files are read and the base is run on its nodes, and what they made comes back.

`ray_stream.py` hands out what is to be done, `ray_actors.py` does it there. Nothing else knows of Ray; features flow into the
feature cache of whoever began the run.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Container, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from covid19.core.addresses import as_path, is_address, reason
from covid19.core.console import say, warn
from covid19.core.errors import InputError
from covid19.core.executor.machine import BATCH, Forward
from covid19.core.executor.processes import DecodingPool, RunTask, run_here
from covid19.core.executor.ray_actors import Asker, Chooser, Extractor, Failed, Looker, Worker
from covid19.core.executor.ray_stream import Pool, stream
from covid19.core.settings import FILE_TIMEOUT_S
from covid19.data.images import Picture, read_picture
from covid19.data.scan import FileScan
from covid19.features.augmentation import View
from covid19.features.cache import WIDTH
from covid19.inference.writers import Answer

if TYPE_CHECKING:
    import keras

PATIENCE = 5.0  # seconds until a cluster that does not answer is given up, or cores that are not free are spoken of
PATIENCE_STEPS = 10
ATTEMPTS = 3  # to join a cluster as a client, 30 s each
MOST_CORES = 8  # of an actor without GPU: on more, one forward is not proportionally faster
WORTH = 0.9  # of all cores that must be used for an actor to get more of them
DOUBTED = 5  # files that a node cannot read, which are tried here


@contextmanager
def open_cluster(address: str, decoder: DecodingPool, quiet: bool = False) -> Iterator[Cluster]:
    """Connect to a cluster, or start one on this machine, until the end of the block.

    Args:
        address: 'local' starts one on this machine; 'auto' joins the one that this machine belongs to, and starts one if there
            is none; 'ray://host:port' joins another as a client.
        decoder: decodes files on this machine; on the cluster its time limit holds too.
        quiet: whether to print nothing of it.

    Raises:
        InputError: Ray is missing, or the cluster does not answer, has another version, or neither cores nor GPUs.
    """
    if any(importlib.util.find_spec(name) is None for name in ("ray", "pyarrow", "pandas")):
        raise InputError("--cluster needs Ray, which is not installed; expected it: pip install 'covid19[cluster]'")
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
            _say_if_busy(cores)
        yield Cluster(pool, int(cores), decoder.timeout_s, decoder.run)
    finally:
        ray.shutdown()


def _say_if_busy(cores: float) -> None:
    """Tell a run that waits for others from one that hangs; one that has just ended takes a moment to give its cores back."""
    import ray

    for _ in range(PATIENCE_STEPS):
        free = ray.available_resources().get("CPU", 0)  # type: ignore[no-untyped-call]
        if free >= cores:
            return
        time.sleep(PATIENCE / PATIENCE_STEPS)
    warn(f"{cores - free:.0f} of the cluster's {cores:.0f} cores are busy with other work: this run waits for them")


def _check_listening(address: str) -> None:
    """Make sure that something listens: Ray itself would try for half a minute."""
    try:
        parts = urlsplit(address)
        with socket.create_connection((parts.hostname or "", parts.port or 10001), PATIENCE):
            pass
    except (OSError, ValueError) as error:
        raise InputError(
            f"--cluster {address} does not answer ({error}); expected the client port of a Ray cluster, such as "
            "ray://head:10001: check the address, and that 'ray start --head' runs there"
        ) from error


def _connect(address: str) -> str:
    """Connect to a cluster and say in words which it is."""
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

    for left in reversed(range(ATTEMPTS)):
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
    used = {share: sum(count // share for count in counts) for share in {min(count, MOST_CORES) for count in counts}}
    enough = [share for share, actors in used.items() if share * actors >= WORTH * sum(counts)]
    share = max(enough or used)
    return Pool(used[share], share, 0)


class Cluster:
    """The nodes of a connected Ray cluster; see `machine.Engine`.

    Args:
        pool: the actors that there is room for.
        cores: of all nodes.
        file_timeout_s: seconds that reading one file may take.
        run: runs a task that decodes a file on this machine.
    """

    extractor: type[Worker] = Extractor

    def __init__(self, pool: Pool, cores: int, file_timeout_s: float = FILE_TIMEOUT_S, run: RunTask = run_here) -> None:
        self.pool = pool
        self.cores = cores
        self.file_timeout_s = file_timeout_s
        self._run = run
        self._doubted = 0
        self._precisions: dict[Any, str] = {}

    def read(self, path: Path) -> Picture:
        """See `Engine`."""
        return read_picture(path, self._run)

    def look(self, paths: Sequence[Path], known: Container[bytes]) -> Iterator[tuple[int, FileScan]]:
        """See `Engine`: on every core of the cluster, since decoding a file uses one."""
        everywhere = Pool(max(self.cores, 1), min(self.cores, 1), 0)
        arguments = [known, self.file_timeout_s]
        with closing(stream(Looker, arguments, len(paths), lambda i: _anywhere(paths[i]), everywhere)) as said:
            for position, look in said:
                if isinstance(look, Failed):
                    yield position, FileScan("", None, None, {}, look.why)
                else:
                    self._check_shared(paths[position], look.problem)
                    yield position, look

    def _check_shared(self, path: Path, problem: str) -> None:
        """Of the first files that a node cannot read, make sure that they cannot be read here either.

        Raises:
            InputError: one can, so that it is not the file that is wrong.
        """
        if not problem or self._doubted == DOUBTED:
            return
        self._doubted += 1
        try:
            self.read(path)
        except (OSError, ValueError):
            return
        raise InputError(
            f"a node of the cluster cannot read '{path}' ({problem}), which can be read here; expected every node to see the "
            "data set: mount it at the same path on each, and install the same packages"
        )

    def precision(self, base: keras.Model, views: Sequence[View]) -> str:
        """See `Engine`: on GPUs mixed, if that changes the features of a few of the images by at most 1 %."""
        if not self.pool.gpus or not views:
            return "float32"
        if base not in self._precisions:
            few = [_item(view) for view in views[:: max(1, len(views) // BATCH)][:BATCH]]
            ((_, chosen),) = stream(Chooser, _arguments(base), 1, lambda _: few, self.pool._replace(actors=1))
            if isinstance(chosen, Failed):
                warn(f"mixed precision could not be tried ({chosen.why}): the base computes in float32")
            self._precisions[base] = "float32" if isinstance(chosen, Failed) else chosen
        return self._precisions[base]

    def see(self, base: keras.Model, views: Sequence[View], precision: str) -> Generator[Forward]:
        """See `Engine`."""
        found: dict[int, Any] = {}
        arguments = [*_arguments(base), precision, self.file_timeout_s]
        with closing(stream(self.extractor, arguments, len(views), lambda i: _item(views[i]), self.pool)) as answers:
            for position, said in answers:
                if isinstance(said, str):
                    self._check_shared(views[position].record.path, said)
                found[position] = said.why if isinstance(said, Failed) else said
                if len(found) == BATCH:
                    yield _forward(found)
                    found = {}
        yield _forward(found)

    def ask(self, model: Path, files: Sequence[str], overlays: bool) -> Iterator[tuple[Answer, bytes]]:
        """Ask a saved model about files, in their order, but last what had to be tried again; see `predictor.answers_of`."""
        paths = [_anywhere(as_path(name)) for name in files]
        arguments = [model.read_bytes(), overlays, self.file_timeout_s]
        for position, said in stream(Asker, arguments, len(files), paths.__getitem__, self.pool, ordered=True):
            answer, picture = (Answer("", "", {}, None, said.why), b"") if isinstance(said, Failed) else said
            yield answer._replace(file=files[position]), picture


def _anywhere(path: Path) -> str:
    """A path that means the same on every node."""
    return str(path) if is_address(path) else str(path.absolute())


def _item(view: View) -> tuple[str, float, Any]:
    path, angle, cover = view.shot
    return _anywhere(path), angle, cover and cover._replace(mask=cover.mask and cover.mask.absolute())


def _arguments(base: keras.Model) -> list[Any]:
    from covid19.features.backbone.vgg16 import base_arrays, is_trained

    return [base_arrays(base), is_trained(base)]


def _forward(found: dict[int, Any]) -> Forward:
    """Features or, as text, why there are none, by position."""
    good = {position: said for position, said in found.items() if not isinstance(said, str)}
    features = np.stack(list(good.values())) if good else np.empty((0, WIDTH), np.float32)
    return Forward(list(good), features, {position: said for position, said in found.items() if isinstance(said, str)})
