"""The augmentations that each augmented copy of an image goes through, in this order. To add one, list it here."""

from __future__ import annotations

from covid19.features.augmentations.augmentation import Augmentation
from covid19.features.augmentations.rotation import Rotation

AUGMENTATIONS: tuple[type[Augmentation], ...] = (Rotation,)
