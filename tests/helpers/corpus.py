"""Bad and odd image files, made on the spot: what each is, and whether it is to be read or why it is not."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

READ = None
IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
SIDE = 64
# A picture that every way of keeping it keeps: two columns of blocks, dark and bright, so that turning and mirroring show.
GREY = np.kron(np.array([[40, 220], [90, 150]], np.uint8), np.ones((SIDE // 2, SIDE // 2), np.uint8))
HOLE = np.where(GREY > 200, np.nan, GREY).astype(np.float32)
NOISE = Image.fromarray(np.random.default_rng(4).integers(0, 256, (128, 128), np.uint8))
COLOUR = np.dstack([GREY, GREY, GREY])
KIND = "not an image of a kind that is read"
DAMAGED = "OpenCV cannot decode it"
LARGE = "million pixels, too many for a radiograph"


def encoded(form: str, picture: Image.Image | None = None, **options: object) -> bytes:
    """A picture as a file of some form."""
    stream = io.BytesIO()
    (picture or Image.fromarray(GREY)).save(stream, form, **options)
    return stream.getvalue()


def png_header(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG file that claims a size, and the rows that it holds."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def _with_long_chunk(name: bytes) -> bytes:
    """A PNG file in which a chunk claims four gigabytes, which OpenCV would take."""
    content = encoded("PNG")
    at = content.index(name)
    return content[: at - 4] + b"\xff" * 4 + content[at:]


def dicom(change: Callable[[FileDataset], None] = lambda dataset: None, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A DICOM file of `GREY`, changed."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax if syntax in (DEFLATED, IMPLICIT) else ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = GREY.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = GREY.tobytes()
    change(dataset)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    content = stream.getvalue()
    if syntax not in (ExplicitVRLittleEndian, IMPLICIT, DEFLATED):  # of the same length, padded, so that no other byte moves
        old = str(ExplicitVRLittleEndian).encode()
        content = content.replace(old + b"\0", syntax.encode().ljust(len(old) + 1, b"\0"), 1)
    return content


def _private(dataset: FileDataset) -> None:
    block = dataset.private_block(0x0009, "SOMEBODY", create=True)
    block.add_new(1, "UN", bytes(range(256)))
    block.add_new(2, "SQ", [pydicom.Dataset()])


def _set(**tags: object) -> Callable[[FileDataset], None]:
    def change(dataset: FileDataset) -> None:
        for name, value in tags.items():
            setattr(dataset, name, value)

    return change


def _without_pixels(dataset: FileDataset) -> None:
    del dataset.PixelData


def _palette(dataset: FileDataset) -> None:
    """Numbers of colours in place of grey values: 0 for the brightest."""
    colours = np.unique(GREY)[::-1].astype(int)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.PixelData = np.searchsorted(-colours, -GREY.astype(int)).astype(np.uint8).tobytes()
    for name in ("Red", "Green", "Blue"):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [len(colours), 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", (colours * 257).astype("<u2").tobytes())


def _without_meta() -> bytes:
    """A file of implicit types without preamble and meta information: its first element is of group 8."""
    content = dicom(_set(SOPClassUID="1.2.840.10008.5.1.4.1.1.1"), IMPLICIT)
    return content[144 + int.from_bytes(content[140:144], "little") :]


def _damaged(content: bytes) -> bytes:
    """A JPEG in which a block in the middle of the coded pixels is zero."""
    middle = len(content) // 2
    return content[:middle] + bytes(64) + content[middle + 64 :]


def _white_is_zero() -> bytes:
    """A TIFF of 16 bits in which white is 0."""
    shown = encoded("TIFF", Image.fromarray((255 - GREY).astype(np.uint16) * 257))
    tag = struct.pack("<HHIHH", 262, 3, 1, 1, 0)  # PhotometricInterpretation: black is zero
    assert tag in shown
    return shown.replace(tag, struct.pack("<HHIHH", 262, 3, 1, 0, 0), 1)


def _turned() -> bytes:
    """A JPEG that lies on its side, with an EXIF orientation that puts it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    return encoded("JPEG", Image.fromarray(np.rot90(GREY).copy()), exif=exif, quality=95)


def _claiming_tiff() -> bytes:
    """A TIFF of raw pixels whose height says many times as many rows as there are."""
    whole = encoded("TIFF")
    short = struct.pack("<HHI", 257, 4, 1) + struct.pack("<I", GREY.shape[0])
    assert short in whole
    return whole.replace(short, struct.pack("<HHII", 257, 4, 1, 1_000_000), 1)


def cases() -> dict[str, tuple[bytes, str | None]]:
    """Content and expected outcome by file name: `READ`, or words of the reason why the file is left out."""
    whole = Image.fromarray(GREY)
    pages = [Image.fromarray(GREY) for _ in range(2)]
    jpeg, png = encoded("JPEG", quality=95), encoded("PNG")
    found: dict[str, tuple[bytes, str | None]] = {
        "empty.png": (b"", "the file is empty"),
        "text.jpg": (b"this is no image\n" * 50, KIND),
        "html.png": (b"<html><body>404 not found</body></html>", f"{KIND}.* but a web page"),
        "zip.png": (b"PK\x03\x04" + bytes(100), KIND),
        "png named.jpg": (png, READ),
        "jpeg named.png": (jpeg, READ),
        "plain.bmp": (encoded("BMP"), READ),
        "plain.tiff": (encoded("TIFF"), READ),
        "progressive.jpg": (encoded("JPEG", progressive=True, quality=95), READ),
        "cmyk.jpg": (encoded("JPEG", Image.fromarray(COLOUR).convert("CMYK"), quality=95), READ),
        "alpha.png": (encoded("PNG", Image.fromarray(COLOUR).convert("RGBA")), READ),
        "grey alpha.png": (encoded("PNG", whole.convert("LA")), READ),
        "palette.png": (encoded("PNG", whole.convert("P")), READ),
        "one bit.png": (encoded("PNG", whole.point(lambda value: 255 * (value > 100), "1")), READ),
        "16 bits.png": (encoded("PNG", Image.fromarray(GREY.astype(np.uint16) * 200)), READ),
        "claiming.tiff": (_claiming_tiff(), "too few bytes for the pixels"),
        "16 bits.tiff": (encoded("TIFF", Image.fromarray(GREY.astype(np.uint16) * 200)), READ),
        "float.tiff": (encoded("TIFF", Image.fromarray(GREY.astype(np.float32) / 7)), READ),
        "not finite.tiff": (
            encoded("TIFF", Image.fromarray(np.where(GREY > 200, np.nan, GREY).astype(np.float32))),
            "not finite",
        ),
        "pages.tiff": (encoded("TIFF", pages[0], save_all=True, append_images=pages[1:]), "more than one page"),
        "animated.png": (encoded("GIF", pages[0], save_all=True, append_images=[Image.fromarray(255 - GREY)]), f"{KIND}.*GIF"),
        "animated.jpg": (encoded("WEBP", pages[0], save_all=True, append_images=[Image.fromarray(255 - GREY)]), KIND),
        "turned.jpg": (_turned(), READ),
        "one pixel.png": (encoded("PNG", Image.fromarray(GREY[:1, :1])), READ),
        "narrow.png": (encoded("PNG", Image.fromarray(np.tile(GREY[:, :1], (300, 1))[:19200])), READ),
        "long chunk.png": (_with_long_chunk(b"IDAT"), "the PNG file is truncated"),
        "long end.png": (_with_long_chunk(b"IEND"), "the PNG file is truncated"),
        "small bomb.png": (png_header(9000, 9000), "too few bytes for the pixels"),
        "bomb.png": (png_header(20000, 20000), "too few bytes for the pixels"),
        "larger bomb.png": (png_header(2**31 - 1, 2**31 - 1), "too few bytes for the pixels"),
        "large.png": (png_header(20000, 20000, bytes(400_020_000)), LARGE),
        "no pixels.dcm": (dicom(_without_pixels), "has no pixels, expected one frame"),
        "private.dcm": (dicom(_private), READ),
        "frames.dcm": (dicom(_set(NumberOfFrames=2, PixelData=2 * GREY.tobytes())), "has 2 frames, expected one frame"),
        "more frames.dcm": (dicom(_set(PixelData=7 * GREY.tobytes())), "more pixels than its header says"),
        "short.dcm": (dicom(_set(PixelData=GREY.tobytes()[:100])), "pydicom cannot decode it"),
        "bomb.dcm": (dicom(_set(Rows=65535, Columns=65535)), LARGE),
        "wrong length.dcm": (dicom().replace(b"UL\4\0", b"UL\1\0", 1), "the DICOM file has no pixels"),
        "no rows.dcm": (dicom(_set(Rows=0)), "pydicom cannot decode it"),
        "unknown.dcm": (dicom(syntax="1.2.3.4"), "pydicom cannot"),
        "deflated.dcm": (dicom(syntax=DEFLATED), "deflated DICOM files are not read"),
        "preamble.dcm": (bytes(128) + b"DICM", "no pixels"),
        "no preamble.dcm": (dicom()[132:], READ),
        "no meta information.ima": (_without_meta(), READ),
        "1.2.826.0.1.3680043.8.498": (dicom(), READ),
        "inverse.dcm": (dicom(_set(PresentationLUTShape="INVERSE", PixelData=(255 - GREY).tobytes())), READ),
        "palette.dcm": (dicom(_palette), READ),
        "empty rescale.dcm": (dicom(_set(RescaleSlope="", RescaleIntercept="")), READ),
        "no window.dcm": (dicom(_set(WindowCenter=100, WindowWidth=0)), READ),
        "without its end.jpg": (jpeg[:-2], READ),
        "damaged.jpg": (_damaged(encoded("JPEG", NOISE, quality=95)), "the JPEG file is damaged"),
        "white is zero.tiff": (_white_is_zero(), READ),
        "heic.jpg": (b"\0\0\0\x18ftypheic" + bytes(100), f"{KIND}.* but a HEIC picture: convert it to PNG"),
        "pointer.jpg": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            f"{KIND}.*Git LFS pointer: .*git lfs pull",
        ),
        "annex.jpg": (b"/annex/objects/MD5E-s10--0.jpg\n", f"{KIND}.*git-annex pointer"),
        "pdf.jpg": (b"%PDF-1.7\n" + bytes(100), f"{KIND}.*a PDF document"),
        "without extension": (dicom(), READ),
        "spaces and \u00e4\u65e5\u672c \U0001fac1.png": (png, READ),
        "new\nline.png": (png, READ),
        "escape\x1b[31mred.png": (png, READ),
        "-dash.png": (png, READ),
        "'quotes\" & <b>.png": (png, READ),
        f"{'x' * 251}.png": (png, READ),
    }
    for share in (0.02, 0.2, 0.5, 0.9, 0.999):
        found[f"truncated {share}.jpg"] = (jpeg[: int(share * (len(jpeg) - 10))], f"{DAMAGED}|the JPEG file is damaged")
        found[f"truncated {share}.png"] = (png[: int(share * (len(png) - 12))], f"{DAMAGED}|{KIND}")
        found[f"truncated {share}.dcm"] = (dicom()[: int(share * len(dicom()))], f"pydicom cannot|no pixels|{KIND}")
    # Contents that are equal would be duplicates of each other: a byte behind the end makes each its own.
    return {name: (content + f"#{number}".encode() if expected is READ else content, expected)
            for number, (name, (content, expected)) in enumerate(found.items())}  # fmt: skip


def write_corpus(folder: Path) -> dict[str, str | None]:
    """Write all files, and what is no file, into a folder; give the expected outcomes by name."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, (content, outcome) in cases().items():
        (folder / name).write_bytes(content)
        expected[name] = outcome
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "nowhere.png").symlink_to("not there.png")
    (folder / "folder.png").mkdir()
    outside = folder.parent.parent / f"outside of {folder.name}.png"
    outside.write_bytes(encoded("PNG") + folder.name.encode())
    (folder / "link.png").symlink_to(outside)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    return expected | {
        "pipe.png": "it is no regular file",
        "loop.png": "cannot be opened: Too many levels of symbolic links",
        "nowhere.png": "cannot be opened: No such file or directory",
        "link.png": READ,
        "round": "a link to a folder, which is not followed",
    }
