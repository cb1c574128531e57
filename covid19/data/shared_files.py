"""Do the nodes of a cluster see the same files as this machine? Asked where a node says that a file cannot be read."""

from __future__ import annotations

from pathlib import Path

from covid19.core.errors import InputError
from covid19.core.executor.executor import Executor, Failed
from covid19.data.images import Read

FILES_TRIED = 5  # that nodes cannot read, and that are then tried here


class UnreadableError(InputError):
    """Images that could be read once but not again: everything else is in the cache, and a run may go on without them.

    Args:
        lost: why, by the image's name.
    """

    def __init__(self, lost: dict[str, str]) -> None:
        name, why = next(iter(lost.items()))
        super().__init__(
            f"{len(lost)} images could be read once but not again, such as '{name}' ({why}); expected files that stay as they "
            "are: run again"
        )
        self.lost = lost


class SharedFiles:
    """Compares what nodes cannot read with what this machine can.

    Args:
        executor: whose nodes are doubted, if it has any.
        read: decodes a file on this machine.
    """

    def __init__(self, executor: Executor, read: Read) -> None:
        self._left = FILES_TRIED if executor.is_remote else 0
        self._read = read

    def check(self, path: Path, problem: str) -> None:
        """Of the first files that a node cannot read, make sure that they cannot be read here either.

        Raises:
            InputError: one can, so that it is not the file that is wrong.
        """
        if not self._left:
            return
        self._left -= 1
        try:
            self._read(path)
        except (OSError, ValueError):
            return
        raise InputError(
            f"a node of the cluster cannot read '{path}' ({problem}), which can be read here; expected every node to see the "
            "data set: mount it at the same path on each, and install the same packages"
        )

    def reason(self, path: Path, result: str | Failed) -> str:
        """Why a file has no result: a node could not read it, which is checked here, or its work failed.

        Raises:
            InputError: see `check`.
        """
        if isinstance(result, Failed):
            return result.reason
        self.check(path, result)
        return result
