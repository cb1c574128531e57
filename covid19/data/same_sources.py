"""Do both sides of a data set come from the same places? Where they do, other controls would be no better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covid19.core.arrays import BoolArray
from covid19.data.dataset import Record

SAME_SOURCES = 0.9  # of the images of each side


def have_both_sides(records: Sequence[Record], positive: BoolArray) -> bool:
    """Whether nearly all images of either side are of a collection, or of a source, that has images of both.

    A collection that many hospitals contributed to, such as ieee8023's, names each one's publication as the source; controls
    that were chosen from the same collection are of other publications.

    Args:
        records: the images; what the metadata say of each is asked.
        positive: bool (n,).
    """
    sides: dict[str, set[bool]] = {}
    places = [record.entry.collection or record.entry.source for record in records]
    for place, side in zip(places, positive.tolist(), strict=True):
        sides.setdefault(place, set()).add(side)
    shared = np.array([place != "" and len(sides[place]) == 2 for place in places])
    return all(side.any() and shared[side].mean() >= SAME_SOURCES for side in (positive, ~positive))
