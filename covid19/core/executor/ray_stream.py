"""Items out to workers on a Ray cluster, through Ray Data, and what they made back: batches, back-pressure, and no item lost.

Ray Data runs in an actor on the head node rather than here, so that a client from outside (`ray://`) can use it too.

Ray is imported where it is used: it is an extra, and takes 230 ms (`ray`), 150 ms (`pyarrow`) and 1040 ms (`ray.data`) by
`python3 -X importtime` on two shared cores.
"""

from __future__ import annotations

import logging
import pickle
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from covid19 import __version__
from covid19.core.addresses import reason
from covid19.core.console import warn
from covid19.core.errors import InputError
from covid19.core.executor.executor import Failed, Task
from covid19.core.executor.ray_actors import RayWorker, SharedArguments

MIN_BLOCKS_PER_ACTOR = 16  # so that all actors end at about the same time
ITEMS_PER_MESSAGE = 32
MAX_ITEMS_PER_BLOCK = 8 * ITEMS_PER_MESSAGE  # what is lost when a node dies
MAX_PENDING_REPLIES = 8  # requested before they are needed
ITEMS_PER_FEED = 10_000
WORKER_DIED = "each worker of the cluster that read it died"
REMEDY = (
    f"expected covid19 {__version__} and its packages on every node, and 2 GB of memory for each actor: install them there, "
    "and see Ray's logs on the nodes"
)
# Items of a block in each round, and how often a block is tried again whose worker dies. What did not come back goes out again
# in ever smaller blocks, until an item that ends its worker is alone. Twice alone, since a node may die just then.
ROUNDS = ((MAX_ITEMS_PER_BLOCK, 3), (8, 1), (1, 1), (1, 1))


class Pool(NamedTuple):
    """Which actors a cluster has room for: how many, and the cores and GPUs of each."""

    actors: int
    cores: float
    gpus: int


class Round(NamedTuple):
    """What a `Streamer` is to run.

    Attributes:
        pool: how many workers of which size.
        blocks_at_once: that a worker is given at the same time.
        ordered: whether to keep the items' order.
        retries: of a block whose worker dies.
        version: of this program where the run began.
    """

    pool: Pool
    blocks_at_once: int
    ordered: bool
    retries: int
    version: str


def stream(
    task: Task[Any, Any], items: Sequence[Any], pool: Pool, file_timeout_s: float, ordered: bool = False
) -> Generator[tuple[int, Any]]:
    """The result of each item by its position; `Failed` of one that no worker could do.

    Args:
        task: what the workers do.
        items: anything that can be pickled.
        pool: of the workers.
        file_timeout_s: seconds that reading one file may take.
        ordered: whether to keep the items' order; those that had to be done again come last.

    Raises:
        InputError: the cluster cannot do it at all.
    """
    import ray

    # Held here: a worker that is started anew asks for it again. As bytes, so that nobody on the way makes objects of them: the
    # head's server for clients would import Keras for that.
    shared = ray.put(pickle.dumps(SharedArguments(task, file_timeout_s)))
    count = len(items)
    left, good, bad = np.arange(count), 0, 0
    for number, (max_items, retries) in enumerate(ROUNDS):
        if not len(left):
            return
        if number:
            warn(f"workers of the cluster were lost: {len(left)} of {count} items are done again")
        rows = min(max_items, max(1, len(left) // (pool.actors * MIN_BLOCKS_PER_ACTOR * ITEMS_PER_MESSAGE)) * ITEMS_PER_MESSAGE)
        wanted = pool._replace(actors=min(pool.actors, -(-len(left) // rows)))
        done = np.zeros(count, bool)
        for position, result in _round(
            [shared], left, items, rows, Round(wanted, task.blocks_at_once, ordered, retries, __version__)
        ):
            done[position] = True
            good, bad = good + (not isinstance(result, Failed)), bad + isinstance(result, Failed)
            if bad == MAX_ITEMS_PER_BLOCK and not good:
                raise InputError(f"the cluster fails at everything ({result.reason}); {REMEDY}")
            yield position, result
        left = left[~done[left]]
    if len(left) == count > MAX_ITEMS_PER_BLOCK:
        raise InputError(f"every worker of the cluster died; {REMEDY}")
    yield from ((int(position), Failed(WORKER_DIED)) for position in left)


def _round(
    shared: list[Any], left: Any, items: Sequence[Any], rows: int, wanted: Round
) -> Iterator[tuple[int, Any]]:  # fmt: skip
    """Send the items that are left, once, and yield what comes back."""
    import ray

    # On the head, whose end is the cluster's; without a core of its own, since it only hands on.
    streamer: Any = ray.remote(Streamer).options(num_cpus=0, resources={"node:__internal_head__": 0.001}).remote()
    try:
        for start in range(0, len(left), ITEMS_PER_FEED):
            sent = [(int(position), pickle.dumps(items[int(position)])) for position in left[start : start + ITEMS_PER_FEED]]
            ray.get(streamer.feed.remote(sent, rows))
        ray.get(streamer.start.remote(wanted, shared))
        waiting = deque(streamer.next.remote() for _ in range(MAX_PENDING_REPLIES))
        while block := ray.get(waiting.popleft()):
            waiting.append(streamer.next.remote())
            yield from ((position, pickle.loads(result)) for position, result in block)  # of this program's own workers
    except (ray.exceptions.RayError, ModuleNotFoundError) as error:
        raise InputError(f"the cluster failed ({reason(getattr(error, 'cause', None) or error)}); {REMEDY}") from error
    finally:
        if ray.is_initialized():
            ray.kill(streamer)


class Streamer:
    """An actor on the head node that runs one round through Ray Data; it takes items in blocks and gives back blocks."""

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._done: Iterator[tuple[int, bytes]] = iter(())

    def feed(self, items: Sequence[tuple[int, bytes]], rows: int) -> None:
        """Take items, by position and pickled, into blocks of some rows."""
        import pyarrow

        for start in range(0, len(items), rows):
            positions, pickled = zip(*items[start : start + rows], strict=True)
            self._blocks.append(pyarrow.table({"position": positions, "item": pyarrow.array(pickled, pyarrow.binary())}))

    def start(self, wanted: Round, shared: list[Any]) -> None:
        """Begin.

        Args:
            wanted: what to run.
            shared: a reference to the arguments of the workers, in a list so that Ray passes it on as it is.

        Raises:
            RuntimeError: this program has another version here.
        """
        import ray.data

        if wanted.version != __version__:
            raise RuntimeError(f"covid19 {__version__} on the cluster, {wanted.version} where the run began")
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.max_errored_blocks = -1  # what is lost is done again in the next round
        context.execution_options.preserve_order = wanted.ordered
        actors, cores, gpus = wanted.pool
        done = ray.data.from_arrow(self._blocks).map_batches(
            RayWorker,
            fn_constructor_args=(shared,),
            batch_size=None,  # a block
            batch_format="pyarrow",
            zero_copy_batch=True,
            num_cpus=cores,
            num_gpus=gpus or None,
            max_restarts=-1,
            max_task_retries=wanted.retries,
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=actors, initial_size=actors,
                # One block is decoded while the base is busy with another.
                max_concurrent_calls_per_actor=wanted.blocks_at_once, enable_true_multi_threading=wanted.blocks_at_once > 1,
            ),
        )  # fmt: skip
        self._blocks = []
        blocks = done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        self._done = (row for block in blocks for row in _rows(block))

    def next(self) -> list[tuple[int, bytes]]:
        """The next that are done: positions and what was made of each, pickled; none at the end.

        As many as Ray sends in a message: of more than 100 KB it makes shared memory, which grows with what was ever received.
        """
        return list(islice(self._done, ITEMS_PER_MESSAGE))


def _rows(block: Any) -> Iterator[tuple[int, bytes]]:
    """Of an Arrow table, each row's position and what was made of it."""
    return zip(block["position"].to_pylist(), block["result"].to_pylist(), strict=True)
