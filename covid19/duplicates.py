"""Find one picture under several files without comparing all pairs: perceptual hashes in, groups of near-equal ones out."""

from __future__ import annotations

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Hashes = NDArray[np.uint64]

SIDE = 16  # of the hash: 256 bits; with the usual 64, different chest X-rays collide
# Bits in which two files of one picture may differ. Measured on 268 radiographs and the phantoms: resaved at JPEG quality 40 or
# halved, at most 12; different pictures, at least 14.
NEAR = 12


# Correlation of pixels above which two near pictures are one. Measured on the same images: resaved or halved, at least 0.995;
# different phantoms of near-equal hash, at most 0.986.
SAME = 0.99


def same_picture(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two pictures, uint8 (224, 224, 3), show the same image, be it resaved or rescaled."""
    greys = [picture.mean(axis=2).ravel() for picture in (one, other)]
    if min(grey.std() for grey in greys) == 0:
        return bool(np.array_equal(*greys))
    return bool(np.corrcoef(*greys)[0, 1] > SAME)


def perceptual_hash(pixels: NDArray[np.uint8]) -> str:
    """ImageHash's DCT hash of a picture: near-equal for resaved, rescaled or re-encoded files of one image.

    Args:
        pixels: uint8 array (224, 224, 3), RGB.

    Returns:
        64 hexadecimal digits.
    """
    return str(imagehash.phash(Image.fromarray(pixels), hash_size=SIDE))


def near_groups(hashes: list[str]) -> NDArray[np.intp]:
    """Give near-equal hashes the same number.

    Two hashes that differ in at most `NEAR` bits are equal in at least one of `NEAR` + 1 bands of bits, so only hashes that
    share a band are compared. The bits are shuffled first: the low frequencies of all chest X-rays are much alike, and a band
    made of them alone would hold every image.

    Args:
        hashes: from `perceptual_hash`.

    Returns:
        For each hash the number of its group, intp (n,); groups are linked by chains of near pairs.
    """
    if not hashes:
        return np.empty(0, np.intp)
    unique, position = np.unique(np.array([bytes.fromhex(text) for text in hashes]), return_inverse=True)
    octets = np.frombuffer(unique.astype(f"S{SIDE * SIDE // 8}").tobytes(), np.uint8).reshape(len(unique), -1)
    words = octets.copy().view(np.uint64)
    bits = np.unpackbits(octets, axis=1)[:, np.random.default_rng(0).permutation(SIDE * SIDE)]
    pairs = [_near_pairs(words, _numbers(band)) for band in np.array_split(bits, NEAR + 1, axis=1)]
    first, second = np.concatenate(pairs, axis=1)
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(unique), len(unique)))
    return np.asarray(connected_components(links, directed=False)[1][position], np.intp)


def _numbers(band: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Rows of bits as whole numbers."""
    return np.asarray(band.astype(np.int64) @ (1 << np.arange(band.shape[1], dtype=np.int64)), np.int64)


def _near_pairs(words: Hashes, key: NDArray[np.int64]) -> NDArray[np.intp]:
    """Pairs of hashes with an equal key that differ in at most `NEAR` bits, intp (2, pairs)."""
    order = np.argsort(key, kind="stable")
    key, words = key[order], words[order]
    found = [np.empty((2, 0), np.intp)]
    start = np.arange(len(key) - 1)
    # Compare each with its 1st, 2nd, ... neighbour in key order, for as long as that still has the same key.
    for step in range(1, len(key)):
        start = start[start + step < len(key)]
        start = start[key[start] == key[start + step]]
        if not start.size:
            break
        near = start
        for word in words.T:  # most pairs are told apart by their first 64 bits
            near = near[np.bitwise_count(word[near] ^ word[near + step]) <= NEAR]
        near = near[np.bitwise_count(words[near] ^ words[near + step]).sum(axis=1) <= NEAR]
        found.append(np.stack([order[near], order[near + step]]))
    return np.concatenate(found, axis=1)
