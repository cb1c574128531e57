"""Writing results safely: paths are tried before the work begins, files appear whole, together and for the right eyes.

Who may read what is written, unless a file of that name exists, whose permissions are kept:

- Reports (`metrics.json`, `metrics.html`, `audit.*`, `evaluation.*`) name files, which name patients, and show pictures:
  the user alone (0600).
- Models hold digests and features of the training images, and paths: the user alone. Exported models hold none of these and
  are made to be passed on: as the user's file mode mask says.
- Heat maps are patients' pictures: the user alone, in a folder of the user's alone (0700) if it is made for them.
- `plot.png` and the ImageNet weights hold nothing of a patient: as the mask says.
- A data set that `prepare` or `sample` builds is made of published images or of drawn ones: as the mask says.
- What is printed is for whoever reads the terminal or the file that the shell made for it.

A link is followed: what it leads to is replaced, and it stays. A device such as `/dev/null` or a pipe is written through.

Drafts lie in a hidden folder beside their target (`.covid19-*`, 0700). One that a SIGKILL or a power cut leaves may be deleted.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from covid19.core.addresses import is_address
from covid19.core.errors import InputError

DRAFT_PREFIX = ".covid19-"
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Make sure, before anything slow, that each output can be written and destroys no input.

    Args:
        outputs: the files that the run will write.
        inputs: the files and folders that it reads; those that do not exist and addresses elsewhere are passed over. In a
            folder, nothing may be written: the next run would read it.

    Raises:
        InputError: an output is a folder or a disk, its folder is missing or not writable, two outputs are the same,
            or one is an input, by its path or through a link, or lies in a folder of inputs.
    """
    outputs = list(outputs)
    seen: set[Path] = set()
    for path in outputs:
        _check_kind(path)
        if is_stream(path):
            continue
        if path.resolve() in seen:
            raise InputError(
                f"two outputs are the same file '{path}'; expected different ones (beside a report, a page of its name is "
                "written that ends in .html): give each its own path"
            )
        seen.add(path.resolve())
        try:
            with tempfile.TemporaryFile(dir=followed(path).parent):
                pass
        except OSError as error:
            raise InputError(
                f"cannot write '{path}': {error.strerror} in folder '{followed(path).parent}'; "
                "expected a folder that exists and can be written: create it or give another path"
            ) from error
    _check_inputs_stay(outputs, [path for path in inputs if not is_address(path)])


def _check_kind(path: Path) -> None:
    """Refuse what exists and cannot be replaced by a file, and a name that the file system does not take."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(
            f"cannot write '{str(path)[:200]}': {error.strerror}; expected a path in a folder that exists: give another"
        ) from error
    if stat.S_ISDIR(mode):
        raise InputError(f"cannot write '{path}': it is a folder, expected a file's path; add a file name")
    if not stat.S_ISREG(mode) and not is_stream(path):
        raise InputError(
            f"cannot write '{path}': it is a disk or a socket, expected a file, a pipe or a device such as /dev/null; give "
            "another path"
        )


def is_stream(path: Path) -> bool:
    """Whether a path, through any links, is a pipe or a device that takes what is written, such as `/dev/null`.

    What is there below `/dev` and `/proc` is one too: behind `/dev/stdout` the shell may have opened a file, which must stay.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    is_open_file = stat.S_ISREG(mode) and str(path.absolute()).startswith(("/dev/fd/", "/dev/std", "/proc/"))
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or is_open_file


def page_beside(report: Path) -> Path | None:
    """The HTML report beside a JSON report; none if that goes to a pipe or a device."""
    return None if is_stream(report) else report.parent / f"{report.stem}.html"


def followed(path: Path) -> Path:
    """The path that is written to: where a link leads, even if there is nothing yet."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _check_inputs_stay(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse an output that is an input, or that would lie in a folder of inputs, where the next run would read it."""
    by_path = {Path(os.path.realpath(path)): path for path in outputs}
    existing = {identity: path for path in outputs if (identity := _identity(path))}
    inodes = {inode for _, inode in existing}
    for given in inputs:
        place = Path(os.path.realpath(given))  # `resolve` raises where links lead in a circle
        files = _files_of(given, inodes) if existing else ()
        linked = (existing[own] for file in files if (own := _identity(file)) in existing)
        output = by_path.get(place) or next(linked, None)
        if output:
            raise InputError(f"cannot write '{output}': it is an input of this run; expected another file: give another path")
        if given.is_dir():
            inside = next((path for resolved, path in by_path.items() if resolved.is_relative_to(place)), None)
            if inside:
                raise InputError(
                    f"cannot write '{inside}': the run reads the folder '{given}'; expected a path outside of it: give another"
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, the same for all links to one file; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _files_of(given: Path, inodes: set[int]) -> Iterator[Path]:
    """The file itself, or of a folder those below it that may be one of some inodes; class folders may be links.

    A directory lists inodes, so that of a million images none need be asked for.
    """
    if not given.is_dir():
        yield given
        return
    try:
        with os.scandir(given) as entries:
            linked = [Path(entry.path) for entry in entries if entry.is_symlink()]
    except OSError:  # one that may not be read is reported by whoever reads it
        return
    for top in (given, *(path for path in linked if path.is_dir())):
        waiting = [str(top)]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        elif entry.is_symlink() or entry.inode() in inodes:
                            yield Path(entry.path)
            except OSError:
                continue


class _Output(NamedTuple):
    """A target, the folder with its draft, beside it unless it is a stream, and whether it is for the user alone."""

    target: Path
    folder: Path
    private: bool

    @property
    def draft(self) -> Path:
        """Where it is written first, with the target's own name."""
        return self.folder / "new" / self.target.name

    @property
    def backup(self) -> Path:
        """What stood at the target, until all outputs are in place."""
        return self.folder / "old" / self.target.name


class OutputTransaction:
    """Outputs that appear together: drafts are written, and at the end of the `with` block all are moved into place.

    If anything fails, on the way or between two moves, every target is as it was. A kill between two moves can leave some
    targets new and others old, each of them whole.

        with OutputTransaction() as outputs:
            outputs.draft(path).write_text(text)
    """

    def __init__(self) -> None:
        self._outputs: list[_Output] = []

    def draft(self, target: Path, private: bool = True) -> Path:
        """A path to write to, which does not exist yet, of the target's name; a folder may be made there too.

        Args:
            target: where it will be moved to.
            private: whether the user alone may read it; a target that exists keeps its permissions.

        Raises:
            OSError: the target's folder cannot be written.
        """
        place = None if is_stream(target) else followed(target).parent
        folder = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=place))
        output = _Output(followed(target) if place else target, folder, private)
        self._outputs.append(output)
        output.draft.parent.mkdir()
        output.backup.parent.mkdir()
        return output.draft

    def __enter__(self) -> OutputTransaction:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._move_all()
        finally:
            for output in self._outputs:
                shutil.rmtree(output.folder, ignore_errors=True)

    def _move_all(self) -> None:
        streams = [output for output in self._outputs if is_stream(output.target)]
        files = [output for output in self._outputs if output not in streams]
        for output in files:
            _finish(output)
            _keep(output)
        for output in streams:  # first, since what has gone through a pipe cannot be taken back if another output fails
            with output.draft.open("rb") as draft, output.target.open("wb") as stream:
                shutil.copyfileobj(draft, stream)
        try:
            for output in files:
                output.draft.replace(output.target)
        except BaseException:
            for output in reversed(files):
                _put_back(output)
            raise


def _finish(output: _Output) -> None:
    """Give a draft its permissions and bring it to the disk."""
    files = [output.draft, *output.draft.rglob("*")] if output.draft.is_dir() else [output.draft]
    for file in files:
        if output.private:
            file.chmod(PRIVATE_FOLDER if file.is_dir() else PRIVATE_FILE)
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    if output.target.is_file():
        output.draft.chmod(stat.S_IMODE(output.target.stat().st_mode) & 0o777)


def _keep(output: _Output) -> None:
    """Keep what stands at the target under a second name; it stays in its place as well."""
    if not os.path.lexists(output.target):
        return
    try:
        os.link(output.target, output.backup, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(output.target, output.backup, follow_symlinks=False)


def _put_back(output: _Output) -> None:
    """Undo a move, if it was done."""
    if os.path.lexists(output.draft):
        return
    if os.path.lexists(output.backup):
        output.backup.replace(output.target)
    elif output.target.is_dir():
        shutil.rmtree(output.target, ignore_errors=True)
    else:
        output.target.unlink(missing_ok=True)


@contextmanager
def atomic_write(target: Path, private: bool = False) -> Iterator[Path]:
    """A draft for one file, moved into place at the end, so that a crash never leaves half a file or destroys the last one."""
    with OutputTransaction() as outputs:
        yield outputs.draft(target, private)


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Text in JSON that is valid in every encoding, and reads back to the same names even where these are no text.

    Whatever is not ASCII is written as `\u` and four digits: a name that is not UTF-8, a sign that a terminal would obey.

    Raises:
        ValueError: a number is not finite, for which JSON has no word.
    """
    return json.dumps(value, indent=indent, allow_nan=False)
