"""The images that the backbone is run on: each record with a part hidden or as it is, and augmented copies of that."""

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
    """What a view takes of an image: its file, what is hidden, and its augmentations. All that another machine needs."""

    path: Path
    augmentations: tuple[Augmentation, ...]
    occlusion: Occlusion | None


class View(NamedTuple):
    """One image with a part of it hidden and then augmentations applied in turn, or none of these."""

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


def augmented_views(views: Sequence[View], augmented: Collection[int], training: TrainingSettings) -> list[View]:
    """Each view, and side by side with it its augmented copies, `training.augmentations` of them.

    Args:
        views: one of each image of the data set, without augmentations.
        augmented: positions of the images to augment; the copies of the others are the same view again.
        training: number of copies, seed, and what the registered augmentations need.
    """
    augmented = set(augmented)
    return [
        view._replace(augmentations=draw_augmentations(view.record.digest, copy, training) if position in augmented else ())
        for position, view in enumerate(views)
        for copy in range(1 + training.augmentations)
    ]


def draw_augmentations(digest: str, copy: int, training: TrainingSettings) -> tuple[Augmentation, ...]:
    """The augmentations of one copy of an image; copy 0 is the image itself and has none."""
    return tuple(augmentation.draw(digest, copy, training) for augmentation in AUGMENTATIONS) if copy else ()
