"""Where a data set may lie: a folder, or an address that fsspec knows, such as `s3://bucket/xrays`. Text in, paths out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from covid19.core.errors import InputError

LOCAL = ("", "file", "local")  # of addresses that name a path of this machine
MAX_FILE_BYTES = 1 << 29  # of an image file


def as_path(text: str) -> Path:
    """A path, or for an address that does not name one a `upath.UPath`, which is used like one.

    Raises:
        InputError: the package for addresses is missing, or the address is of no kind that it knows.
    """
    if "://" not in text:
        return Path(text)
    try:
        from upath import UPath
    except ModuleNotFoundError as error:
        raise InputError(
            f"'{text}' is an address, which needs a package; expected a folder, or: pip install 'covid19-xray[cluster]'"
        ) from error
    try:
        path = UPath(text)
        path.fs  # noqa: B018  # made when first asked for, with the package that it needs
        return Path(path.path) if path.protocol in LOCAL else cast(Path, path)
    except Exception as error:
        raise InputError(
            f"'{text}' cannot be used ({reason(error)}); expected a folder, or an address that fsspec knows, such as "
            "s3://bucket/xrays: give one of these"
        ) from error


def absolute_text(path: Path) -> str:
    """A path that means the same on every machine that sees the files, or an address."""
    return str(path) if is_address(path) else str(path.absolute())


def is_address(path: Path) -> bool:
    """Whether a path lies behind an address rather than on this machine's disks."""
    return not isinstance(path, Path)


def check_reachable(path: Path) -> None:
    """Make sure that what an address names can be asked for; a path is left to whoever opens it.

    Raises:
        InputError: it cannot, with the reason that the file system gives.
    """
    if not is_address(path):
        return
    try:
        path.is_dir()
    except Exception as error:  # each file system raises errors of its own
        raise InputError(
            f"'{path}' cannot be reached ({reason(error)}); expected an address that fsspec can list: check it, the "
            "package for it, such as s3fs or gcsfs, and the credentials"
        ) from error


def list_files(folder: Path) -> list[Path]:
    """All files below a folder behind an address, in no particular order."""
    remote = cast(Any, folder)
    inside = str(remote.path).rstrip("/") + "/"
    # A bucket's key may hold `//`: joined to the folder, what begins with a slash would replace it.
    return [
        remote.with_segments(name) if name.startswith(f"{inside}/") else folder / name[len(inside) :]
        for name in map(str, remote.fs.find(remote.path))
    ]


@contextmanager
def on_disk(path: Path) -> Iterator[Path]:
    """A file as one on this machine: itself, or a copy of what an address names, which is deleted at the end.

    Raises:
        OSError: the address cannot be read.
        ValueError: the file is larger than 512 MB.
    """
    if not is_address(path):
        yield path
        return
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        raise
    except Exception as error:  # each file system raises errors of its own
        raise OSError(reason(error)) from error
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"the file has more than {MAX_FILE_BYTES / 1e6:.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(content)
        yield copy


def reason(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".strip(": ").split())[:300]
