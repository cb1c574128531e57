"""JPEG files: what takes too long, what is damaged, and what only lacks its end."""

from __future__ import annotations

import re

MAX_JPEG_SCANS = 100  # encoders write about ten; an empty scan costs a few bytes in the file and a walk over the whole image
# The next marker of a JPEG file: behind entropy-coded data, 0xFF 0x00 and the restart markers are no new segment.
MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
WITHOUT_LENGTH = (0x01, 0xD8)
END = b"\xff\xd9"
SMALLEST = 8  # to which fraction the check scales: it needs every coefficient, but not every pixel


def whole_jpeg(content: bytes) -> bytes:
    """Walk over the segments of a JPEG file, count its scans (ITU-T T.81, annex B), and add its end if that alone is missing.

    Raises:
        ValueError: there are more than `MAX_JPEG_SCANS`.
    """
    at, scans = 2, 0
    while found := MARKER.search(content, at):
        kind, at = content[found.end() - 1], found.end()
        if kind == END_OF_IMAGE:
            return content
        if kind == START_OF_SCAN:
            scans += 1
            if scans > MAX_JPEG_SCANS:
                raise ValueError(f"the JPEG file has more than {MAX_JPEG_SCANS} scans")
        if kind not in WITHOUT_LENGTH:
            at += int.from_bytes(content[at : at + 2])
    return content + END if scans else content


def check_undamaged(content: bytes) -> None:
    """Make sure that a JPEG file that can be decoded is not damaged in the middle, which OpenCV fills up without a word.

    Raises:
        ValueError: it is.
    """
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(content, "Gray", min_height=1, min_width=1, min_factor=SMALLEST, strict=True)
    except ValueError as error:
        raise ValueError(f"the JPEG file is damaged: {' '.join(str(error).split())}") from error
