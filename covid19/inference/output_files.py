"""Where pictures that are made of images are written: names that do not collide, in a folder of their own."""

from __future__ import annotations

import hashlib
import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from covid19.core.addresses import as_path, is_address
from covid19.core.errors import InputError
from covid19.core.outputs import PRIVATE_FOLDER, check_outputs

DIGEST_CHARACTERS = 12  # hexadecimal
MAX_NAME_BYTES = 255  # that file systems take


def output_paths(
    folder: Path,
    flag: str,
    inputs: Sequence[Path],
    files: Sequence[str],
    ending: str,
    kept: Sequence[Path] = (),
    short: bool = False,
) -> dict[str, Path]:
    """Where each file's picture is written; the folder, made if missing, is for the user alone.

    Args:
        folder: to write in.
        flag: that named it, for messages.
        inputs: files and folders, as given.
        files: all files, from `list_inputs`.
        ending: of the pictures' names.
        kept: further files that must not be overwritten.
        short: whether names leave out the folders, see `output_names`.

    Raises:
        InputError: the folder cannot be made or is one of the inputs, or a picture would overwrite an image or one of
            the kept files.
    """
    place = folder.resolve()
    if any(place.is_relative_to(given.resolve()) for given in inputs if not is_address(given) and given.is_dir()):
        raise InputError(
            f"{flag} '{folder}' lies in a folder that is read, so that the next run would take its files for X-rays; "
            "expected a folder outside of the inputs: give another"
        )
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{flag} '{folder}' cannot be made ({error.strerror}); expected a folder, or a path for a new one: give another"
        ) from error
    paths = {file: folder / name for file, name in output_names(files, ending, short).items()}
    existing = [path for path in paths.values() if path.exists()]
    check_outputs(existing or list(paths.values())[:1], [*kept, *map(as_path, files)] if existing else ())
    return paths


def output_names(files: Iterable[str], ending: str, short: bool = False) -> dict[str, str]:
    """The name of each file's output: its path with `_` for `/`, so that equal names in two folders do not collide.

    Names that would still collide (`a/b.png` and `a_b.png`, `x.png` and `x.jpg`, also on a file system that ignores case), and
    those too long for a file's name, carry a digest of their path.

    Args:
        files: paths.
        ending: of the names.
        short: take the file's name alone, without its folders.
    """
    most = MAX_NAME_BYTES - len(ending)
    stems = {file: Path(file).stem if short else _stem(file) for file in files}
    count = Counter(map(_same_on_disk, stems.values()))
    names = {
        file: f"{stem}{ending}"
        for file, stem in stems.items()
        if count[_same_on_disk(stem)] == 1 and len(os.fsencode(stem)) <= most
    }
    taken = set(map(_same_on_disk, names.values()))
    for file in sorted(stems.keys() - names.keys()):
        start = os.fsencode(stems[file])[: most - DIGEST_CHARACTERS - 1].decode(errors="ignore")
        for attempt in itertools.count():
            digest = hashlib.sha256(f"{attempt}/{file}".encode(errors="surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
            name = f"{start}-{digest}{ending}"
            if _same_on_disk(name) not in taken:
                break
        taken.add(_same_on_disk(name))
        names[file] = name
    return names


def _stem(file: str) -> str:
    return "_".join(part for part in Path(file).with_suffix("").parts if part not in ("/", "//", "..", "."))


def _same_on_disk(name: str) -> str:
    """Equal for names that some file systems take for one: by case and by composition of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
