"""Writing results safely: paths are tried before the work begins, files appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from covid19.errors import InputError


def check_outputs(paths: Iterable[Path]) -> None:
    """Make sure, before anything slow, that each path can be written.

    Args:
        paths: the files that the run will write.

    Raises:
        InputError: a path is a folder, its folder is missing or not writable, or two paths are the same.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            raise InputError(f"cannot write '{path}': it is a folder, expected a file's path; add a file name")
        if path.resolve() in seen:
            raise InputError(f"two outputs are the same file '{path}'; give each its own path")
        seen.add(path.resolve())
        try:
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise InputError(
                f"cannot write '{path}': {error.strerror} in folder '{path.parent}'; "
                "expected a folder that exists and can be written: create it or give another path"
            ) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Write beside the target, then move into place, so that a crash never leaves half a file or destroys the last one.

    Yields:
        A path in the same folder, with the same ending, to write to.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        with draft.open("rb+") as stream:
            os.fsync(stream.fileno())
        draft.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
