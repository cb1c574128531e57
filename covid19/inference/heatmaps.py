"""Grad-CAM heat maps as pictures: their colours, the pictures that carry them, and where these are written."""

from __future__ import annotations

import hashlib
import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from covid19.core.addresses import as_path, is_address
from covid19.core.arrays import Float32Array
from covid19.core.errors import InputError
from covid19.core.outputs import PRIVATE_FOLDER, check_outputs
from covid19.data.images import PICTURE_SIDE_PX, Pixels

OVERLAY_SIDE_PX = 448
OVERLAY_OPACITY = 0.4  # where the heat map is strongest
OVERLAY_ENDING = "_heatmap.png"
DIGEST_CHARACTERS = 12  # hexadecimal
MAX_STEM_BYTES = 255 - len(OVERLAY_ENDING)  # file systems take names of 255 bytes


def overlay(pixels: Pixels, heat: Float32Array) -> Pixels:
    """A picture, uint8 RGB (224, 224, 3), enlarged, with a heat map (7, 7) laid over: uint8 RGB (448, 448, 3)."""
    colours, strength = _colour(heat, OVERLAY_SIDE_PX)
    opacity = OVERLAY_OPACITY * strength[..., None]
    large = cv2.resize(pixels, (OVERLAY_SIDE_PX, OVERLAY_SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray((1 - opacity) * large + opacity * colours, np.uint8)


def transparent_heat_map(heat: Float32Array) -> Pixels:
    """A heat map (7, 7) as uint8 RGBA (224, 224, 4); the more a cell speaks for the class, the more opaque it is."""
    colours, strength = _colour(heat, PICTURE_SIDE_PX)
    return np.dstack([colours, np.asarray(255 * strength, np.uint8)])


def _colour(heat: Float32Array, side: int) -> tuple[Pixels, Float32Array]:
    """A heat map (7, 7) enlarged to a side in pixels: its colours, uint8 RGB, and its strength, float32 from 0 to 1."""
    relative = heat / max(float(heat.max()), 1e-9)
    strength = np.clip(cv2.resize(relative, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    colours = cv2.applyColorMap((255 * strength).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.asarray(colours, np.uint8), np.asarray(strength, np.float32)


def overlay_paths(folder: Path, inputs: Sequence[Path], files: Sequence[str], model: Path) -> dict[str, Path]:
    """Where each file's heat map is written; the folder, made if missing, is for the user alone.

    Raises:
        InputError: the folder cannot be made or written or is one of the inputs, or a heat map would overwrite an image or the
            model.
    """
    place = folder.resolve()
    if any(place.is_relative_to(given.resolve()) for given in inputs if not is_address(given) and given.is_dir()):
        raise InputError(
            f"--heatmaps '{folder}' lies in a folder that is read, so that the next run would take the heat maps for X-rays; "
            "expected a folder outside of the inputs: give another"
        )
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--heatmaps '{folder}' cannot be made ({error.strerror}); expected a folder, or a path for a new one: give another"
        ) from error
    paths = {file: folder / name for file, name in overlay_names(files).items()}
    existing = [path for path in paths.values() if path.exists()]
    check_outputs(existing or list(paths.values())[:1], [model, *map(as_path, files)] if existing else ())
    return paths


def overlay_names(files: Iterable[str]) -> dict[str, str]:
    """The name of each file's heat map: its path with `_` for `/`, so that equal names in two folders do not collide.

    Names that would still collide (`a/b.png` and `a_b.png`, `x.png` and `x.jpg`, also on a file system that ignores case), and
    those too long for a file's name, carry a digest of their path.
    """
    stems = {file: _stem(file) for file in files}
    count = Counter(map(_same_on_disk, stems.values()))
    names = {
        file: f"{stem}{OVERLAY_ENDING}"
        for file, stem in stems.items()
        if count[_same_on_disk(stem)] == 1 and len(os.fsencode(stem)) <= MAX_STEM_BYTES
    }
    taken = set(map(_same_on_disk, names.values()))
    for file in sorted(stems.keys() - names.keys()):
        start = os.fsencode(stems[file])[: MAX_STEM_BYTES - DIGEST_CHARACTERS - 1].decode(errors="ignore")
        for attempt in itertools.count():
            digest = hashlib.sha256(f"{attempt}/{file}".encode(errors="surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
            name = f"{start}-{digest}{OVERLAY_ENDING}"
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
