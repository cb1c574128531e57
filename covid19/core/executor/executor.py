"""Where work runs: an `Executor` is handed a task and items, and knows nothing of what they are.

`local.LocalExecutor` runs a task in this process, `ray_cluster.RayExecutor` on the nodes of a Ray cluster. Both take the same
tasks and give back the same results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, overload

from covid19.core.executor.processes import RunTask

Item = TypeVar("Item")
Result_co = TypeVar("Result_co", covariant=True)


class Failed(NamedTuple):
    """The result of an item that could not be done, and why."""

    reason: str


class Resources(NamedTuple):
    """What a task may use where it runs.

    Attributes:
        run: runs a function on a file in a process that can be ended, see `processes.LimitedProcesses`.
        cores: how many processor cores the task has for itself.
    """

    run: RunTask
    cores: int


class Task(ABC, Generic[Item, Result_co]):
    """Work on items. A task is pickled and sent to where it runs, set up there once, and then given items, block by block."""

    needs_one_core = False
    """Whether more than one core is of no use to it, so that as many as there are cores may run side by side."""
    blocks_at_once = 1
    """How many blocks a worker may be given at the same time, in threads."""
    preload: tuple[str, ...] = ()
    """Modules that the processes which read files for it need."""

    @abstractmethod
    def set_up(self, resources: Resources) -> None:
        """Prepare for work, where it will be done."""

    @abstractmethod
    def run(self, items: Sequence[Item]) -> Iterator[tuple[int, Result_co]]:
        """Do the work: the result of each item by its position, in any order, each as soon as it is known."""


class Executor(Protocol):
    """A place where tasks run."""

    gpus: int
    """How many GPUs tasks can use; 0 if they run on processor cores, or on what Keras finds in this process."""
    is_remote: bool
    """Whether tasks may run on other machines, which may not see this machine's files."""

    def map(
        self, task: Task[Item, Result_co], items: Sequence[Item], ordered: bool = False
    ) -> Generator[tuple[int, Result_co | Failed]]:
        """Run a task on all items.

        Args:
            task: what to do.
            items: what to do it with; they can be pickled.
            ordered: whether to keep the items' order; those that had to be done again still come last.

        Yields:
            Each item's position, once, and its result; `Failed` where nobody could do it.

        Raises:
            InputError: nothing can be done at all.
        """


class LazySequence(Sequence[Item]):
    """A sequence whose items are made when they are asked for: a million of them would take more memory than their results.

    Args:
        make: an item from its position.
        count: of the items.
    """

    def __init__(self, make: Callable[[int], Item], count: int) -> None:
        self._make, self._count = make, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._make(position) for position in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(f"received position {index}, expected 0 to {self._count - 1}")
        return self._make(index)
