"""The appearance of images as the backbone is given them: from the cache where it is known, else from the files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covid19.core.arrays import Float32Array
from covid19.core.console import Progress
from covid19.data.appearance import APPEARANCE_VERSION, APPEARANCE_WIDTH, appearance
from covid19.data.images import Read
from covid19.data.shared_files import UnreadableError
from covid19.features.augmentation import View
from covid19.features.batches import load_batches
from covid19.features.cache import AppearanceCache, feature_key


def find_appearances(views: Sequence[View], cache: AppearanceCache, read: Read) -> Float32Array:
    """The appearance of each view, float32 (n, 14).

    Args:
        views: without augmentations.
        cache: gives and takes appearances.
        read: decodes a file on this machine.

    Raises:
        UnreadableError: some images cannot be read any more; those of all others are in the cache.
    """
    keys = [_key(view) for view in views]
    known = cache.get(keys)
    missing = list({key: view for key, view in zip(keys, views, strict=True) if key not in known}.items())
    lost: dict[str, str] = {}
    with Progress("Measuring brightness and contrast", len(missing), "images", plain=False) as progress:
        for batch in load_batches([view for _, view in missing], read):
            found = {missing[at][0]: appearance(own) for at, own in zip(batch.positions, batch.pixels, strict=True)}
            cache.put(found.items())
            known |= found
            lost |= {missing[at][1].record.name: why for at, why in batch.problems.items()}
            progress.advance(len(batch.positions) + len(batch.problems))
    if lost:
        raise UnreadableError(lost)
    return np.array([known[key] for key in keys], np.float32).reshape(-1, APPEARANCE_WIDTH)


def _key(view: View) -> bytes:
    return feature_key(view.record.digest, view.augmentation_key, f"appearance {APPEARANCE_VERSION}", view.occlusion_key)
