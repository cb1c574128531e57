"""Lung masks that somebody drew, or made with another program: files named as their image and _mask."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from covid19.core.console import shortened, warn
from covid19.core.errors import InputError
from covid19.data.images import Read, why_unreadable
from covid19.lungs.masks import packed

LUNG_GREY_LEVEL = 127  # brighter pixels are lung


def find_masks(folder: Path | None) -> dict[str, Path]:
    """Masks below a folder by the stem of their image: `chest1_mask.png` is of `chest1.jpg`; none without a folder.

    Raises:
        InputError: the folder does not exist or holds no masks.
    """
    if folder is None:
        return {}
    found = {path.stem.removesuffix("_mask"): path for path in sorted(folder.rglob("*_mask.*")) if path.is_file()}
    if not found:
        raise InputError(
            f"--lung-masks '{folder}' holds no masks; expected files named as their image and _mask, such as a_mask.png"
        )
    return found


def read_masks(folder: Path | None, stems: Collection[str], read: Read) -> dict[str, bytes]:
    """The masks of the images with some stems, see `masks.packed`, with a warning for each that does not show where lungs are.

    Args:
        folder: of the masks, or None.
        stems: of the images.
        read: decodes a file.
    """
    usable, problems = {}, []
    for stem, path in find_masks(folder).items():
        if stem not in stems:
            continue
        try:
            mask = np.asarray(read(path).pixels[..., 0] > LUNG_GREY_LEVEL)
        except (OSError, ValueError) as error:
            problems.append(f"mask '{path}' cannot be read: {why_unreadable(error)}")
            continue
        if 0 < mask.mean() < 1:
            usable[stem] = packed(mask)
        else:
            problems.append(f"mask '{path}' marks {'everything' if mask.any() else 'nothing'} as lung")
    for line in shortened(problems):
        warn(f"{line}: the lungs of its image are found as without it")
    return usable
