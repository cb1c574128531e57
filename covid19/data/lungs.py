"""Where the lungs are, a box that holds them on most PA pictures or masks that somebody drew, and pictures with them hidden."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.core.errors import InputError
from covid19.data.images import PICTURE_SIDE_PX, Pixels, Read, file_digest, read_picture

Box = tuple[float, float, float, float]
Flags = NDArray[np.bool_]

LUNG_BOX: Box = (0.12, 0.15, 0.88, 0.85)  # left, top, right, bottom, as shares of the picture


class Occlusion(NamedTuple):
    """What is hidden of a picture.

    Attributes:
        box: left, top, right, bottom, as shares of the picture.
        mask: file whose bright pixels are lung, used instead of the box; None without one.
        identity: the same for covers that hide the same, for the feature cache.
    """

    box: Box
    mask: Path | None
    identity: str

    def flags(self, read: Read = read_picture) -> Flags:
        """The pixels that are hidden, bool (224, 224).

        Args:
            read: decodes the mask's file.

        Raises:
            InputError: the mask, which `usable_masks` could read, cannot be read any more.
        """
        if self.mask is None:
            return box_mask(self.box)
        try:
            return _read_mask(self.mask, read)
        except (OSError, ValueError) as error:
            raise InputError(
                f"mask '{self.mask}' cannot be read any more ({error}); expected masks that stay during a run: run again"
            ) from error


def _read_mask(path: Path, read: Read) -> Flags:
    return np.asarray(read(path).pixels[..., 0] > 127)


def why_unusable(path: Path, read: Read) -> str:
    """Why a mask does not say where the lungs are, in words, or ''."""
    try:
        share = float(_read_mask(path, read).mean())
    except (OSError, ValueError) as error:
        return f"cannot be read: {error.strerror or error}" if isinstance(error, OSError) else f"cannot be read: {error}"
    return "" if 0 < share < 1 else f"marks {'nothing' if share == 0 else 'everything'} as lung"


def usable_masks(masks: dict[str, Path], stems: set[str], read: Read) -> tuple[dict[str, Path], list[str]]:
    """The masks that say where the lungs are, of the images with some stems, and a line for each of the others."""
    reasons = {stem: why_unusable(mask, read) for stem, mask in masks.items() if stem in stems}
    lines = [f"mask '{masks[stem]}' {reason}: the box is used for its image" for stem, reason in reasons.items() if reason]
    return {stem: masks[stem] for stem, reason in reasons.items() if not reason}, lines


def box_mask(box: Box) -> Flags:
    """The pixels inside a box, bool (224, 224)."""
    left, top, right, bottom = (round(PICTURE_SIDE_PX * share) for share in box)
    flags = np.zeros((PICTURE_SIDE_PX, PICTURE_SIDE_PX), bool)
    flags[top:bottom, left:right] = True
    return flags


def hide(pixels: Pixels, flags: Flags) -> Pixels:
    """The picture with some pixels filled with the mean of the others, so that nothing of them remains."""
    hidden = pixels.copy()
    rest = pixels[~flags]
    hidden[flags] = np.rint(rest.mean(axis=0)) if len(rest) else 0
    return hidden


def share_inside(maps: NDArray[np.float32], flags: Flags) -> NDArray[np.float64]:
    """How much of each heat map lies on flagged pixels.

    Args:
        maps: not negative, (n, height, width).
        flags: bool (n, 224, 224).

    Returns:
        Shares in [0, 1], (n,); of a map that is 0 everywhere, the share of its area.
    """
    height, width = maps.shape[1:]
    areas = np.stack([cv2.resize(own.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) for own in flags])
    flat = np.where(maps.sum(axis=(1, 2), keepdims=True) > 0, maps, 1).astype(np.float64)
    return np.asarray((flat * areas).sum(axis=(1, 2)) / flat.sum(axis=(1, 2)))


def occlusion_of(path: Path, box: Box, masks: dict[str, Path]) -> Occlusion:
    """What hides the lungs of an image: its mask, else the box."""
    mask = masks.get(path.stem)
    return Occlusion(box, mask, f"mask:{file_digest(mask)}" if mask else f"box:{box}")


def find_masks(folder: Path | None) -> dict[str, Path]:
    """Masks below a folder by the stem of their image: `chest1_mask.png` is of `chest1.jpg`.

    Raises:
        InputError: the folder is none, or holds no masks.
    """
    if folder is None:
        return {}
    found = {path.stem.removesuffix("_mask"): path for path in sorted(folder.rglob("*_mask.*")) if path.is_file()}
    if not found:
        raise InputError(
            f"--lung-masks '{folder}' holds no masks; expected files named as their image and _mask, such as a_mask.png"
        )
    return found
