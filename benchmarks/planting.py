"""Shortcuts that benchmarks plant into phantoms: what is done to a share of each class's images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from covid19.data.images import Pixels

Change = Callable[[Pixels, np.random.Generator], Pixels]


def marker(image: Pixels, _: np.random.Generator) -> Pixels:
    """A letter of a fifteenth of the side in the upper left corner, as technicians leave."""
    side = min(image.shape)
    return cv2.putText(image.copy(), "L", (side // 40, side // 12), cv2.FONT_HERSHEY_SIMPLEX, side / 330, 200, 2)


def text_anywhere(image: Pixels, generator: np.random.Generator) -> Pixels:
    """A word at a random place in the outer sixth of the picture."""
    side = min(image.shape)
    across, down = generator.uniform(0.02, 0.7), generator.uniform(0.06, 0.15) if generator.random() < 0.5 else 0.97
    place = (round(across * image.shape[1]), round(down * image.shape[0]))
    return cv2.putText(image.copy(), "PORTABLE", place, cv2.FONT_HERSHEY_SIMPLEX, side / 600, 220, 1)


def shade(image: Pixels, _: np.random.Generator) -> Pixels:
    """A border of a twentieth of the side, 12 grey levels brighter."""
    edge = min(image.shape) // 20
    shaded = np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8)
    shaded[edge:-edge, edge:-edge] = image[edge:-edge, edge:-edge]
    return shaded


def bright_edge(image: Pixels, _: np.random.Generator) -> Pixels:
    """A white strip of a twentieth of the width at the left edge, as of a collimator's shadow in an inverted film."""
    edged = image.copy()
    edged[:, : image.shape[1] // 20] = 255
    return edged


def disc(image: Pixels, _: np.random.Generator) -> Pixels:
    """A bright disc, a twenty-fifth of the side in radius, in the middle of the mediastinum."""
    height, width = image.shape
    mask = np.zeros(image.shape, np.float32)
    cv2.circle(mask, (width // 2, round(0.4 * height)), min(height, width) // 25, 1, cv2.FILLED)
    soft = cv2.GaussianBlur(mask, (0, 0), 1)
    return np.asarray(image + soft * (235 - image.astype(np.float32)), np.uint8)


def smaller(image: Pixels, _: np.random.Generator) -> Pixels:
    """Four fifths of the resolution."""
    return np.asarray(cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA), np.uint8)


def blurred(image: Pixels, _: np.random.Generator) -> Pixels:
    """Blurred with a standard deviation of 1/170 of the side."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), min(image.shape) / 170), np.uint8)


def noisy(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Noise of 6 grey levels added."""
    return np.asarray(np.clip(image + generator.normal(0, 6, image.shape), 0, 255), np.uint8)


def contrasted(image: Pixels, _: np.random.Generator) -> Pixels:
    """Contrast raised by a quarter about the middle grey."""
    return np.asarray(np.clip(1.25 * (image.astype(np.float32) - 115) + 115, 0, 255), np.uint8)


def small_thorax(image: Pixels, _: np.random.Generator) -> Pixels:
    """The body at 85 % of its size, as that of a younger patient in the same frame."""
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 0, 0.85)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def same(image: Pixels, _: np.random.Generator) -> Pixels:
    """Nothing planted."""
    return image


class Shortcut(NamedTuple):
    """What is planted.

    Attributes:
        change: done to the marked images.
        jpeg_quality: of the marked and of the other images; None writes all as PNG.
        shares: of the first and of the second class that is marked.
    """

    change: Change
    jpeg_quality: tuple[int, int] | None = None
    shares: tuple[float, float] = (0.9, 0.1)


PLANTED = {
    "nothing": Shortcut(same),
    "marker in a corner": Shortcut(marker),
    "marker in a corner, 70 % and 30 %": Shortcut(marker, None, (0.7, 0.3)),
    "text at a random place": Shortcut(text_anywhere),
    "shade of the border": Shortcut(shade),
    "bright edge": Shortcut(bright_edge),
    "disc in the mediastinum": Shortcut(disc),
    "resolution, 0.8 of the side": Shortcut(smaller),
    "JPEG quality, 75 and 90": Shortcut(same, (75, 90)),
    "blur": Shortcut(blurred),
    "noise": Shortcut(noisy),
    "contrast": Shortcut(contrasted),
    "thorax at 85 % of its size": Shortcut(small_thorax),
}


def plant(source: Path, target: Path, what: str, seed: int, shares: tuple[float, float] | None = None) -> None:
    """Copy a data set with a shortcut in a share of each class.

    Args:
        source: data set of grey PNG files, with two classes.
        target: folder to make.
        what: a name in `PLANTED`.
        seed: of the choice of images and of what is random in the change.
        shares: of the first and of the second class; None takes the shortcut's own.
    """
    shortcut = PLANTED[what]
    for number, folder in enumerate(sorted(path for path in source.iterdir() if path.is_dir())):
        files, generator = sorted(folder.iterdir()), np.random.default_rng((seed, number))
        (target / folder.name).mkdir(parents=True)
        chosen = generator.permutation(len(files)) < round(len(files) * (shares or shortcut.shares)[number])
        for path, is_chosen in zip(files, chosen, strict=True):
            image = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
            quality = shortcut.jpeg_quality
            copy = target / folder.name / f"{path.stem}{'.jpg' if quality else '.png'}"
            settings = [cv2.IMWRITE_JPEG_QUALITY, quality[0] if is_chosen else quality[1]] if quality else []
            cv2.imwrite(str(copy), shortcut.change(image, generator) if is_chosen else image, settings)
    if shortcut.jpeg_quality:
        table = (source / "metadata.csv").read_text()
        (target / "metadata.csv").write_text(table.replace(".png", ""))
    else:
        shutil.copy(source / "metadata.csv", target / "metadata.csv")
