"""How good is the lung finder? `python3 -m benchmarks.lung_finder COLLECTION`; writes `results/lung_finder.md`.

COLLECTION is a checkout of ieee8023/covid-chestxray-dataset. The patients that `scripts/train_lung_finder.py` held out are
measured against the collection's masks; all films against the lung boxes and the hand-drawn masks, which were never trained on.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.record import provenance, table, write
from covid19.data.images import PICTURE_SIDE_PX, read_picture
from covid19.features.backbone.network import build_base, pooled
from covid19.features.backbone.weights import get_weights
from covid19.lungs.finder import FoundLungs, LungFinder
from covid19.lungs.masks import MARGIN_PX, Mask, bounding_box, convex_hull, grown
from scripts.train_lung_finder import NOT_FRONTAL, POOR_MASKS, read_films

BATCH_SIZE = 32
REPEATS = 7  # of the timing
FAR_IOU = 0.6  # below it, a given mask and the found one are compared for a shift in scale
SCALES = np.arange(0.7, 1.31, 0.02)


def find(finder: LungFinder, files: list[Path]) -> list[FoundLungs]:
    """The lungs of some files."""
    pictures = [read_picture(file).pixels for file in files]
    batches = [np.stack(pictures[at : at + BATCH_SIZE]) for at in range(0, len(pictures), BATCH_SIZE)]
    return [found for batch in batches for found in finder.find(batch)]


def read_mask(file: Path, above: int) -> Mask:
    """A mask file as bool (224, 224)."""
    mask = (cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > above).astype(np.float32)
    return np.asarray(cv2.resize(mask, (PICTURE_SIDE_PX, PICTURE_SIDE_PX), interpolation=cv2.INTER_AREA) > 0.5)


def iou(one: Mask, other: Mask) -> float:
    """Intersection over union."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def best_scale(mask: Mask, found: Mask) -> tuple[float, float]:
    """The factor by which a mask, scaled about the picture's centre, fits another best, and the IoU then."""
    half = PICTURE_SIDE_PX / 2
    fits = []
    for scale in SCALES:
        move = np.array([[scale, 0, half * (1 - scale)], [0, scale, half * (1 - scale)]], np.float32)
        scaled = cv2.warpAffine(mask.astype(np.uint8), move, (PICTURE_SIDE_PX, PICTURE_SIDE_PX)) > 0
        fits.append((iou(scaled, found), float(scale)))
    value, scale = max(fits)
    return scale, value


def summary(values: list[float]) -> list[str]:
    """Number, mean, median and least of some values, as cells."""
    return [str(len(values)), f"{np.mean(values):.3f}", f"{np.median(values):.3f}", f"{min(values):.3f}"]


def against_masks(finder: LungFinder, collection: Path, findings: dict[str, str]) -> str:
    """Held-out patients against the masks of the collection."""
    films = [film for film in read_films(collection)[1] if film.mask]
    found = find(finder, [film.image for film in films])
    groups: dict[str, list[float]] = defaultdict(list)
    notes = []
    for film, own in zip(films, found, strict=True):
        mask = read_mask(Path(str(film.mask)), 127)
        value = iou(mask, own.mask)
        finding = "COVID-19" if "COVID-19" in findings[film.image.name] else "other findings"
        for group in ("all", f"view {film.view}", finding):
            groups[group].append(value)
        scale, scaled = best_scale(mask, own.mask)
        if value < FAR_IOU and scaled > value:
            notes.append([film.image.name, f"{value:.3f}", f"{scale:.2f}", f"{scaled:.3f}"])
        elif film.image.stem not in POOR_MASKS:
            groups["masks that fit their image"].append(value)
    patients = len({film.patient for film in films})
    text = f"IoU with the masks of {patients} patients that were not trained on.\n\n"
    text += table(["films", "number", "mean", "median", "least"], [[name, *summary(own)] for name, own in groups.items()])
    if notes:
        text += (
            "\n\nMasks that fit the found lungs better when they are scaled about the centre of the picture, as if they had "
        )
        text += "been made for another crop of the film:\n\n" + table(["image", "IoU", "scale", "IoU when scaled"], notes)
    return text


def against_boxes(finder: LungFinder, collection: Path) -> str:
    """Films against the boxes of both lungs together."""
    boxes = json.loads((collection / "annotations/imageannotation_ai_lung_bounding_boxes.json").read_text())
    own: dict[int, list[list[float]]] = defaultdict(list)
    for entry in boxes["annotations"]:
        if None not in entry["bbox"]:  # one film has empty boxes
            own[entry["image_id"]].append(entry["bbox"])
    trained = {film.image.name for film in read_films(collection)[0]}
    known = [image for image in boxes["images"] if image["id"] in own and (collection / "images" / image["file_name"]).exists()]
    found = find(finder, [collection / "images" / image["file_name"] for image in known])
    groups: dict[str, list[float]] = defaultdict(list)
    for image, lungs in zip(known, found, strict=True):
        if not lungs.found:
            groups["no lungs found"].append(0.0)
            continue
        size = np.array([image["width"], image["height"]]) / PICTURE_SIDE_PX
        corners = np.array(own[image["id"]], float)
        low, high = corners[:, :2].min(axis=0) / size, (corners[:, :2] + corners[:, 2:]).max(axis=0) / size
        left, top, width, height = bounding_box(lungs.mask)
        shared = np.minimum(high, (left + width, top + height)) - np.maximum(low, (left, top))
        inside = float(shared.clip(0).prod())
        groups["trained on the film" if image["file_name"] in trained else "film of a held-out patient"].append(
            inside / (float((high - low).prod()) + width * height - inside)
        )
    return "IoU of the box around both lungs with the collection's boxes.\n\n" + table(
        ["films", "number", "mean", "median", "least"], [[name, *summary(values)] for name, values in groups.items()]
    )


def against_drawn(finder: LungFinder, collection: Path) -> str:
    """Hand-drawn masks: Dice, and how much of them would be seen when the found lungs are hidden."""
    images = {path.stem: path for path in (collection / "images").iterdir()}
    files = sorted((collection / "annotations/hand-drawn").glob("*_mask.png"))
    found = find(finder, [images[file.name.removesuffix("_mask.png")] for file in files])
    rows, over = [], Counter[str]()
    for file, lungs in zip(files, found, strict=True):
        drawn = read_mask(file, 0)
        around = grown(lungs.mask)
        seen = {
            "lungs": float((drawn & ~around).sum() / drawn.sum()),
            "hull": float((drawn & ~convex_hull(around)).sum() / drawn.sum()),
        }
        over.update(name for name, value in seen.items() if value > 0.01)
        dice = 2 * float((drawn & lungs.mask).sum()) / float(drawn.sum() + lungs.mask.sum())
        rows.append([file.name.removesuffix("_mask.png"), f"{dice:.3f}", f"{seen['lungs']:.3f}", f"{seen['hull']:.3f}"])
    text = (
        "None of these films was trained on. The drawings take the whole lung, also behind the heart. Visible: fraction of "
        f"the drawn lung that is left when the found lungs, grown by {MARGIN_PX} pixels of 224, are hidden, or their hull. "
        f"More than 1 % is visible in {over['lungs']} of {len(files)} films with the lungs hidden, in {over['hull']} with the "
        "hull.\n\n"
    )
    return text + table(["film", "Dice", "visible, lungs", "visible, hull"], rows)


def decisions(finder: LungFinder, collection: Path, views: dict[str, str]) -> str:
    """In how many images of each view lungs are found."""
    trained = {film.image.name for film in read_films(collection)[0]}
    files = [path for path in sorted((collection / "images").iterdir()) if path.name in views]
    count: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for file, lungs in zip(files, find(finder, files), strict=True):
        known = file.name in trained
        count[views[file.name], "of trained patients" if known else "of held-out patients"][lungs.found] += 1
    rows = [
        [view, whose, str(own.total()), str(own[True]), "no" if view in NOT_FRONTAL else "yes"]
        for (view, whose), own in sorted(count.items())
    ]
    return "In how many images lungs are found.\n\n" + table(["view", "images", "number", "found", "should be found"], rows)


def cost(finder: LungFinder) -> str:
    """Time of the finder against that of a forward pass of VGG16, in one run."""
    pictures = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, PICTURE_SIDE_PX, PICTURE_SIDE_PX, 3), np.uint8)
    backbone = pooled(build_base(get_weights("random")))
    floats = np.asarray(pictures / np.float32(255), np.float32)

    def milliseconds(call: object, argument: NDArray[np.generic]) -> float:
        moments = []
        for _ in range(1 + REPEATS):
            start = time.perf_counter()
            call(argument)  # type: ignore[operator]
            moments.append(time.perf_counter() - start)
        return 1000 * float(np.median(moments[1:])) / BATCH_SIZE

    own, theirs = milliseconds(finder.find, pictures), milliseconds(backbone.predict_on_batch, floats)
    return (
        f"Finding lungs takes {own:.1f} ms an image, with preparation and cleaning, and a forward pass of VGG16 "
        f"{theirs:.1f} ms, at batch {BATCH_SIZE}: {own / theirs:.1%}."
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    collection = parser.parse_args().collection
    with (collection / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    finder = LungFinder()
    sections = [
        "# The lung finder",
        provenance(),
        "## Masks of the collection\n\n" + against_masks(finder, collection, {row["filename"]: row["finding"] for row in rows}),
        "## Boxes\n\n" + against_boxes(finder, collection),
        "## Hand-drawn masks\n\n" + against_drawn(finder, collection),
        "## Whether lungs are found\n\n" + decisions(finder, collection, {row["filename"]: row["view"] for row in rows}),
        "## Cost\n\n" + cost(finder),
    ]
    write("lung_finder.md", "\n\n".join(sections))


if __name__ == "__main__":
    main()
