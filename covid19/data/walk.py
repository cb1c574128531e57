"""What lies below a folder: the images, by name, and whatever else there is that somebody could take for one.

Files and folders that operating systems and programs leave behind are passed over at any depth.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from covid19.core.addresses import is_address, list_files
from covid19.data.file_kinds import (
    DOCUMENT_EXTENSIONS,
    READ_EXTENSIONS,
    READ_KINDS,
    UNREAD_EXTENSIONS,
    describe_kind,
    is_system_name,
    kind_of_file,
)

EXTENSIONS_NAMED = 5  # of the files that are no pictures


class Skipped(NamedTuple):
    """A file or folder that was left out.

    Attributes:
        path: relative to the data set's root.
        reason: in words.
        kind: 'unreadable', 'projection', 'conflict', 'stray' (an image in no class folder), 'label' (one without a label),
            'mask', 'copy', 'kind' (a picture of a kind that is not read), 'folder' or 'other' (files that are no pictures).
        label: the class, where it is known.
    """

    path: str
    reason: str
    kind: str
    label: str = ""


class Tree(NamedTuple):
    """What lies below a folder.

    Attributes:
        images: where to open each image file, by its path relative to the folder with '/' between folders; sorted.
        folders: paths of all folders, sorted.
        skipped: pictures of kinds that are not read, and what could not be looked into.
        others: other files, by their path.
    """

    images: dict[str, Path]
    folders: list[str]
    skipped: list[Skipped]
    others: list[str]


def walk(root: Path) -> Tree:
    """List what lies below a folder or an address, whatever order its file system gives.

    A link to a folder is followed in the root itself, as a class folder may be one, and nowhere else.
    """
    tree = Tree({}, [], [], [])
    found = _remote_files(root) if is_address(root) else _local_files(root, tree)
    for name in sorted(found):
        _sort_in(name, found[name], tree)
    tree.folders.sort()
    return tree


def _remote_files(root: Path) -> dict[str, Path]:
    """The files behind an address, by their path below it; a bucket's key keeps its `//`, without which it cannot be opened."""
    found = {str(path.relative_to(root)): path for path in list_files(root)}
    return {name: path for name, path in found.items() if not any(map(is_system_name, name.split("/")))}


def _local_files(root: Path, tree: Tree) -> dict[str, Path]:
    """The files below a folder by their path; the tree is told of folders and of what cannot be looked into."""
    found: dict[str, Path] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(root / below) as listing:
                entries = [entry for entry in listing if not is_system_name(entry.name)]
        except OSError as error:
            tree.skipped.append(Skipped(below or ".", f"folder cannot be listed: {error.strerror}", "folder"))
            continue
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False) or (not below and _leads_outside(entry, root)):
                tree.folders.append(name)
                waiting.append(name)
            elif _leads_to_folder(entry):
                tree.skipped.append(Skipped(name, "a link to a folder, which is not followed: copy its images", "folder"))
            else:
                found[name] = root / name
    return found


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Whether a folder's entry is a folder or a link to one; a link that leads in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _leads_outside(entry: os.DirEntry[str], root: Path) -> bool:
    """Whether a folder's entry is a link to a folder outside of a root: one inside would be walked over twice, or for ever."""
    if not _leads_to_folder(entry):
        return False
    target, place = Path(os.path.realpath(entry.path)), Path(os.path.realpath(root))
    return not target.is_relative_to(place) and not place.is_relative_to(target)


def _sort_in(name: str, path: Path, tree: Tree) -> None:
    """Put a file among the images, the pictures that are not read, or the other files."""
    lower = name.lower()
    if lower.endswith(READ_EXTENSIONS):
        tree.images[name] = path
        return
    kind = "" if lower.endswith(DOCUMENT_EXTENSIONS) else kind_of_file(path)
    if kind in READ_KINDS:
        tree.images[name] = path
    elif kind in UNREAD_EXTENSIONS.values():
        tree.skipped.append(Skipped(name, f"not read: it is no {', '.join(READ_KINDS)}{describe_kind(kind)}", "kind"))
    elif path.is_symlink() and not path.exists():
        tree.skipped.append(Skipped(name, "a link that leads nowhere", "folder"))
    else:
        tree.others.append(name)


def count_others(names: list[str], top: Callable[[str], str]) -> list[Skipped]:
    """The files that are no pictures, counted by the folder that `top` gives for each; '' leaves a file out."""
    endings: dict[str, Counter[str]] = {}
    for name in names:
        if folder := top(name):
            endings.setdefault(folder, Counter())[Path(name).suffix.lower() or "no extension"] += 1
    return [
        Skipped(folder, f"{_number(counts.total())} ({_named(counts)})", "other") for folder, counts in sorted(endings.items())
    ]


def _number(count: int) -> str:
    return "1 file that is no picture" if count == 1 else f"{count} files that are no pictures"


def _named(counts: Counter[str]) -> str:
    most = counts.most_common(EXTENSIONS_NAMED)
    return ", ".join(f"{ending} {count}" for ending, count in most) + (", ..." if len(counts) > len(most) else "")
