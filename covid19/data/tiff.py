"""What a TIFF file's first directory says of its pixels (TIFF 6.0, section 2), also of files that Pillow does not open."""

from __future__ import annotations

import struct
from typing import NamedTuple

BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # tags
SHORT = 3  # type of a tag's values, two bytes each
MAX_TAGS = 1000
BIG = 43  # version of a BigTIFF file


class TiffHeader(NamedTuple):
    """Of the first page of a TIFF file.

    Attributes:
        white_is_zero: whether 0 is white.
        bits: of a sample, the most that one has; 0 where the file does not say.
        is_last: whether no other page follows.
    """

    white_is_zero: bool
    bits: int
    is_last: bool


def tiff_header(content: bytes) -> TiffHeader | None:
    """Read a TIFF file's first directory; None where it is cut off or damaged."""
    order = "<" if content.startswith(b"II") else ">"
    try:
        (version,) = struct.unpack_from(f"{order}H", content, 2)
        # Of a directory: how its offset, its count of tags, and one tag's count of values are written.
        offset_type, count_type, start = ("Q", "Q", 8) if version == BIG else ("I", "H", 4)
        (at,) = struct.unpack_from(f"{order}{offset_type}", content, start)
        (count,) = struct.unpack_from(f"{order}{count_type}", content, at)
        if count > MAX_TAGS:
            return None
        at += struct.calcsize(count_type)
        entry = struct.Struct(f"{order}HH{offset_type}")
        size = entry.size + struct.calcsize(offset_type)
        found = {}
        for place in range(at, at + count * size, size):
            tag, kind, values = entry.unpack_from(content, place)
            if tag in (BITS_PER_SAMPLE, PHOTOMETRIC) and kind == SHORT:
                length = 2 * values  # bytes; where they do not fit into the entry, it says where they are
                value = place + entry.size
                if length > struct.calcsize(offset_type):
                    (value,) = struct.unpack_from(f"{order}{offset_type}", content, value)
                found[tag] = struct.unpack_from(f"{order}{min(values, 16)}H", content, value)
        (following,) = struct.unpack_from(f"{order}{offset_type}", content, at + count * size)
    except (struct.error, OverflowError):
        return None
    return TiffHeader(found.get(PHOTOMETRIC) == (0,), max(found.get(BITS_PER_SAMPLE, ()), default=0), following == 0)
