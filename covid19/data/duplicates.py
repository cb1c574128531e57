"""Find one picture under several files without comparing all pairs: perceptual hashes in, groups of near-equal ones out."""

from __future__ import annotations

from collections.abc import Sequence

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from covid19.core.arrays import UInt64Array

HASH_SIDE_CELLS = 16  # of the hash: 256 bits; with the usual 64, different chest X-rays collide
# Bits in which two files of one picture may differ. Measured on 268 radiographs and the phantoms: resaved at JPEG quality 40 or
# halved, at most 12; different pictures, at least 14.
MAX_NEAR_DISTANCE_BITS = 12
# Correlation of pixels above which two near pictures are one. Measured on the same images: resaved or halved, at least 0.995;
# different phantoms of near-equal hash, at most 0.986.
MIN_SAME_CORRELATION = 0.99
# Hashes that each one is compared with in a band of bits. Ordinary radiographs share a band with far fewer; where thousands do,
# only the most alike of them are compared, so that the work grows with the number of images and not with its square.
MAX_NEIGHBOURS = 500
MAX_PENDING_PAIRS = 1 << 20  # found pairs that are held before they are merged into groups, 16 bytes each


def same_picture(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two pictures, uint8 (224, 224, 3), show the same image, be it resaved or rescaled."""
    greys = [picture.mean(axis=2).ravel() for picture in (one, other)]
    if min(grey.std() for grey in greys) == 0:
        return bool(np.array_equal(*greys))
    return bool(np.corrcoef(*greys)[0, 1] > MIN_SAME_CORRELATION)


def perceptual_hash(pixels: NDArray[np.uint8]) -> str:
    """ImageHash's DCT hash of a picture: near-equal for resaved, rescaled or re-encoded files of one image.

    Args:
        pixels: uint8 array (224, 224, 3), RGB.

    Returns:
        64 hexadecimal digits.
    """
    return str(imagehash.phash(Image.fromarray(pixels), hash_size=HASH_SIDE_CELLS))


def is_blank(hash_: str) -> bool:
    """Whether a hash is that of a picture of one shade, which has no bit set but the one of its mean brightness.

    All such pictures have the same hash, so it says nothing about whether two of them are the same picture.
    """
    return not hash_[1:].strip("0") and hash_[0] in "08"


def hash_words(hashes: Sequence[str]) -> UInt64Array:
    """Hashes as numbers whose differing bits can be counted, uint64 (n, 4)."""
    octets = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8)
    return octets.view(np.uint64).reshape(-1, HASH_SIDE_CELLS * HASH_SIDE_CELLS // 64)


def near_groups(hashes: Sequence[str]) -> NDArray[np.intp]:
    """Give near-equal hashes the same number.

    Two hashes that differ in at most `MAX_NEAR_DISTANCE_BITS` bits are equal in at least one of that many bands of bits and one
    more, so only hashes that share a band are compared. The bits are shuffled first: the low frequencies of all chest X-rays
    are much alike, and a band made of them alone would hold every image. Hashes that share a band are compared in the order of
    their other bits, each with its next `MAX_NEIGHBOURS`.

    Args:
        hashes: from `perceptual_hash`.

    Returns:
        For each hash the number of its group, intp (n,); groups are linked by chains of near pairs.
    """
    if not hashes:
        return np.empty(0, np.intp)
    unique, position = np.unique(np.array([bytes.fromhex(text) for text in hashes]), return_inverse=True)
    octets = np.frombuffer(unique.astype(f"S{HASH_SIDE_CELLS * HASH_SIDE_CELLS // 8}").tobytes(), np.uint8).reshape(
        len(unique), -1
    )
    words = octets.copy().view(np.uint64)
    bits = np.unpackbits(octets, axis=1)[:, np.random.default_rng(0).permutation(HASH_SIDE_CELLS * HASH_SIDE_CELLS)]
    groups = np.arange(len(unique))
    for band in np.array_split(np.arange(HASH_SIDE_CELLS * HASH_SIDE_CELLS), MAX_NEAR_DISTANCE_BITS + 1):
        rotated = np.packbits(np.roll(bits, -band[0], axis=1), axis=1)
        order = np.lexsort(rotated.T[::-1])
        groups = _link(groups, words, order, _numbers(bits[order][:, band]))
    return np.asarray(groups[position], np.intp)


def _numbers(band: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Rows of bits as whole numbers."""
    return np.asarray(band.astype(np.int64) @ (1 << np.arange(band.shape[1], dtype=np.int64)), np.int64)


def _link(groups: NDArray[np.intp], words: UInt64Array, order: NDArray[np.intp], key: NDArray[np.int64]) -> NDArray[np.intp]:
    """Merge the groups of hashes that have an equal key and differ in at most `MAX_NEAR_DISTANCE_BITS` bits.

    Args:
        groups: a number for each hash, (n,).
        words: the hashes, uint64 (n, 4).
        order: positions of the hashes, sorted by their key and then by their other bits.
        key: of the hashes in that order.

    Returns:
        The new group numbers, (n,).
    """
    pending = [np.empty((2, 0), np.intp)]
    start = np.arange(len(key) - 1)
    # Compare each with its 1st, 2nd, ... neighbour in the order, for as long as that still has the same key.
    for step in range(1, min(len(key), MAX_NEIGHBOURS + 1)):
        start = start[start + step < len(key)]
        start = start[key[start] == key[start + step]]
        if not start.size:
            break
        first, second = order[start], order[start + step]
        apart = groups[first] != groups[second]
        first, second = first[apart], second[apart]
        for word in words.T:  # most pairs are told apart by their first 64 bits
            close = np.bitwise_count(word[first] ^ word[second]) <= MAX_NEAR_DISTANCE_BITS
            first, second = first[close], second[close]
        close = np.bitwise_count(words[first] ^ words[second]).sum(axis=1) <= MAX_NEAR_DISTANCE_BITS
        pending.append(np.stack([first[close], second[close]]))
        if step == 1 or sum(pairs.shape[1] for pairs in pending) > MAX_PENDING_PAIRS:
            groups, pending = _merged(groups, pending), [np.empty((2, 0), np.intp)]
    return _merged(groups, pending)


def _merged(groups: NDArray[np.intp], pairs: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    """The groups with those of each pair of positions made one."""
    first, second = groups[np.concatenate(pairs, axis=1)]
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(groups), len(groups)))
    return np.asarray(connected_components(links, directed=False)[1][groups], np.intp)
