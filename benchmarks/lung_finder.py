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
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.changes import CHANGES
from benchmarks.record import provenance, table, write
from covid19.data.images import PICTURE_SIDE_PX, Pixels, as_picture, read_picture
from covid19.features.backbone.network import build_base, pooled
from covid19.features.backbone.weights import get_weights
from covid19.lungs.finder import FoundLungs, LungFinder
from covid19.lungs.masks import MARGIN_PX, Mask, bounding_box, convex_hull, grown, whole_lungs
from covid19.lungs.occlusion import Hides, hidden_part
from scripts.train_lung_finder import (
    NOT_FRONTAL,
    PHANTOMS,
    POOR_MASKS,
    fitting_mask,
    masks_by_stem,
    read_example,
    read_films,
    read_phantom,
    without_lungs,
)

BATCH_SIZE = 32
REPEATS = 7  # of the timing
MARGINS_PX = (0, 3, 5, 7, 9, 12, 15)
MAX_VISIBLE = 0.01  # of a drawn lung, in a picture in which the lungs are hidden
WITHOUT_LUNGS = 200  # drawn pictures that are no chest radiographs


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


def summary(values: list[float]) -> list[str]:
    """Number, mean, median and least of some values, as cells."""
    return [str(len(values)), f"{np.mean(values):.3f}", f"{np.median(values):.3f}", f"{min(values):.3f}"]


def against_masks(finder: LungFinder, collection: Path, findings: dict[str, str]) -> str:
    """Held-out patients against the masks of the collection."""
    masks = masks_by_stem(collection / "annotations/lungVAE-masks")
    films = [film for film in read_films(collection)[1] if film.image.stem in masks]
    groups: dict[str, list[float]] = defaultdict(list)
    for film, lungs in zip(films, find(finder, [film.image for film in films]), strict=True):
        value = iou(read_mask(masks[film.image.stem], 127), lungs.mask)
        if not film.mask:
            groups["made of another crop of the film"].append(value)
            continue
        groups["all that were made of the same crop"].append(value)
        groups[f"- view {film.view}"].append(value)
        groups["- COVID-19" if "COVID-19" in findings[film.image.name] else "- other findings"].append(value)
        if film.image.stem not in POOR_MASKS:
            groups["- without those that are plainly wrong"].append(value)
    patients = len({film.patient for film in films})
    return (
        f"IoU with the masks of {patients} patients that were not trained on. A mask whose file has not the size of its image "
        "was made of another crop of the film and says nothing about this one.\n\n"
    ) + table(["masks", "number", "mean", "median", "least"], [[name, *summary(groups[name])] for name in sorted(groups)])


def against_boxes(finder: LungFinder, collection: Path, findings: dict[str, str], views: dict[str, str]) -> str:
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
        name = image["file_name"]
        for group in (
            "trained on the film" if name in trained else "of held-out patients",
            f"view {views[name]}",
            "COVID-19" if "COVID-19" in findings[name] else "other findings",
        ):
            groups[group].append(inside / (float((high - low).prod()) + width * height - inside))
    return "IoU of the box around both lungs with the collection's boxes.\n\n" + table(
        ["films", "number", "mean", "median", "least"], [[name, *summary(groups[name])] for name in sorted(groups)]
    )


def against_drawn(finder: LungFinder, collection: Path) -> str:
    """Hand-drawn masks: Dice, and how much of them would be seen when the found lungs are hidden."""
    masks = masks_by_stem(collection / "annotations/hand-drawn")
    images = sorted(path for path in (collection / "images").iterdir() if path.stem in masks)
    rows, pairs = [], []
    for image, lungs in zip(images, find(finder, images), strict=True):
        drawn, fits = read_mask(masks[image.stem], 0), fitting_mask(image, masks) is not None
        dice = 2 * float((drawn & lungs.mask).sum()) / float(drawn.sum() + lungs.mask.sum())
        seen = [f"{visible(drawn, hidden_part(hides, lungs.mask)):.3f}" for hides in (Hides.LUNGS, Hides.HULL)]
        rows.append([image.stem, "yes" if fits else "no", f"{dice:.3f}", *seen])
        if fits:
            pairs.append((drawn, lungs.mask))
    ways: dict[str, Callable[[Mask], Mask]] = {"found": lambda mask: mask, "whole": whole_lungs, "hull": convex_hull}
    margins = []
    for margin in MARGINS_PX:
        line = [f"{margin}"]
        for way in ways.values():
            hidden = [grown(way(lungs), margin) if margin else way(lungs) for _, lungs in pairs]
            left = [visible(drawn, own) for (drawn, _), own in zip(pairs, hidden, strict=True)]
            line += [f"{sum(value > MAX_VISIBLE for value in left)}", f"{max(left):.3f}", f"{np.mean(hidden):.2f}"]
        margins.append(line)
    text = (
        "None of these films was trained on. The drawings take the whole lung, also behind the heart. Visible: fraction of "
        f"the drawn lung that is left when the lungs are hidden, or their hull, with a margin of {MARGIN_PX} pixels of 224. "
        "A drawing whose file has not the size of its image was made of another crop of the film.\n\n"
    )
    text += table(["film", "same crop", "Dice", "visible, lungs", "visible, hull"], rows)
    text += (
        f"\n\nOf the {len(pairs)} drawings of the same crop, by margin: in how many more than {MAX_VISIBLE:.0%} is visible, "
        "the largest visible fraction, and the mean fraction of the picture that is hidden; for the lungs as they are found, "
        "for whole lungs, and for the hull.\n\n"
    )
    columns = [f"{name}: {what}" for name in ways for what in ("films", "visible", "hidden")]
    return text + table(["margin", *columns], margins)


def visible(drawn: Mask, hidden: Mask) -> float:
    """Fraction of a drawn lung that is not hidden."""
    return float((drawn & ~hidden).sum() / drawn.sum())


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
    films = [read_example(film) for film in read_films(collection)[1] if film.mask]
    generator = np.random.default_rng(2)
    others = [without_lungs(generator, films).picture for _ in range(WITHOUT_LUNGS)]
    pixels = [in_three_channels(other) for other in others]
    found = [
        lungs.found for at in range(0, len(pixels), BATCH_SIZE) for lungs in finder.find(np.stack(pixels[at : at + BATCH_SIZE]))
    ]
    rows.append(["drawn: textures, shapes, slices, limbs", "with another seed", str(len(found)), str(sum(found)), "no"])
    return "In how many images lungs are found.\n\n" + table(["view", "images", "number", "found", "should be found"], rows)


def on_changed_films(finder: LungFinder, collection: Path) -> str:
    """Films of held-out patients as other machines and other hands would have left them, and phantoms."""
    films = [film for film in read_films(collection)[1] if film.mask and film.image.stem not in POOR_MASKS]
    pairs = [(read_picture(film.image).pixels, read_mask(Path(str(film.mask)), 127)) for film in films]
    examples = [read_phantom(number) for number in range(PHANTOMS, PHANTOMS + len(films))]  # training took those before
    drawn = [(in_three_channels(own.picture), cv2.resize(own.mask, pairs[0][1].shape) > 0.5) for own in examples]
    rows = []
    for name, change in {**CHANGES, "phantoms, whose lungs are known exactly": None}.items():
        changed = [change(*pair) for pair in pairs] if change else drawn
        found = [lungs for pixels, _ in changed for lungs in finder.find(pixels[None])]
        values = [iou(mask, lungs.mask) for (_, mask), lungs in zip(changed, found, strict=True)]
        rows.append([name, *summary(values), f"{sum(lungs.found for lungs in found)}"])
    return "IoU with the mask, which is changed alike.\n\n" + table(
        ["change", "number", "mean", "median", "least", "lungs found"], rows
    )


def in_three_channels(grey: NDArray[np.float32]) -> Pixels:
    """A grey picture of values in [0, 1] as the program would read it."""
    return as_picture(np.repeat((255 * grey[..., None]).astype(np.uint8), 3, axis=2), False).pixels


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
    findings, views = ({row["filename"]: row[column] for row in rows} for column in ("finding", "view"))
    finder = LungFinder()
    sections = [
        "# The lung finder",
        provenance(),
        "## Masks of the collection\n\n" + against_masks(finder, collection, findings),
        "## Boxes\n\n" + against_boxes(finder, collection, findings, views),
        "## Hand-drawn masks\n\n" + against_drawn(finder, collection),
        "## Whether lungs are found\n\n" + decisions(finder, collection, views),
        "## Changed films and phantoms\n\n" + on_changed_films(finder, collection),
        "## Cost\n\n" + cost(finder),
    ]
    write("lung_finder.md", "\n\n".join(sections))


if __name__ == "__main__":
    main()
