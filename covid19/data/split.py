"""Divide the images into a training and a test part: stratified by class, no group on both sides, fixed by the seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ORDERS_TRIED = 50  # of the groups, for a division nearer to the target


class Split(NamedTuple):
    """Positions of the training and of the test images in the data set's order, each sorted, disjoint."""

    train: list[int]
    test: list[int]


def stratified_split(labels: Sequence[str], groups: Sequence[int], test_size: float, seed: int) -> Split:
    """Hold out a share of each class, whole groups at a time.

    Groups are taken in random order, each if it brings the counts nearer to the target; of several orders the nearest wins.
    Without two images in one group the target is met exactly: of each class the share, rounded, and at least one image on
    each side, since without one in the test part its sensitivity would be 0 of 0.

    Args:
        labels: the class of each image, in the data set's sorted order; at least two of each class.
        groups: of each image, a number; images of one number stay together.
        test_size: share to hold out, in (0, 1).
        seed: of the orders.

    Returns:
        Every position on one side.

    Raises:
        ValueError: a class has all its images in one group, so that it cannot stand on both sides; or the groups hold several
            classes in a way that no division leaves each on both sides.
    """
    classes, label = np.unique(np.asarray(labels), return_inverse=True)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((len(names), len(classes)), int)  # images by group and class
    np.add.at(counts, (group, label), 1)
    lonely = classes[(counts > 0).sum(axis=0) < 2]
    if lonely.size:
        raise ValueError(f"all images of class '{lonely[0]}' are of one group")
    totals = counts.sum(axis=0)
    target = np.clip(np.floor(totals * test_size + 0.5).astype(int), 1, totals - 1)
    generator = np.random.default_rng(seed)
    best, best_distance = np.zeros(len(names), bool), np.inf
    for _ in range(ORDERS_TRIED):
        taken = _take(counts, target, generator.permutation(len(names)))
        held_out = counts[taken].sum(axis=0)
        if ((held_out == 0) | (held_out == totals)).any():
            continue
        distance = float(np.abs(held_out - target).sum())
        if distance < best_distance:
            best, best_distance = taken, distance
        if best_distance == 0:
            break
    if best_distance == np.inf:
        raise ValueError("no division of the groups leaves every class on both sides")
    in_test = best[group]
    return Split(np.flatnonzero(~in_test).tolist(), np.flatnonzero(in_test).tolist())


def _take(counts: np.ndarray, target: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Mark the groups to hold out, in the given order: first one for each class, then each that brings the counts nearer."""
    taken = np.zeros(len(counts), bool)
    left, remaining = target.copy(), counts.sum(axis=0)

    def take(index: int) -> None:
        nonlocal left, remaining
        taken[index] = True
        left, remaining = left - counts[index], remaining - counts[index]

    for label in range(counts.shape[1]):
        if not counts[taken, label].any():
            # However large the class's groups are, one of them must go, but none that takes the last of another class.
            spared = (index for index in order if counts[index, label] and (remaining - counts[index])[counts[index] > 0].all())
            if (first := next(spared, None)) is not None:
                take(first)
    for index in order:
        if not taken[index] and np.abs(left - counts[index]).sum() < np.abs(left).sum():
            take(index)
            if not left.any():
                break
    return taken


def given_split(labels: Sequence[str], parts: Sequence[str]) -> Split:
    """The split that came with the data: `test` is the test part, and where there is none, `validation` is.

    Args:
        labels: the class of each image.
        parts: 'train', 'validation' or 'test' of each image, or '' where nothing says it: such an image is trained on, as one
            for validation is beside a test part.

    Raises:
        ValueError: a class has no image in one of the parts.
    """
    tested = "test" if "test" in parts else "validation"
    split = Split(*([at for at, part in enumerate(parts) if (part == tested) is wanted] for wanted in (False, True)))
    for name, positions in zip(("training", "test"), split, strict=True):
        if missing := set(labels) - {labels[at] for at in positions}:
            raise ValueError(f"the {name} part of the given split has no image of class '{min(missing)}'")
    return split
