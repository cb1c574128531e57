"""The weights of the lung finder, and what identifies what it finds; needs no Keras."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

WEIGHTS_FILE = Path(__file__).with_name("lung_finder.npy")
FINDER_VERSION = 1  # counts up with every change, but that of the weights, of what is found in a picture


@cache
def finder_digest() -> str:
    """The identity of the finder, for caches: of its version and its weights."""
    return hashlib.sha256(f"{FINDER_VERSION}/".encode() + WEIGHTS_FILE.read_bytes()).hexdigest()[:16]
