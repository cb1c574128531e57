"""The scan cache: what decoding an image told, kept between runs by the digest of its file; nothing that names a patient."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from covid19.core.sqlite_cache import SqliteCache
from covid19.data.dataset import ImageStats
from covid19.data.images import PREPROCESSING_VERSION
from covid19.data.measurements.registry import ProbeMeasurements, valid_measurements

MAX_SIDE = 10**8  # pixels
MAX_CONTRAST, MAX_COLOUR = 128, 400  # grey levels; see `ImageStats`
MAX_ENTRY_BYTES = 100_000
HASH_DIGITS = re.compile("[0-9a-f]{64}")
DIGESTS_AT_ONCE = 500  # so that the measurements of a large data set are not all in memory when only its stats are wanted


class ScannedImage(NamedTuple):
    """What decoding told of one image."""

    stats: ImageStats
    measurements: ProbeMeasurements


def scan_key(digest: str) -> bytes:
    """The identity of what decoding an image told, by the digest of its file: 16 bytes."""
    return hashlib.blake2b(f"{PREPROCESSING_VERSION}/scan/{digest}".encode(), digest_size=16).digest()


class ScanCache(SqliteCache[ScannedImage]):
    """What decoding told of images, by `scan_key`; each entry is one JSON object, so a new measurement changes no table."""

    FILE_NAME = "scans.sqlite"
    TABLE = "scans_1"
    TITLE = "scan cache"
    CONTENT = "measurements of images"

    def encode(self, value: ScannedImage) -> bytes:
        """See `SqliteCache`."""
        return json.dumps({"stats": value.stats._asdict(), "measurements": value.measurements}).encode()

    def decode(self, content: bytes) -> ScannedImage | None:
        """See `SqliteCache`."""
        if len(content) > MAX_ENTRY_BYTES:
            return None
        try:
            entry = json.loads(content, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return None
        if not isinstance(entry, dict) or entry.keys() != {"stats", "measurements"}:
            return None
        stats, measurements = _valid_stats(entry["stats"]), valid_measurements(entry["measurements"])
        return None if stats is None or measurements is None else ScannedImage(stats, measurements)

    def put_scans(self, scans: Iterable[tuple[str, ImageStats, ProbeMeasurements]]) -> None:
        """Keep what decoding told of images, by the digest of their file."""
        self.put((scan_key(digest), ScannedImage(stats, measurements)) for digest, stats, measurements in scans)

    def stats(self, digests: Sequence[str]) -> dict[str, ImageStats]:
        """The stats of images that were decoded before, by the digest of their file."""
        found: dict[str, ImageStats] = {}
        for start in range(0, len(digests), DIGESTS_AT_ONCE):
            scans = self._scans(digests[start : start + DIGESTS_AT_ONCE])
            found |= {digest: scan.stats for digest, scan in scans.items()}
        return found

    def measurements(self, digests: Sequence[str]) -> dict[str, ProbeMeasurements]:
        """The measurements of images that were decoded before, by the digest of their file."""
        return {digest: scan.measurements for digest, scan in self._scans(digests).items()}

    def _scans(self, digests: Sequence[str]) -> dict[str, ScannedImage]:
        by_key = {scan_key(digest): digest for digest in digests}
        return {by_key[key]: scan for key, scan in self.get(list(by_key)).items()}


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")


def _valid_stats(value: object) -> ImageStats | None:
    """The stats in a JSON value, or None if a field is missing, unknown, of another type or out of range."""
    if not isinstance(value, dict) or value.keys() != set(ImageStats._fields):
        return None
    stats = ImageStats(**value)
    valid = (
        all(isinstance(side, int) and 0 < side <= MAX_SIDE for side in (stats.width, stats.height))
        and isinstance(stats.hash, str)
        and HASH_DIGITS.fullmatch(stats.hash) is not None
        and isinstance(stats.contrast, float)
        and 0 <= stats.contrast <= MAX_CONTRAST
        and isinstance(stats.colour, float)
        and 0 <= stats.colour <= MAX_COLOUR
    )
    return stats if valid else None
