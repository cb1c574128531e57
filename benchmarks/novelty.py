"""Who is refused a label? `python3 -m benchmarks.novelty DATASET... [--others DIR]`; writes `results/novelty.md`.

A fifth of the patients is held out, 20 times: of their images few may be called unlike the training images, of pictures that
are no radiographs all should be.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.record import provenance, table, write
from covid19.core.executor.local import LocalExecutor
from covid19.data.dataset import list_inputs
from covid19.data.gathering import gather
from covid19.data.images import Pixels, read_picture
from covid19.data.reader import Filter, read_dataset
from covid19.features.backbone.network import build_base, pooled
from covid19.features.backbone.weights import get_weights
from covid19.features.cache import open_caches
from covid19.model.novelty import NoveltyDetector, is_unlike

SEEDS = 20
DRAWN = 10  # pictures of each kind
Array = NDArray[np.float32]


def photograph(generator: np.random.Generator) -> Pixels:
    """Coloured discs before a sky and a meadow, with noise."""
    picture = np.empty((224, 224, 3), np.uint8)
    picture[:112], picture[112:] = (120, 170, 235), (60, 140, 50)
    for _ in range(12):
        x, y, radius = (int(generator.integers(low, high)) for low, high in ((0, 224), (0, 224), (8, 50)))
        cv2.circle(picture, (x, y), radius, [int(part) for part in generator.integers(0, 255, 3)], -1)
    noise = generator.normal(0, 6, picture.shape)
    return np.asarray((cv2.GaussianBlur(picture, (0, 0), 1.5) + noise).clip(0, 255), np.uint8)


def text(generator: np.random.Generator) -> Pixels:
    """A page of letters, black on white."""
    page = np.full((224, 224, 3), 255, np.uint8)
    for line in range(15, 220, 11):
        letters = "".join(chr(letter) for letter in generator.integers(97, 123, 40))
        cv2.putText(page, letters, (8, line), cv2.FONT_HERSHEY_SIMPLEX, 0.3, (0, 0, 0), 1)
    return page


def features_of(model: keras.Model, pictures: list[Pixels]) -> Array:
    """What the base sees, float32 (n, 512)."""
    return np.concatenate(
        [model.predict_on_batch(np.stack(pictures[at : at + 32]) / np.float32(255)) for at in range(0, len(pictures), 32)]
    )


def main() -> None:
    """Hold out, ask, and write the shares refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--others", type=Path, help="folder of images that are no PA radiographs, such as CT slices")
    arguments = parser.parse_args()
    base = build_base(get_weights("random"))
    model = pooled(base)
    generator = np.random.default_rng(0)
    kinds = {kind.__name__: [kind(generator) for _ in range(DRAWN)] for kind in (photograph, text)}
    kinds["black"] = [np.zeros((224, 224, 3), np.uint8)]
    if arguments.others:
        kinds[arguments.others.name] = [read_picture(Path(file)).pixels for file in list_inputs([arguments.others])]
    others = {name: features_of(model, pictures) for name, pictures in kinds.items()}
    rows = []
    for root in arguments.datasets:
        with open_caches(False, None, 10**9) as caches:
            records = read_dataset(gather(root), Filter(), caches.scans, LocalExecutor(), read_picture).records
        pictures = [read_picture(record.path).pixels for record in records]
        features = features_of(model, pictures)
        groups = np.unique([record.group for record in records], return_inverse=True)[1]
        refused, asked, shares = 0, 0, {name: [] for name in others}
        for seed in range(SEEDS):
            order = np.random.default_rng(seed).permutation(groups.max() + 1)
            train = np.isin(groups, order[len(order) // 5 :])
            known = NoveltyDetector(features[train], groups[train])
            held_out = np.flatnonzero(~train)
            refused += sum(map(is_unlike, [pictures[i] for i in held_out], known.percentile(features[held_out])))
            asked += len(held_out)
            for name, own in others.items():
                shares[name].append(float(np.mean(list(map(is_unlike, kinds[name], known.percentile(own))))))
        rows.append([root.name, f"{refused} of {asked}", *(f"{np.mean(found):.2f}" for found in shares.values())])
    head = ["data set", "held-out images refused", *(f"{name} ({len(own)})" for name, own in others.items())]
    said = f"Untrained base; a fifth of the patients held out, {SEEDS} times; the last columns are shares refused."
    write("novelty.md", "\n\n".join(["# Who is not like the training images", provenance(), said, table(head, rows)]))


if __name__ == "__main__":
    main()
