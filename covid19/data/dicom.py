"""DICOM files: their pixels as a viewer would show them, and what their headers say."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid19.data.dicom_display import displayed, is_negative

# What pydicom raises on files that are damaged or that it has no decoder for.
DAMAGED = (
    OSError, ValueError, AttributeError, LookupError, TypeError, EOFError, RuntimeError, NotImplementedError, ArithmeticError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip
DEFLATED = "1.2.840.10008.1.2.1.99"  # transfer syntax whose unpacked size nothing tells
MAX_READS = 200_000  # of a file's header; a radiograph's takes some thousands, and each element takes memory
FLOAT_BYTES = 8  # of a pixel behind a modality or VOI transformation, which pydicom makes in float64
MAX_REASON = 300  # characters
RLE_PADDING = 2  # bytes that a segment may be longer than its pixels
RLE_HEADER = 64  # bytes
# Where the size stands in an image that is compressed as JPEG (ITU-T T.81, B.2.2) or JPEG-LS (T.87): the start of frame.
JPEG_SEGMENT = re.compile(rb"\xff+([^\x00\xff\xd0-\xd9\x01])(..)", re.DOTALL)
START_OF_FRAME = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
START_OF_SCAN = 0xDA
J2K_START = b"\xff\x4f\xff\x51"  # start of a JPEG 2000 codestream and of its size (ITU-T T.800, A.5.1)
JP2_START = b"\x00\x00\x00\x0cjP  "  # of a file around a codestream, which some writers put into a DICOM file
PREAMBLE_BYTES = 132  # with the letters DICM
# How a file without a preamble begins: an element of a low number, of one of these types or of a short value.
FIRST_TYPES = {b"UL", b"OB", b"UI", b"CS", b"SH", b"DA", b"TM", b"LO", b"DT", b"US"}
MAX_FIRST_ELEMENT, MAX_FIRST_LENGTH = 0x20, 128
HEADER_TAGS = {
    "patient": "PatientID", "view": "ViewPosition", "coded view": "ViewCodeSequence", "modality": "Modality",
    "class": "SOPClassUID", "body": "BodyPartExamined",
}  # fmt: skip
CheckSize = Callable[[int, int], None]


class HeaderReader(io.BufferedReader):
    """A file of which only so many parts may be read: pydicom makes objects of each, 75 bytes of memory for one of the file."""

    name = ""  # pydicom asks for it

    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        self._left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does.

        Raises:
            ValueError: this was done too often.
        """
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"its header has more than {MAX_READS // 2} elements")
        return super().read(size)


def is_dicom(content: bytes) -> bool:
    """Whether a file's content begins as DICOM files do.

    That is 'DICM' after a preamble of 128 bytes (DICOM PS3.10, section 7.1), or, without it, one of the first elements.
    """
    return content[128:132] == b"DICM" or _begins_with_element(content)


def _begins_with_element(content: bytes) -> bool:
    """Whether the first bytes are an element of the group 2 or 8, with its type, or with its length and another one behind."""
    if len(content) < 16:
        return False
    group, element, length = struct.unpack("<HHI", content[:8])
    if group not in (2, 8) or element > MAX_FIRST_ELEMENT:
        return False
    if content[4:6] in FIRST_TYPES:
        return True
    following = content[8 + length : 12 + length]
    return length <= MAX_FIRST_LENGTH and len(following) == 4 and struct.unpack("<HH", following) > (group, element)


def is_dicom_file(path: Path) -> bool:
    """The same of a file; False of one that cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return is_dicom(file.read(PREAMBLE_BYTES + MAX_FIRST_LENGTH))
    except OSError:
        return False


def read_dicom(content: bytes, check_size: CheckSize) -> tuple[NDArray[Any], bool]:
    """The image after modality and VOI transformation (DICOM PS3.3, C.11.1 and C.11.2), and whether it is a negative.

    Args:
        content: of a DICOM file.
        check_size: raises a `ValueError` if so many pixels of so many bytes each are too many.

    Returns:
        Values of any depth, (height, width) or RGB (height, width, 3).

    Raises:
        ValueError: the file is damaged, compressed in a way for which a package is missing, too large, or has no single frame.
    """
    try:
        dataset = open_dataset(HeaderReader(io.BytesIO(content)))
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        frames, pixels = int(dataset.get("NumberOfFrames") or 1), "PixelData" in dataset
        rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        samples = int(dataset.get("SamplesPerPixel") or 1)
        depth = max(1, int(dataset.get("BitsAllocated") or 8) // 8)
    except DAMAGED as error:
        raise ValueError(f"pydicom cannot read it: {_explain(error)}") from error
    if frames != 1 or not pixels:
        raise ValueError(f"the DICOM file has {f'{frames} frames' if pixels else 'no pixels'}, expected one frame")
    check_size(rows * columns, FLOAT_BYTES if samples == 1 else samples * depth)
    _check_decoder(syntax)
    if _is_compressed(syntax):
        _check_frame(dataset, rows, columns, samples * depth)
    try:
        values = _pixels(dataset)
        if values.shape[:2] != (rows, columns) or values.shape[2:] not in ((), (3,)):
            raise ValueError("it has more pixels than its header says")
        if values.ndim == 2:
            values = displayed(values, dataset)
    except DAMAGED as error:
        raise ValueError(f"pydicom cannot decode it: {_explain(error)}") from error
    return np.asarray(values), is_negative(dataset)


def _pixels(dataset: Any) -> NDArray[Any]:
    """The stored pixels. Those whose bits do not begin at the lowest one, as the high bit tells, are moved there."""
    stored, high = int(dataset.get("BitsStored") or 0), int(dataset.get("HighBit") or 0)
    if _is_compressed(dataset.file_meta.get("TransferSyntaxUID")) or not 0 < stored <= high < int(dataset.BitsAllocated):
        return np.asarray(dataset.pixel_array)
    dataset.BitsStored = high + 1  # pydicom asks for this alone
    return np.asarray(dataset.pixel_array >> (high + 1 - stored))


def open_dataset(reader: HeaderReader, **options: Any) -> Any:
    """A dataset of pydicom's, which is lenient with values, but not with a stream whose unpacked size nothing tells."""
    import pydicom  # a fifth of a second that a folder without DICOM files need not pay

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.convert_wrong_length_to_UN = True
    start = reader.peek(PREAMBLE_BYTES + MAX_FIRST_LENGTH)
    if not is_dicom(start):
        raise ValueError("no DICOM file")
    reader.seek(PREAMBLE_BYTES if start[128:132] == b"DICM" else 0)
    # The file's meta information, group 2, is always in this encoding (DICOM PS3.10, section 7.1).
    meta = pydicom.filereader.read_dataset(reader, False, True, stop_when=lambda tag, *_: tag.group != 2)
    if meta.get("TransferSyntaxUID") == DEFLATED:
        raise ValueError("deflated DICOM files are not read")
    reader.seek(0)
    dataset = pydicom.dcmread(reader, force=True, **options)
    if not dataset.file_meta.get("TransferSyntaxUID"):  # of a file without meta information
        is_implicit, uids = dataset.original_encoding[0], pydicom.uid
        dataset.file_meta.TransferSyntaxUID = uids.ImplicitVRLittleEndian if is_implicit else uids.ExplicitVRLittleEndian
    return dataset


def _is_compressed(syntax: Any) -> bool:
    return bool(syntax and syntax.is_transfer_syntax and syntax.is_compressed)


def _check_decoder(syntax: Any) -> None:
    """Make sure that pixels of a transfer syntax can be decoded; a file that names none is left to pydicom.

    Raises:
        ValueError: they cannot, such as a video's, or a package is missing.
    """
    from pydicom.pixels.decoders.base import get_decoder

    if not _is_compressed(syntax):
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ValueError(f"the DICOM file is encoded as '{syntax.name}', which is not read; expected a still image") from error
    if not decoder.is_available:
        raise ValueError(f"the DICOM file is compressed ({syntax.name}): pip install 'covid19-xray[dicom]'")


def _check_frame(dataset: Any, rows: int, columns: int, bytes_per_pixel: int) -> None:
    """Make sure that compressed pixels have the size that the header says: decoders believe what the compressed data say.

    Raises:
        ValueError: they have another size, or do not say which.
    """
    from pydicom import encaps

    try:
        frame = encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    except DAMAGED as error:
        raise ValueError(f"pydicom cannot decode it: {_explain(error)}") from error
    if dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5":
        _check_run_lengths(frame, rows * columns, bytes_per_pixel)
        return
    size = _codestream_size(frame)
    if size != (rows, columns):
        found = f"{size[0]} x {size[1]} pixels" if size else "an unknown size"
        raise ValueError(f"its compressed image has {found}, its header says {rows} x {columns}")


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns as a JPEG, JPEG-LS or JPEG 2000 codestream says itself; None if it does not, or says two sizes."""
    if frame.startswith(JP2_START):
        frame = frame[max(frame.find(J2K_START), 0) :] if frame.count(J2K_START) == 1 else b""
    if frame.startswith(J2K_START):
        return _jpeg2000_size(frame)
    sizes, at = set(), 2
    while found := JPEG_SEGMENT.match(frame, at):
        kind, length = found[1][0], int.from_bytes(found[2])
        if kind == START_OF_SCAN:
            break
        if kind in START_OF_FRAME:
            sizes.add((int.from_bytes(frame[found.end() + 1 : found.end() + 3]),
                       int.from_bytes(frame[found.end() + 3 : found.end() + 5])))  # fmt: skip
        at = found.end() + length - 2
    return sizes.pop() if len(sizes) == 1 else None


def _jpeg2000_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG 2000 codestream (ITU-T T.800, A.5.1); None if it is cut off, or has subsampled components."""
    if len(frame) < 42:
        return None
    right, bottom, left, top = struct.unpack(">4I", frame[8:24])
    sampling = frame[42 : 42 + 3 * int.from_bytes(frame[40:42])]
    if any(step != 1 for step in sampling[1::3] + sampling[2::3]):
        return None
    return bottom - top, right - left


def _check_run_lengths(frame: bytes, pixels: int, segments: int) -> None:
    """Walk over the runs of an RLE frame (DICOM PS3.5, annex G) and make sure that they have a byte for each pixel, no more.

    Raises:
        ValueError: a segment has more, or the frame has too few segments.
    """
    if len(frame) < RLE_HEADER:
        raise ValueError("its compressed image is cut off")
    count, *offsets = struct.unpack("<16I", frame[:RLE_HEADER])
    if count != segments:
        raise ValueError(f"its compressed image has {count} segments, expected {segments}")
    ends = [*offsets[1:count], len(frame)]
    for start, end in zip(offsets[:count], ends, strict=True):
        at, length = start, 0
        while at < min(end, len(frame)) and length <= pixels + RLE_PADDING:
            control = frame[at]
            length += control + 1 if control < 128 else 257 - control if control > 128 else 0
            at += control + 2 if control < 128 else 2 if control > 128 else 1
        if length > pixels + RLE_PADDING:
            raise ValueError("its compressed image has more pixels than its header says")


def _explain(error: Exception) -> str:
    """What went wrong, in one line; pydicom's own words may go over several, the cause in the last."""
    if isinstance(error, MemoryError):
        return "an element claims more bytes than there is memory for"
    if isinstance(error, struct.error):
        return "it is damaged: an element is too short"
    return " ".join(str(error).split())[:MAX_REASON] or type(error).__name__


def header(path: Path) -> dict[str, str]:
    """`HEADER_TAGS` of a DICOM file, as written; empty where it does not say or cannot be read."""
    return _tags(path, HEADER_TAGS)


def header_in(content: bytes) -> dict[str, str]:
    """The same of a file's content; nothing of one of another kind."""
    return _tags(content, HEADER_TAGS) if is_dicom(content) else {}


def acquisition(path: Path) -> dict[str, str | float]:
    """How a DICOM file says that it was taken: `format`, `device`, and as numbers `bits`, `kilovolts`, `exposure`."""
    words = {"maker": "Manufacturer", "model": "ManufacturerModelName", "software": "SoftwareVersions"}
    numbers = {"bits": "BitsStored", "kilovolts": "KVP", "exposure": "Exposure"}
    found = _tags(path, words | numbers)
    measured: dict[str, str | float] = {}
    for name in numbers:
        try:
            measured[name] = float(found[name] or 0)
        except ValueError:
            measured[name] = 0.0
    return measured | {"format": "DICOM", "device": " ".join(found[name] for name in words).strip()}


def _tags(source: Path | bytes, tags: dict[str, str]) -> dict[str, str]:
    try:
        raw = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb", buffering=0)
        with HeaderReader(raw) as reader:
            dataset = open_dataset(reader, stop_before_pixels=True, specific_tags=list(tags.values()))
            return {name: _text(dataset.get(tag)) for name, tag in tags.items()}
    except DAMAGED:
        return dict.fromkeys(tags, "")


def _text(value: Any) -> str:
    """The value of an element as written; of coded ones the meaning of the first."""
    from pydicom.sequence import Sequence

    if isinstance(value, Sequence):
        value = value[0].get("CodeMeaning") if len(value) else None
    return str(value or "").strip()
