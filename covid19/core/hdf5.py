"""Look an HDF5 file over before anything of it is read: it may come from anybody. No attribute is ever read.

`check_index` looks at the bytes, before the HDF5 library does: that one follows what refers to itself until the memory or the
stack is full. `list_arrays` looks at the headers of all arrays, before one is read.
"""

from __future__ import annotations

import itertools
import math
import mmap
import struct
import zlib
from collections.abc import Iterator

import h5py
import numpy as np

# HDF5 File Format Specification Version 3.0: the superblock of version 0 up to its base address, with 8-byte addresses and the
# usual sizes of nodes, as Keras, h5py and the official weights have it.
SUPERBLOCK = struct.pack("<8s8BHH4xQ", b"\x89HDF\r\n\x1a\n", 0, 0, 0, 0, 0, 8, 8, 0, 4, 16, 0)
# Signature and version of what only newer superblocks need: object headers, indexes and heaps of another kind.
NEWER_SIGNATURES = (b"OHDR\x02", b"BTHD\x00", b"FRHP\x00", b"FAHD\x00", b"EAHD\x00")
NODE_KINDS = (0, 1)  # of groups, of chunks
NODE_ENTRIES = 64  # at most
UNDEFINED_ADDRESS = 2**64 - 1  # address of a neighbour that is not there
NO_FREE_BLOCK = 1  # offset that ends a heap's list of free blocks
MAX_INDEXES = 10_000  # nodes and heaps in a file

MAX_DEPTH = 12  # groups inside groups; Keras nests five
MAX_OBJECTS = 1000  # groups and arrays; VGG16 with its top has about 60
MAX_CHUNKS = 64  # of one array, as many as one node of the index holds
MAX_PATH_CHARACTERS = 1000
DEFLATE, SHUFFLE = 1, 2  # registered numbers of the filters that Keras and h5repack use


def check_index(content: bytes | mmap.mmap) -> None:
    """Make sure that no index in a file refers to itself, by allowing only what is too small to need to refer to anything.

    Args:
        content: all of the file.

    Raises:
        ValueError: it has an index of more than one node, free blocks that never end, or what only newer files have.
    """
    if content[:20] != SUPERBLOCK[:20] or content[24:32] != SUPERBLOCK[24:]:  # between them are flags that nobody reads
        raise ValueError("it is no HDF5 file of the version that Keras writes")
    for signature in NEWER_SIGNATURES:
        if content.find(signature) >= 0:
            raise ValueError(f"it holds '{signature[:4].decode()}', which Keras does not write")
    for at in _find(content, b"TREE"):
        kind, level, used, left, right = struct.unpack_from("<BBHQQ", content, at + 4)
        if kind in NODE_KINDS and used <= NODE_ENTRIES and (level or (left, right) != (UNDEFINED_ADDRESS, UNDEFINED_ADDRESS)):
            raise ValueError("it has an index of more than one node")
    blocks = len(content) // 16  # none is smaller
    for at in _find(content, b"HEAP\x00"):
        size, block, start = struct.unpack_from("<QQQ", content, at + 8)
        while block != NO_FREE_BLOCK and block < size and start + block + 8 <= len(content):
            blocks -= 1
            if blocks < 0:
                raise ValueError("its free blocks refer to each other")
            (block,) = struct.unpack_from("<Q", content, start + block)


def _find(content: bytes | mmap.mmap, signature: bytes) -> Iterator[int]:
    """Where a signature stands, with enough after it for what it announces."""
    at = content.find(signature)
    for _ in range(MAX_INDEXES):
        if at < 0 or at + 32 > len(content):
            return
        yield at
        at = content.find(signature, at + 1)
    raise ValueError(f"it has more than {MAX_INDEXES} indexes")


def list_arrays(file: h5py.File, max_bytes: int) -> dict[str, h5py.Dataset]:
    """Find the arrays of a file and make sure, by headers alone, that reading them is harmless.

    Time and memory grow with the file's size at most linearly: each object is visited once, however many names it has.

    Args:
        file: open for reading.
        max_bytes: that all arrays together may take, uncompressed.

    Returns:
        The arrays by path. Each holds numbers of at most 8 bytes, or is one text of fixed length.

    Raises:
        ValueError: the file holds a link to elsewhere, data kept outside of it, values that are no numbers, storage that takes
            more memory than the array, or too many or too large objects.
    """
    arrays: dict[str, h5py.Dataset] = {}
    seen = {_address(file)}
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    total = 0
    while waiting:
        path, group = waiting.pop()
        if len(seen) + len(group) > MAX_OBJECTS:
            raise ValueError(f"it has more than {MAX_OBJECTS} objects")
        for name in group:
            inner = f"{path}/{name}".lstrip("/")
            if inner.count("/") >= MAX_DEPTH or len(inner) > MAX_PATH_CHARACTERS:
                raise ValueError(f"its groups are nested more than {MAX_DEPTH} deep, or have names that are too long")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"'{inner}' is a link to elsewhere")
            item = group[name]
            if _address(item) in seen:
                continue
            seen.add(_address(item))
            if isinstance(item, h5py.Group):
                waiting.append((inner, item))
                continue
            _check_array(inner, item)
            arrays[inner] = item
            total += item.nbytes
            if total > max_bytes:
                raise ValueError(f"its arrays take more than the {max_bytes / 1e6:.0f} MB expected")
            _check_storage(inner, item)
    return arrays


def _address(item: h5py.HLObject) -> int:
    return int(h5py.h5o.get_info(item.id).addr)


def _check_array(name: str, item: h5py.HLObject) -> None:
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise ValueError(f"'{name}' holds no numbers")
    if item.external or item.is_virtual:
        raise ValueError(f"the values of '{name}' lie outside of the file")
    number = item.dtype.kind in "fiu" and item.dtype.itemsize <= 8
    if not number and (item.dtype.kind != "S" or item.shape != ()):
        raise ValueError(f"'{name}' holds no numbers")


def _check_storage(name: str, item: h5py.Dataset) -> None:
    """HDF5 takes whole chunks into memory and unpacks each to its end, whatever the size of the array."""
    layout = item.id.get_create_plist()
    filters = [layout.get_filter(number)[0] for number in range(layout.get_nfilters())]
    if not set(filters) <= {DEFLATE, SHUFFLE} or len(set(filters)) < len(filters):
        raise ValueError(f"'{name}' is packed with a filter other than gzip and shuffle")
    if item.id.get_storage_size() > item.file.id.get_filesize():
        raise ValueError(f"'{name}' claims more bytes than the file has")
    if item.chunks is None:
        return
    if any(chunk > side for chunk, side in zip(item.chunks, item.shape, strict=True)):
        raise ValueError(f"'{name}' has chunks larger than itself")
    counts = [-(-side // chunk) for side, chunk in zip(item.shape, item.chunks, strict=True)]
    if math.prod(counts) > MAX_CHUNKS:
        raise ValueError(f"'{name}' has more than {MAX_CHUNKS} chunks")
    if DEFLATE not in filters:
        return
    size = math.prod(item.chunks) * item.dtype.itemsize
    for place in itertools.product(*map(range, counts)):
        skipped, packed = item.id.read_direct_chunk(tuple(np.multiply(place, item.chunks).tolist()))
        unpacker = zlib.decompressobj()
        if skipped or len(unpacker.decompress(packed, size + 1)) != size or not unpacker.eof:
            raise ValueError(f"a chunk of '{name}' does not unpack to its size")
