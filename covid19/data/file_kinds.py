"""What a file is: by its name where that tells enough, else by how its content begins. Names and first bytes in, kinds out."""

from __future__ import annotations

from pathlib import Path, PurePath

from covid19.data.dicom import is_dicom

READ_EXTENSIONS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".dcm", ".dicom")
READ_KINDS = ("PNG", "JPEG", "BMP", "TIFF", "DICOM")
# Endings of files that are no pictures, so that they need not be opened to know it.
DOCUMENT_EXTENSIONS = (
    ".csv", ".tsv", ".xlsx", ".xls", ".txt", ".md", ".json", ".xml", ".html", ".htm", ".pdf", ".doc", ".docx", ".py", ".ipynb",
    ".yml", ".yaml", ".log", ".zip", ".gz", ".tar", ".rar", ".7z", ".bib", ".h5", ".pt", ".pkl", ".sqlite",
)  # fmt: skip
# Endings of pictures that are not read, for files whose beginning does not tell.
UNREAD_EXTENSIONS = {
    ".webp": "WebP picture", ".gif": "GIF picture", ".heic": "HEIC picture", ".heif": "HEIC picture", ".avif": "AVIF picture",
    ".jp2": "JPEG 2000 picture", ".j2k": "JPEG 2000 picture", ".jxl": "JPEG XL picture",
    ".jxr": "JPEG XR picture", ".svg": "SVG drawing",
    ".nii": "NIfTI volume", ".mha": "MetaImage volume", ".mhd": "MetaImage volume", ".nrrd": "NRRD volume",
    ".npy": "NumPy array", ".npz": "NumPy archive", ".mat": "MATLAB file", ".psd": "Photoshop picture",
    ".pgm": "Netpbm picture", ".ppm": "Netpbm picture", ".raw": "file of raw pixels",
}  # fmt: skip
SYSTEM_NAMES = {
    "__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found", "__pycache__",
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "dicomdir",
}  # fmt: skip
START_BYTES = 512  # of a file's content that tell its kind
# How files begin: where, with what, and which kind that is.
STARTS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (8, b"WEBP", "WebP picture"),
    (0, b"GIF8", "GIF picture"),
    *((at, b"avif", "AVIF picture") for at in (16, 20)),  # among the kinds that it is compatible with
    *((4, b"ftypavi" + end, "AVIF picture") for end in (b"f", b"s")),
    *((4, b"ftyp" + brand, "HEIC picture") for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim")),
    (4, b"ftyp", "video"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000 picture"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL picture"),
    (0, b"\xff\x0a", "JPEG XL picture"),
    (0, b"II\xbc\x01", "JPEG XR picture"),
    *((0, b"P%d%c" % (number, space), "Netpbm picture") for number in range(1, 8) for space in b"\n\r\t "),
    (0, b"8BPS", "Photoshop picture"),
    (344, b"n+1\0", "NIfTI volume"),
    (0, b"NRRD", "NRRD volume"),
    (0, b"ObjectType", "MetaImage volume"),
    (0, b"\x93NUMPY", "NumPy array"),
    (0, b"\x89HDF", "HDF5 file"),
    (0, b"MATLAB", "MATLAB file"),
    (0, b"%PDF", "PDF document"),
    (0, b"PK\x03\x04", "ZIP archive"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"Rar!", "RAR archive"),
    (0, b"7z\xbc\xaf", "7-Zip archive"),
    (0, b"BZh", "bzip2 archive"),
    (0, b"\xfd7zXZ\0", "xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard archive"),
    (257, b"ustar", "tar archive"),
    (0, b"version https://git-lfs", "Git LFS pointer"),
)
# What to do about a kind that is no X-ray yet.
REMEDIES = {
    "Git LFS pointer": "fetch the file itself with git lfs pull",
    "git-annex pointer": "fetch the file itself with git annex get",
    "text file": "give the image itself",
    "web page": "download the file again: a page was saved in its place",
    **{f"{name} archive": "unpack it" for name in ("ZIP", "gzip", "RAR", "7-Zip", "bzip2", "xz", "Zstandard", "tar")},
}
CONVERT = "convert it to PNG"


def is_system_name(name: str) -> bool:
    """Whether a file or folder of this name was left behind by an operating system or a program, or is hidden."""
    return name.startswith((".", "~$")) or name.lower() in SYSTEM_NAMES


def stem_of(name: str) -> str:
    """A file's name without its folders and its picture's extension; a UID as a name keeps its last number."""
    path = PurePath(name)
    known = path.suffix.lower() in (*READ_EXTENSIONS, *UNREAD_EXTENSIONS)
    return path.stem if known else path.name


def kind_of(start: bytes) -> str:
    """The kind of a file by how it begins: one of `READ_KINDS`, another kind in words, or '' where nothing is known of it.

    Args:
        start: the first `START_BYTES` of the file, or all of it.
    """
    if is_dicom(start):
        return "DICOM"
    for at, magic, kind in STARTS:
        if start.startswith(magic, at):
            return kind
    words = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if words.startswith((b"<!doctype html", b"<html", b"<head")):
        return "web page"
    if b"<svg" in words:
        return "SVG drawing"
    if b"/annex/objects/" in words:
        return "git-annex pointer"
    printable = start and not start.translate(None, bytes(range(32, 127)) + b"\t\r\n\f") and b"\0" not in start
    return "text file" if printable else ""


def kind_of_file(path: Path) -> str:
    """The same of a file by its beginning, else its ending; '' of one that cannot be read or is no regular file."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return ""
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError:
        return ""
    return kind_of(start) or UNREAD_EXTENSIONS.get(path.suffix.lower(), "")


def is_image(path: Path) -> bool:
    """Whether a file counts as an image: by its extension, else if it begins as a picture that is read does."""
    name = path.name.lower()
    if is_system_name(name):  # macOS leaves a '._' file beside each image
        return False
    if name.endswith(READ_EXTENSIONS):
        return True
    return not name.endswith(DOCUMENT_EXTENSIONS) and kind_of_file(path) in READ_KINDS


def describe_kind(kind: str) -> str:
    """What a file is that is not read, and what to do about it, to follow 'not an image of a kind that is read (...)'."""
    if not kind:
        return ""
    article = "an" if kind[0].lower() in "aeiou" or kind.startswith(("HDF5", "NRRD", "SVG", "RAR")) else "a"
    return f" but {article} {kind}: {REMEDIES.get(kind, CONVERT)}"
