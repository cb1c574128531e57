"""The sample set: phantoms drawn by a seeded generator, so that the first command works without anybody's X-ray.

A phantom is a caricature of a PA chest X-ray. The covid class adds ground-glass opacities to the lungs; pose, exposure,
contrast, noise and the file's properties are drawn from the same distributions for both classes, so that nothing outside
the lungs tells the class. They are no patients, and a score on them says nothing about patients.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.core.arrays import Float32Array
from covid19.core.errors import InputError
from covid19.core.outputs import atomic_write

FINDINGS = {"covid": "COVID-19", "normal": "No Finding"}
CLASSES = tuple(FINDINGS)
Point = tuple[float, float]

# Attenuation on a scale where 0 is air and 1 is the densest spine.
TISSUE, LUNG, HEART, SPINE, RIB, CLAVICLE = 0.55, 0.2, 0.25, 0.13, 0.07, 0.1


def write_sample(folder: Path, count: int, size: int, seed: int) -> None:
    """Draw a data set of phantoms: `folder/covid/*.png`, `folder/normal/*.png`, and `metadata.csv` with patient and view.

    Args:
        folder: to make; may exist if it is empty.
        count: images of each class.
        size: mean side in pixels; each image's width and height vary by an eighth.
        seed: of all drawing; image i of a class is the same whatever the count.

    Raises:
        InputError: the folder holds something already.
        OSError: it cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"folder '{folder}' is not empty; expected a new or empty folder: give another name")
    rows = ["patientid,finding,view,modality,filename,source,license"]
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index, patient in enumerate(_patients(np.random.default_rng((seed, number)), count)):
            anatomy, exposure = (np.random.default_rng((seed, number, part, of)) for part, of in enumerate((patient, index)))
            pixels = draw_phantom(anatomy, exposure, size, sick=name == "covid")
            with atomic_write(folder / name / f"{name}-{index + 1:04d}.png") as draft:
                draft.write_bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())
            rows.append(
                f"{name}-{patient},{FINDINGS[name]},PA,X-ray,{name}-{index + 1:04d}.png,covid19 sample,drawn: no rights"
            )
    with atomic_write(folder / "metadata.csv") as draft:
        draft.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _patients(generator: np.random.Generator, count: int) -> list[int]:
    """The patient of each image, counted from 1: most have one image, some two or three."""
    patients: list[int] = []
    while len(patients) < count:
        patients += [patients[-1] + 1 if patients else 1] * int(generator.choice((1, 2, 3), p=(0.85, 0.1, 0.05)))
    return patients[:count]


def draw_phantom(patient: np.random.Generator, generator: np.random.Generator, size: int, sick: bool) -> NDArray[np.uint8]:
    """Draw one phantom.

    Args:
        patient: of anatomy and disease; the disease is drawn last, so health changes nothing else.
        generator: of all that differs between two images of one patient: pose, size, exposure, contrast, noise.
        size: mean side in pixels.
        sick: whether to add opacities.

    Returns:
        uint8 array (height, width), grey; sides within an eighth of `size`.
    """
    return draw_phantom_with_lungs(patient, generator, size, sick)[0]


def draw_phantom_with_lungs(
    patient: np.random.Generator, generator: np.random.Generator, size: int, sick: bool
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A phantom as `draw_phantom` draws it, and its lungs where the heart does not cover them, bool (height, width)."""
    height, width = (round(size * generator.uniform(0.875, 1.125)) for _ in range(2))
    canvas = _Canvas(height, width, generator)
    exposure, contrast, noise = generator.uniform(-0.03, 0.03), generator.uniform(0.88, 1.12), generator.uniform(0.008, 0.018)
    body = canvas.ellipse((0, -0.5), (0.93, 1.75), 0.03)
    shoulders = canvas.ellipse((0, 0.6), (1.2, 0.36), 0.04)
    image = TISSUE * np.maximum(body, shoulders)
    lungs = _lungs(canvas, patient)
    image -= (TISSUE - LUNG) * lungs
    image += _bones(canvas, patient, body)
    image += lungs * _vessels(canvas, patient, generator)
    heart = canvas.ellipse((0.12, -0.34), (patient.uniform(0.33, 0.43), 0.33), 0.04)
    mediastinum = np.maximum(heart, canvas.ellipse((0.0, 0.1), (0.15, 0.75), 0.04))
    image += HEART * mediastinum * lungs.clip(0.3)
    opacities = _opacities(canvas, patient, generator)
    if sick:
        image += lungs * opacities
    image = (0.45 + exposure) + contrast * (image - 0.45)
    grain = cv2.GaussianBlur(generator.standard_normal((height, width)).astype(np.float32), (0, 0), 0.7)
    image += noise * grain / grain.std()
    return np.asarray((255 * image.clip(0, 1)).round(), np.uint8), np.asarray(lungs * (1 - mediastinum) > 0.5)


class _Canvas:
    """Coordinates of one picture: x from -1 (left) to 1, y from -1 (bottom) to 1 (top), after a random pose."""

    def __init__(self, height: int, width: int, generator: np.random.Generator) -> None:
        self.shape = (height, width)
        turn = np.deg2rad(generator.normal(0, 2.5))
        scale, shift_x, shift_y = generator.uniform(1.06, 1.2), generator.normal(0, 0.02), generator.normal(0, 0.02)
        rows, columns = np.mgrid[1 : -1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        self.x: Float32Array = scale * (np.cos(turn) * columns - np.sin(turn) * rows) + np.float32(shift_x)
        self.y: Float32Array = scale * (np.sin(turn) * columns + np.cos(turn) * rows) + np.float32(shift_y)

    def ellipse(self, centre: Point, radii: Point, softness: float) -> Float32Array:
        """1 inside, 0 outside, with a soft edge about `softness` wide."""
        distance = np.hypot((self.x - centre[0]) / radii[0], (self.y - centre[1]) / radii[1])
        return np.asarray(1 / (1 + np.exp(((distance - 1) * min(radii) / softness * 4).clip(-30, 30))), np.float32)

    def band(self, distance: Float32Array, width: float) -> Float32Array:
        """1 where a signed distance is 0, falling off as a Gaussian."""
        return np.asarray(np.exp(-((distance / width) ** 2)), np.float32)

    def texture(self, generator: np.random.Generator, grain: float) -> Float32Array:
        """Smooth noise of mean 0 and deviation 1; `grain` is its scale in the canvas's units."""
        field = generator.standard_normal(self.shape).astype(np.float32)
        field = np.asarray(cv2.GaussianBlur(field, (0, 0), grain * self.shape[1] / 2), np.float32)
        return np.asarray((field - field.mean()) / field.std(), np.float32)


def _lungs(canvas: _Canvas, patient: np.random.Generator) -> Float32Array:
    """Both lung fields, cut off below by the domes of the diaphragm."""
    lungs = np.zeros(canvas.shape, np.float32)
    for side in (-1, 1):
        field = canvas.ellipse((side * patient.uniform(0.44, 0.48), 0.1), (patient.uniform(0.31, 0.37), 0.82), 0.025)
        dome = canvas.ellipse((side * 0.45, patient.uniform(-1.06, -0.94) - 0.04 * side), (0.5, 0.42), 0.03)
        lungs = np.maximum(lungs, field * (1 - dome))
    return lungs


def _bones(canvas: _Canvas, patient: np.random.Generator, body: Float32Array) -> Float32Array:
    """Spine, ribs and clavicles, as attenuation to add."""
    bones = SPINE * canvas.band(canvas.x, 0.1) * (1 + 0.25 * np.sin(canvas.y * 40))
    slope, spacing, phase = patient.uniform(0.35, 0.5), patient.uniform(0.17, 0.2), patient.uniform(0, 1)
    arch = canvas.y + slope * canvas.x**2 - 0.25 * np.abs(canvas.x)
    offset = np.asarray((arch / spacing + phase) % 1 - 0.5, np.float32)
    bones += RIB * canvas.band(offset, 0.24) * body * (np.abs(canvas.x) > 0.1) * (canvas.y > -0.65)
    for side in (-1, 1):
        line = canvas.y - 0.72 - 0.18 * (side * canvas.x - 0.1)
        bones += CLAVICLE * canvas.band(line, 0.045) * canvas.ellipse((side * 0.45, 0.78), (0.38, 0.25), 0.02)
    return np.asarray(bones, np.float32)


def _vessels(canvas: _Canvas, patient: np.random.Generator, generator: np.random.Generator) -> Float32Array:
    """Markings that branch from either hilum and fade towards the edge."""
    vessels = 0.012 * canvas.texture(generator, 0.02) + 0.02 * canvas.texture(generator, 0.12)
    for side in (-1, 1):
        for angle in patient.uniform(-1.2, 1.3, size=9):
            along = (canvas.x * side - 0.16) * np.cos(angle) + canvas.y * np.sin(angle)
            across = -(canvas.x * side - 0.16) * np.sin(angle) + canvas.y * np.cos(angle)
            curve = across + patient.normal(0, 0.15) * along**2
            taper = np.exp(-((along / 0.38) ** 2)) * (1 - np.exp(-((along / 0.12) ** 2))) * (along > 0)
            vessels += 0.09 * canvas.band(curve, 0.018) * taper
    return np.asarray(vessels, np.float32)


def _opacities(canvas: _Canvas, patient: np.random.Generator, generator: np.random.Generator) -> Float32Array:
    """Ground-glass opacities: bilateral, peripheral, mostly in the lower zones, of varying size and strength."""
    haze = np.zeros(canvas.shape, np.float32)
    strength = patient.uniform(0.12, 0.34)
    for side in (-1, 1):
        for _ in range(patient.integers(2, 6)):
            centre = (side * patient.uniform(0.5, 0.74), patient.normal(-0.25, 0.22))
            radii = patient.uniform(0.1, 0.28, size=2)
            haze = np.maximum(haze, patient.uniform(0.6, 1.0) * canvas.ellipse(centre, (radii[0], radii[1]), 0.12))
    patchy = 1 + 0.35 * canvas.texture(generator, 0.05)
    return np.asarray(strength * haze * patchy.clip(0.2), np.float32)
