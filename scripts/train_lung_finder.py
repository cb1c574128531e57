"""Train the lung finder: `python3 scripts/train_lung_finder.py COLLECTION [--steps N] [--seed N] [-o FILE]`.

COLLECTION is a checkout of ieee8023/covid-chestxray-dataset with `metadata.csv`, `images/` and `annotations/`. The network
learns from the collection's lung masks (`annotations/lungVAE-masks`, made by another network), from phantoms, whose lungs
are known exactly, and from pictures without lungs. Patients are held out: every patient that has a hand-drawn mask, and
others up to `HELD_OUT_FRACTION` of the masks; `benchmarks/lung_finder.py` measures on them. Neither the hand-drawn masks
nor the boxes are trained on.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid19.core.keras_startup import import_keras
from covid19.data.build.phantoms import draw_phantom_with_lungs

import_keras()

import keras  # noqa: E402  after the start-up that chooses the backend and quietens it

from covid19.data.images import read_picture  # noqa: E402
from covid19.lungs.finder import found_lungs  # noqa: E402
from covid19.lungs.network import (  # noqa: E402
    INPUT_SIDE_PX,
    WEIGHTS_FILE,
    build_network,
    fold_batch_normalisation,
    load_network,
    prepare_pictures,
    save_weights,
    stretch,
)

HELD_OUT_FRACTION = 0.3
WORKING_SIDE_PX = 256  # pictures are augmented at this side, then made as small as the network takes them
PHANTOMS = 200
BATCH = 16
LEARNING_RATE = 2e-3
AVERAGING = 0.998  # of the moving average of the weights, which are the ones that are kept
# Masks that are wrong, found by looking at all of them: the mask runs over a black bar beside the film, or leaves the lung.
POOR_MASKS = {
    "1.CXRCTThoraximagesofCOVID-19fromSingapore.pdf-003-fig4b",
    "16660_3_1",
    "16654_4_1",
    "all14238-fig-0002-m-f",
    "covid-19-rapidly-progressive-acute-respiratory-distress-syndrome-ards-day-1",
}
NOT_FRONTAL = {"L", "Axial", "Coronal"}
MAX_LUNG_IN_CORNER = 0.03  # fraction of the corner of a film that serves as a picture without lungs
LETTERS = "RLABPORTBLEMICT0123456789-:. "

Grey = NDArray[np.float32]


class Example(NamedTuple):
    """A grey picture and the fraction of lung in each pixel, float32 (256, 256) in [0, 1]."""

    picture: Grey
    mask: Grey


class Film(NamedTuple):
    """An image of the collection: its file, its lung mask (None without one), its patient and its view."""

    image: Path
    mask: Path | None
    patient: str
    view: str


def read_films(collection: Path) -> tuple[list[Film], list[Film]]:
    """The films to train on, without the masks that are poor, and those of held-out patients."""
    masks = masks_by_stem(collection / "annotations/lungVAE-masks")
    drawn = masks_by_stem(collection / "annotations/hand-drawn")
    with (collection / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["filename"]: row for row in csv.DictReader(file)}
    films = [
        Film(path, fitting_mask(path, masks), rows[path.name]["patientid"], rows[path.name]["view"])
        for path in sorted((collection / "images").iterdir())
        if path.name in rows
    ]
    held_out = {film.patient for film in films if film.image.stem in drawn}
    with_mask = [film for film in films if film.image.stem in masks]
    for patient in sorted({film.patient for film in with_mask} - held_out, key=_draw):
        if sum(film.patient in held_out for film in with_mask) >= HELD_OUT_FRACTION * len(with_mask):
            break
        held_out.add(patient)
    others = sorted({film.patient for film in films} - {film.patient for film in with_mask}, key=_draw)
    held_out |= set(others[: round(HELD_OUT_FRACTION * len(others))])
    train = [
        film._replace(mask=None) if film.image.stem in POOR_MASKS else film for film in films if film.patient not in held_out
    ]
    return train, [film for film in films if film.patient in held_out]


def masks_by_stem(folder: Path) -> dict[str, Path]:
    """The masks of a folder by the stem of their image: `a_mask.png` is of `a.jpg`."""
    return {path.name.removesuffix("_mask.png"): path for path in folder.glob("*_mask.png")}


def fitting_mask(image: Path, masks: dict[str, Path]) -> Path | None:
    """The mask of an image; None without one, or if it has another size: then it was made of another crop of the film."""
    mask = masks.get(image.stem)
    if mask is None:
        return None
    with Image.open(image) as picture, Image.open(mask) as drawn:
        return mask if picture.size == drawn.size else None


def _draw(patient: str) -> bytes:
    """A patient's place in an order that has nothing to do with its name."""
    return hashlib.sha256(f"held out {patient}".encode()).digest()


def read_example(film: Film) -> Example:
    """A film and its mask; an empty one where it has none: a lateral view or a slice has no frontal lungs to find."""
    picture = _small(cv2.imread(str(film.image), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255)
    if film.mask is None:
        return Example(picture, np.zeros_like(picture))
    return Example(picture, _small((cv2.imread(str(film.mask), cv2.IMREAD_GRAYSCALE) > 127).astype(np.float32)))


def _small(picture: Grey) -> Grey:
    return np.asarray(cv2.resize(picture, (WORKING_SIDE_PX, WORKING_SIDE_PX), interpolation=cv2.INTER_AREA), np.float32)


def label_films(films: list[Film], teacher: Path) -> list[Example]:
    """Frontal films without a mask, with the one that an earlier network gives them; others are left out."""
    network, examples = load_network(teacher), []
    for film in films:
        pixels = read_picture(film.image).pixels
        lungs = found_lungs(np.asarray(network.predict_on_batch(prepare_pictures(pixels[None])))[0, ..., 0])
        if lungs.found:
            grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
            examples.append(Example(_small(grey), _small(lungs.mask.astype(np.float32))))
    return examples


def read_phantom(number: int) -> Example:
    """A phantom and its exact lungs."""
    patient, exposure = np.random.default_rng((1, number)), np.random.default_rng((2, number))
    pixels, lungs = draw_phantom_with_lungs(patient, exposure, WORKING_SIDE_PX, sick=number % 2 == 0)
    return Example(_small(pixels.astype(np.float32) / 255), _small(lungs.astype(np.float32)))


class Augmenter:
    """Makes examples look like other films.

    Args:
        generator: of everything that is drawn.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._random = generator

    def __call__(self, example: Example) -> Example:
        """A changed copy, at the size that the network takes."""
        picture, mask = example.picture.copy(), example.mask
        if mask.any() and self._chance(0.5):
            picture = self._consolidate(picture, mask)
        if self._chance(0.35):
            picture = self._device(picture)
        picture, mask = self._move(picture, mask)
        picture = self._expose(picture)
        if self._chance(0.25):
            picture, mask = self._frame(picture, mask)
        if self._chance(0.4):
            picture = self._write(picture)
        if self._chance(0.04):  # films stored as MONOCHROME1 without saying so
            picture = 1 - picture
        side = (INPUT_SIDE_PX, INPUT_SIDE_PX)
        picture = stretch(cv2.resize(picture, side, interpolation=cv2.INTER_AREA))
        return Example(picture, np.asarray(cv2.resize(mask, side, interpolation=cv2.INTER_AREA), np.float32))

    def _chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)

    def _uniform(self, low: float, high: float) -> float:
        return float(self._random.uniform(low, high))

    def _move(self, picture: Grey, mask: Grey) -> tuple[Grey, Grey]:
        """Rotate, scale, shear, shift, flip and bend both alike."""
        centre = WORKING_SIDE_PX / 2
        angle = self._random.normal(0, 7) if self._chance(0.9) else self._uniform(-35, 35)
        matrix = cv2.getRotationMatrix2D((centre, centre), angle, float(np.exp(self._random.normal(-0.05, 0.17))))
        stretch_x, stretch_y = np.exp(self._random.normal(0, 0.1, 2))
        shear_x, shear_y = self._random.normal(0, 0.05, 2)
        shape = np.array([[stretch_x, shear_x, 0], [shear_y, stretch_y, 0], [0, 0, 1]])
        move = np.array([[1, 0, centre], [0, 1, centre], [0, 0, 1]])
        shift = np.array([[1, 0, self._random.normal(0, 14)], [0, 1, self._random.normal(0, 14)], [0, 0, 1]])
        whole = shift @ np.vstack([matrix, [0, 0, 1]]) @ move @ shape @ np.linalg.inv(move)
        if self._chance(0.5):
            whole = whole @ np.array([[-1, 0, WORKING_SIDE_PX - 1], [0, 1, 0], [0, 0, 1]])
        rows, columns = np.mgrid[:WORKING_SIDE_PX, :WORKING_SIDE_PX].astype(np.float32)
        back = np.linalg.inv(whole).astype(np.float32)
        bend = [
            cv2.GaussianBlur(self._random.standard_normal(picture.shape).astype(np.float32), (0, 0), 24) * self._uniform(0, 160)
            for _ in range(2)
        ]
        across = back[0, 0] * columns + back[0, 1] * rows + back[0, 2] + bend[0]
        down = back[1, 0] * columns + back[1, 1] * rows + back[1, 2] + bend[1]
        edge = cv2.BORDER_REPLICATE if self._chance(0.3) else cv2.BORDER_CONSTANT
        value = self._uniform(0, 1) if self._chance(0.2) else 0.0
        moved = cv2.remap(picture, across, down, cv2.INTER_LINEAR, borderMode=edge, borderValue=value)
        return np.asarray(moved, np.float32), np.asarray(cv2.remap(mask, across, down, cv2.INTER_LINEAR), np.float32)

    def _expose(self, picture: Grey) -> Grey:
        """Other exposure, contrast, local equalisation, veil, sharpness and noise."""
        picture = np.asarray(stretch(picture) ** np.exp(self._random.normal(0, 0.35)), np.float32)
        if self._chance(0.15):
            equaliser = cv2.createCLAHE(self._uniform(1, 5), (8, 8))
            picture = equaliser.apply((255 * picture).astype(np.uint8)).astype(np.float32) / 255
        picture = picture * self._uniform(0.6, 1.2) + self._uniform(-0.1, 0.25)
        if self._chance(0.3):
            rows, columns = np.mgrid[-1 : 1 : WORKING_SIDE_PX * 1j, -1 : 1 : WORKING_SIDE_PX * 1j]
            picture = picture + self._uniform(-0.25, 0.25) * rows + self._uniform(-0.25, 0.25) * columns
        if self._chance(0.25):
            picture = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), self._uniform(0.5, 2.5))
        if self._chance(0.4):
            picture = picture + self._random.normal(0, self._uniform(0.005, 0.06), picture.shape)
        return np.asarray(picture.clip(0, 1), np.float32)

    def _consolidate(self, picture: Grey, mask: Grey) -> Grey:
        """Opacities and effusions inside the lungs, which stay lung: as bright as what lies between the lungs."""
        haze = np.zeros_like(picture)
        rows, columns = np.nonzero(mask > 0.5)
        for _ in range(int(self._random.integers(1, 5))):
            centre = int(self._random.integers(len(rows)))
            radii = self._random.uniform(8, 50, 2)
            place = np.array([rows[centre], columns[centre]])
            distance = (np.mgrid[:WORKING_SIDE_PX, :WORKING_SIDE_PX] - place[:, None, None]) / radii[:, None, None]
            haze = np.maximum(haze, self._uniform(0.2, 0.95) * np.exp(-(distance**2).sum(axis=0)))
        if self._chance(0.25):  # an effusion fills the lung from below
            level = np.percentile(rows, self._uniform(60, 95))
            half = columns < np.median(columns) if self._chance(0.5) else columns >= np.median(columns)
            where = np.zeros_like(haze)
            where[rows[half & (rows > level)], columns[half & (rows > level)]] = self._uniform(0.5, 1)
            haze = np.maximum(haze, cv2.GaussianBlur(where, (0, 0), 5))
        outside = picture[mask < 0.1]
        bright = float(np.percentile(outside, self._uniform(55, 90))) if len(outside) else 0.8
        haze = haze * cv2.GaussianBlur(mask, (0, 0), 2)
        return np.asarray(picture + haze * np.maximum(bright - picture, 0), np.float32)

    def _device(self, picture: Grey) -> Grey:
        """Lines, leads and boxes over the chest."""
        drawn = (255 * picture.clip(0, 1)).astype(np.uint8)
        for _ in range(int(self._random.integers(1, 4))):
            value, width = self._uniform(150, 255), int(self._random.integers(1, 4))
            kind = self._random.integers(3)
            if kind == 0:
                points = np.cumsum(self._random.normal(0, 22, (8, 2)), axis=0) + self._random.uniform(30, 226, 2)
                cv2.polylines(drawn, [points.astype(np.int32)], False, value, width, cv2.LINE_AA)
            elif kind == 1:
                thickness = -1 if self._chance(0.5) else width
                cv2.circle(drawn, _point(self._random.uniform(20, 236, 2)), int(self._uniform(2, 9)), value, thickness)
            else:
                corner = self._random.uniform(20, 210, 2).astype(int)
                size = self._random.uniform(8, 40, 2).astype(int)
                thickness = -1 if self._chance(0.5) else width
                cv2.rectangle(drawn, _point(corner), _point(corner + size), value, thickness)
        return drawn.astype(np.float32) / 255

    def _write(self, picture: Grey) -> Grey:
        """Letters, words and arrows."""
        drawn = (255 * picture.clip(0, 1)).astype(np.uint8)
        for _ in range(int(self._random.integers(1, 5))):
            value = 255 if self._chance(0.75) else 0
            place = _point(self._random.uniform(0, 240, 2))
            if self._chance(0.25):
                end = _point(np.array(place) + self._random.normal(0, 25, 2))
                cv2.arrowedLine(drawn, place, end, value, 2, cv2.LINE_AA, tipLength=0.4)
            else:
                letters = "".join(self._random.choice(list(LETTERS), int(self._random.integers(1, 12))))
                font, size = int(self._random.integers(0, 4)), self._uniform(0.3, 1.1)
                cv2.putText(drawn, letters, place, font, size, value, 1 + self._chance(0.4), cv2.LINE_AA)
        return drawn.astype(np.float32) / 255

    def _frame(self, picture: Grey, mask: Grey) -> tuple[Grey, Grey]:
        """Bars beside or over the film, black mostly; there is no lung in a bar."""
        picture, mask = picture.copy(), mask.copy()
        value = 0.0 if self._chance(0.7) else self._uniform(0, 1)
        for side in range(4):
            if self._chance(0.5):
                width = int(self._uniform(2, 28))
                np.rot90(picture, side)[:width] = value
                np.rot90(mask, side)[:width] = 0
        return picture, mask


def _point(place: NDArray[Any]) -> tuple[int, int]:
    return int(place[0]), int(place[1])


def without_lungs(generator: np.random.Generator, films: list[Example]) -> Example:
    """A picture without lungs: a texture, shapes as in photographs, a slice, a limb, stripes, or the corner of a film."""
    draw = (_texture, _shapes, _slice, _limb, _stripes)
    kind = int(generator.integers(len(draw) + 1))
    picture = draw[kind](generator) if kind < len(draw) else _corner(generator, films)
    picture = stretch(np.asarray(picture, np.float32))
    return Example(picture, np.zeros_like(picture))


def _texture(generator: np.random.Generator) -> NDArray[Any]:
    field = generator.standard_normal((WORKING_SIDE_PX, WORKING_SIDE_PX)).astype(np.float32)
    return cv2.GaussianBlur(field, (0, 0), generator.uniform(0.5, 40))


def _shapes(generator: np.random.Generator) -> NDArray[Any]:
    picture = np.full((WORKING_SIDE_PX, WORKING_SIDE_PX), generator.random(), np.float32)
    for _ in range(int(generator.integers(2, 25))):
        centre, axes = _point(generator.uniform(0, WORKING_SIDE_PX, 2)), _point(generator.uniform(4, 110, 2))
        cv2.ellipse(picture, centre, axes, float(generator.uniform(0, 180)), 0, 360, float(generator.random()), -1)
    return cv2.GaussianBlur(picture, (0, 0), float(generator.uniform(0.3, 6)))


def _slice(generator: np.random.Generator) -> NDArray[Any]:
    """A bright oval on black with dark parts, as an axial slice or a skull has."""
    picture = np.zeros((WORKING_SIDE_PX, WORKING_SIDE_PX), np.float32)
    centre, axes = _point(generator.normal(128, 8, 2)), _point(generator.uniform((80, 55), (120, 115)))
    cv2.ellipse(picture, centre, axes, 0, 0, 360, float(generator.uniform(0.5, 0.9)), -1)
    for sign in (-1, 1):
        inner = (centre[0] + sign * int(axes[0] * generator.uniform(0.35, 0.5)), centre[1] + int(generator.normal(0, 8)))
        radii = _point(np.array(axes) * generator.uniform((0.2, 0.35), (0.42, 0.75)))
        cv2.ellipse(picture, inner, radii, float(generator.normal(0, 15)), 0, 360, float(generator.uniform(0, 0.35)), -1)
    cv2.circle(picture, (centre[0], centre[1] + int(axes[1] * 0.7)), int(generator.uniform(8, 20)), 1.0, -1)
    picture = cv2.GaussianBlur(picture, (0, 0), float(generator.uniform(0.5, 2.5)))
    return picture + generator.normal(0, 0.02, picture.shape)


def _limb(generator: np.random.Generator) -> NDArray[Any]:
    """Long bright bones in grey soft tissue."""
    picture = np.zeros((WORKING_SIDE_PX, WORKING_SIDE_PX), np.float32)
    for _ in range(int(generator.integers(1, 6))):
        start, end = (_point(generator.uniform(20, 236, 2)) for _ in range(2))
        width = int(generator.uniform(14, 50))
        cv2.line(picture, start, end, float(generator.uniform(0.3, 0.5)), width)
        cv2.line(picture, start, end, float(generator.uniform(0.7, 1)), max(width // 3, 3))
    return cv2.GaussianBlur(picture, (0, 0), float(generator.uniform(1, 4)))


def _stripes(generator: np.random.Generator) -> NDArray[Any]:
    rows, columns = np.mgrid[-1 : 1 : WORKING_SIDE_PX * 1j, -1 : 1 : WORKING_SIDE_PX * 1j]
    waves = np.sin(generator.uniform(0, 25) * rows + generator.uniform(0, 25) * columns)
    return np.asarray(waves * generator.uniform(0, 1) + generator.normal() * rows)


def _corner(generator: np.random.Generator, films: list[Example]) -> NDArray[Any]:
    """The corner of a film in which there is next to no lung, enlarged; a texture where none is found."""
    for _ in range(20):
        film, size = films[int(generator.integers(len(films)))], int(generator.uniform(40, 80))
        top, left = (int(generator.choice((0, WORKING_SIDE_PX - size))) for _ in range(2))
        if film.mask[top : top + size, left : left + size].mean() <= MAX_LUNG_IN_CORNER:
            return cv2.resize(film.picture[top : top + size, left : left + size], (WORKING_SIDE_PX, WORKING_SIDE_PX))
    return _texture(generator)


def make_batches(
    films: list[Example], lateral: list[Example], phantoms: list[Example], seed: int, steps: int
) -> Iterator[tuple[Grey, Grey]]:
    """Batches of augmented examples: 11 films, 3 phantoms, 1 lateral view or slice, 1 picture without lungs."""

    def make(step: int) -> tuple[Grey, Grey]:
        generator = np.random.default_rng((seed, step))
        augment = Augmenter(generator)
        chosen = [films[int(i)] for i in generator.integers(len(films), size=BATCH - 5)]
        chosen += [phantoms[int(i)] for i in generator.integers(len(phantoms), size=3)]
        chosen += [lateral[int(generator.integers(len(lateral)))], without_lungs(generator, films)]
        pairs = [augment(example) for example in chosen]
        return np.stack([pair.picture for pair in pairs])[..., None], np.stack([pair.mask for pair in pairs])[..., None]

    with ThreadPoolExecutor(2) as pool:
        ahead = [pool.submit(make, step) for step in range(min(4, steps))]
        for step in range(steps):
            batch = ahead.pop(0).result()
            if step + 4 < steps:
                ahead.append(pool.submit(make, step + 4))
            yield batch


def loss(truth: Grey, logits: Grey) -> Grey:
    """Cross-entropy and one minus the Dice coefficient of all pixels of a batch (Milletari, Navab, Ahmadi, 2016)."""
    ops = keras.ops
    entropy = ops.mean(keras.losses.binary_crossentropy(truth, logits, from_logits=True, label_smoothing=0.0))
    probability = ops.sigmoid(logits)
    dice = (2 * ops.sum(truth * probability) + 1) / (ops.sum(truth) + ops.sum(probability) + 1)
    return entropy + 0.5 * (1 - dice)


def intersection_over_union(network: keras.Model, examples: list[Example]) -> NDArray[np.float64]:
    """Of each example's mask and the network's, at the network's size."""
    side = (INPUT_SIDE_PX, INPUT_SIDE_PX)
    pictures = np.stack([stretch(cv2.resize(example.picture, side, interpolation=cv2.INTER_AREA)) for example in examples])
    found = network.predict(pictures[..., None], verbose=0)[..., 0] > 0
    truth = np.stack([cv2.resize(example.mask, side, interpolation=cv2.INTER_AREA) > 0.5 for example in examples])
    return (found & truth).sum(axis=(1, 2)) / np.maximum((found | truth).sum(axis=(1, 2)), 1)


def train(
    films: list[Example], lateral: list[Example], steps: int, seed: int, report: Callable[[int, float, keras.Model], None]
) -> keras.Model:
    """Train for some steps; the moving average of the weights is what is returned, without batch normalisation."""
    keras.utils.set_random_seed(seed)
    network = build_network(batch_normalisation=True)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=LEARNING_RATE, warmup_steps=min(100, steps // 2), alpha=0.01
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0, use_ema=True, ema_momentum=AVERAGING)
    network.compile(optimizer, loss)
    phantoms = [read_phantom(number) for number in range(PHANTOMS)]
    losses = []
    for step, (pictures, masks) in enumerate(make_batches(films, lateral, phantoms, seed, steps), 1):
        losses.append(float(network.train_on_batch(pictures, masks)))
        if step % 250 == 0 or step == steps:
            report(step, float(np.mean(losses[-250:])), network)
    optimizer.finalize_variable_values(network.trainable_variables)
    return network


def main() -> None:
    """Train, say how good the network is on held-out patients, and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--teacher", type=Path, help="weights of an earlier network, which labels the films without a mask")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=WEIGHTS_FILE)
    given = parser.parse_args()
    train_films, held_out_films = read_films(given.collection)
    films = [read_example(film) for film in train_films if film.mask]
    lateral = [read_example(film) for film in train_films if film.view in NOT_FRONTAL]
    if given.teacher:
        labelled = label_films([film for film in train_films if not film.mask and film.view not in NOT_FRONTAL], given.teacher)
        print(f"{len(labelled)} films labelled by the teacher")
        films += labelled
    held_out = [read_example(film) for film in held_out_films if film.mask]
    print(
        f"{len(films)} films with lungs and {len(lateral)} without to train on, {len(held_out)} held out",
        flush=True,
    )
    start = time.perf_counter()

    def report(step: int, mean_loss: float, network: keras.Model) -> None:
        # Only told, never used: nothing is chosen on the held-out patients.
        iou = intersection_over_union(network, held_out)
        minutes = (time.perf_counter() - start) / 60
        print(
            f"step {step}: {minutes:.1f} min, loss {mean_loss:.4f}, IoU {iou.mean():.3f}, median {np.median(iou):.3f}",
            flush=True,
        )

    network = train(films, lateral, given.steps, given.seed, report)
    folded = fold_batch_normalisation(network)
    iou = intersection_over_union(folded, held_out)
    print(f"final: held-out IoU mean {iou.mean():.3f}, median {np.median(iou):.3f}, least {iou.min():.3f}")
    save_weights(folded, given.output)


if __name__ == "__main__":
    main()
