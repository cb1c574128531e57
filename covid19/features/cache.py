"""The feature cache: features of images and augmented copies, kept between runs, so that the backbone is run once on each.

Digests of images, augmentations and features go in; features come out. A renamed or copied image hits, a changed one misses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from covid19.core.arrays import Float32Array
from covid19.core.sqlite_cache import SqliteCache, default_folder
from covid19.data.appearance import APPEARANCE_WIDTH
from covid19.data.images import PREPROCESSING_VERSION
from covid19.data.scan_cache import ScanCache
from covid19.features.backbone.description import BACKBONE
from covid19.lungs.scan import LungCache

LARGEST_FEATURE = 1e30  # see `magnitudes`


def feature_key(digest: str, augmentation: str, base: str, occlusion: str = "") -> bytes:
    """The identity of a feature: 16 bytes of a hash over all that it depends on.

    Args:
        digest: of the image file's bytes.
        augmentation: see `View.augmentation_key`.
        base: digest of the base's weights and preprocessing.
        occlusion: what is occluded of the image, see `View.occlusion_key`.
    """
    text = f"{PREPROCESSING_VERSION}/{base}/{digest}/{augmentation}" + (f"/{occlusion}" if occlusion else "")
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class FeatureCache(SqliteCache[Float32Array]):
    """Features, float32 (width,), by `feature_key`."""

    FILE_NAME = "features.sqlite"
    TABLE = "features_3"
    TITLE = "feature cache"
    CONTENT = "features"
    WIDTH: ClassVar[int] = BACKBONE.width  # numbers of an image

    def encode(self, value: Float32Array) -> bytes:
        """See `SqliteCache`."""
        return np.asarray(value, "<f4").tobytes()

    def decode(self, content: bytes) -> Float32Array | None:
        """See `SqliteCache`: as many finite numbers as an image has, of a size that the base can give."""
        if len(content) != 4 * self.WIDTH:
            return None
        feature = np.frombuffer(content, "<f4")
        return feature if (np.abs(feature) <= LARGEST_FEATURE).all() else None


class AppearanceCache(FeatureCache):
    """The appearance of images, float32 (14,), see `appearance.appearance`."""

    FILE_NAME = "appearances.sqlite"
    TABLE = "appearances_1"
    TITLE = "appearance cache"
    CONTENT = "appearances"
    WIDTH = APPEARANCE_WIDTH


class Caches(NamedTuple):
    """The caches of a run, each in a file of its own in the cache folder."""

    scans: ScanCache
    lungs: LungCache
    appearances: AppearanceCache
    features: FeatureCache


@contextmanager
def open_caches(cache: bool, cache_dir: Path | None, cache_size: int) -> Iterator[Caches]:
    """Open the caches that a command's flags ask for.

    The features give way first when all together are larger than `cache_size`, then the appearances and the lungs: the scans of
    a data set are far smaller.

    Args:
        cache: whether to keep anything between runs.
        cache_dir: folder of the files; None is the user's cache folder.
        cache_size: bytes that the files together may have after the run.
    """
    folder = (cache_dir or default_folder()) if cache else None
    with (
        ScanCache(folder, cache_size) as scans,
        LungCache(folder, cache_size, (scans,)) as lungs,
        AppearanceCache(folder, cache_size, (scans, lungs)) as appearances,
        FeatureCache(folder, cache_size, (scans, lungs, appearances)) as features,
    ):
        yield Caches(scans, lungs, appearances, features)


def cache_files(folder: Path) -> list[Path]:
    """The files that the caches have in a folder."""
    return [folder / cache.FILE_NAME for cache in (ScanCache, LungCache, AppearanceCache, FeatureCache)]
