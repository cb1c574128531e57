"""Divide the images into a training and a test part, stratified by class and fixed by the seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sklearn.model_selection import train_test_split


class Split(NamedTuple):
    """Positions of the training and of the test images in the data set's order, each sorted, disjoint."""

    train: list[int]
    test: list[int]


def stratified_split(labels: Sequence[str], test_size: float, seed: int) -> Split:
    """Hold out a share of each class.

    Each class is divided on its own, so that even the smallest has at least one image on each side: without one in
    the test part its sensitivity would be 0 of 0.

    Args:
        labels: the class of each image, in the data set's sorted order; at least two of each class.
        test_size: share to hold out, in (0, 1).
        seed: of the shuffle.

    Returns:
        Every position on one side.
    """
    train: list[int] = []
    test: list[int] = []
    for name in sorted(set(labels)):
        members = [position for position, label in enumerate(labels) if label == name]
        held_out = min(max(round(len(members) * test_size), 1), len(members) - 1)
        kept, out = train_test_split(members, test_size=held_out, random_state=seed)
        train += kept
        test += out
    return Split(sorted(train), sorted(test))
