"""The images that the backbone is run on: each record unchanged, and copies of it with augmentations or an occlusion."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from covid19.core.settings import TrainingSettings
from covid19.data.dataset import Record
from covid19.features.augmentations.augmentation import Augmentation
from covid19.features.augmentations.registry import AUGMENTATIONS
from covid19.lungs.occlusion import Occlusion

UNCHANGED_KEY = "0.0"  # in the feature cache, of an image without augmentations: a rotation by 0 degrees, as in 0.1.0


class ViewSpec(NamedTuple):
    """What a view takes of an image: its file, its augmentations, and what is occluded. All that another machine needs."""

    path: Path
    augmentations: tuple[Augmentation, ...]
    occlusion: Occlusion | None


class View(NamedTuple):
    """One image with augmentations applied in turn, and then a part of it occluded, or none of these."""

    record: Record
    augmentations: tuple[Augmentation, ...] = ()
    occlusion: Occlusion | None = None

    @property
    def augmentation_key(self) -> str:
        """How the image is augmented, for the feature cache."""
        return "/".join(augmentation.cache_key for augmentation in self.augmentations) or UNCHANGED_KEY

    @property
    def occlusion_key(self) -> str:
        """What is occluded, for the feature cache."""
        return self.occlusion.key if self.occlusion else ""

    @property
    def spec(self) -> ViewSpec:
        """What it takes of its image."""
        return ViewSpec(self.record.path, self.augmentations, self.occlusion)


def augmented_views(records: Sequence[Record], augmented: Collection[int], training: TrainingSettings) -> list[View]:
    """The views of each record, 1 + `training.augmentations` side by side: the image itself, then its augmented copies.

    Args:
        records: of the whole data set.
        augmented: positions of the records to augment; the copies of the others are the image itself.
        training: number of copies, seed, and what the registered augmentations need.
    """
    augmented = set(augmented)
    return [
        View(record, draw_augmentations(record.digest, copy, training) if position in augmented else ())
        for position, record in enumerate(records)
        for copy in range(1 + training.augmentations)
    ]


def draw_augmentations(digest: str, copy: int, training: TrainingSettings) -> tuple[Augmentation, ...]:
    """The augmentations of one copy of an image; copy 0 is the image itself and has none."""
    return tuple(augmentation.draw(digest, copy, training) for augmentation in AUGMENTATIONS) if copy else ()
