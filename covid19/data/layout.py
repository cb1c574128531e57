"""How a data set is laid out: paths of images in, the class and the part of a given split of each out.

Nothing here opens a file: that `COVID/masks` holds masks, `train` a part of a split and `images_001` neither is told by names.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from covid19.data.file_kinds import stem_of
from covid19.data.walk import Skipped

# Words in names of folders. A part's name may hold these and words that say nothing, such as `stage_2_train_images`.
WORDS_OF_PARTS = {
    "train": ("train", "training", "trn", "entrenamiento", "entrainement", "addestramento"),
    "validation": ("val", "valid", "vali", "validation", "validate", "dev", "validierung", "validacion", "validazione"),
    "test": ("test", "testing", "tst", "holdout", "eval", "prueba"),
}
PARTS = {word: part for part, words in WORDS_OF_PARTS.items() for word in words}
MASK_WORDS = {
    "mask", "masks", "lungmask", "lungmasks", "segmentation", "segmentations", "contour", "contours", "groundtruth",
    "silhouettes", "maske", "masken", "masque", "masques", "mascara", "mascaras", "maschera", "maschere",
}  # fmt: skip
NEUTRAL_WORDS = {
    "images", "image", "img", "imgs", "data", "dataset", "datasets", "files", "pictures", "xray", "xrays", "cxr", "cxrs",
    "chest", "png", "pngs", "jpg", "jpgs", "jpeg", "dicom", "dicoms", "dcm", "stage", "set", "split", "raw", "original", "x",
    "ray", "rays", "radiographs", "scans", "bild", "bilder", "daten", "imagen", "imagenes", "immagini",
}  # fmt: skip
# A number after one of these counts parts, patients or studies: such a folder is no class.
COUNTED_WORDS = NEUTRAL_WORDS | {
    "part", "batch", "shard", "chunk", "folder", "archive", "volume", "vol", "fold", "patient", "patients", "pat", "subject",
    "subj", "sub", "case", "person", "p", "s", "study", "series", "session", "visit", "view", "exam",
}  # fmt: skip
# What the name of a mask has beside that of its image: an ending such as `_mask`, `-lungmask`, or a beginning such as `mask_`.
MASK_ENDING = re.compile(
    r"[_\-. ](?:(?:left|right|lungs?|infection)[_\-. ]?)*(?:masks?|seg|segmentation|label|contour|gt)$"
    r"|^(?:lung)?masks?[_\-. ]",
    re.IGNORECASE,
)
IMAGE_FOLDERS = {"images", "image", "imgs", "img", "cxr", "bilder", "bild", "imagenes", "immagini", "xrays", "radiographs"}
MIN_SHARED = 0.9  # of the names of a folder's files that are those of another, from which on it is a copy, or holds masks


class Place(NamedTuple):
    """Where an image belongs.

    Attributes:
        label: its class; '' in no class folder.
        part: 'train', 'validation', 'test', or '' where no folder says so.
    """

    label: str
    part: str


class Layout(NamedTuple):
    """How images are laid out.

    Attributes:
        places: of each image that is no mask and no copy, by its path.
        top: the folder below which the classes lie, '' for the root.
        skipped: folders of masks, of copies, and without images.
    """

    places: dict[str, Place]
    top: str
    skipped: list[Skipped]

    @property
    def mixed(self) -> list[str]:
        """Folders that name no part of a split where others name a training part and another: they cannot be told apart."""
        named = {place.part for place in self.places.values()} - {""}
        heads = {name.removeprefix(f"{self.top}/").split("/")[0] for name, place in self.places.items() if not place.part}
        return sorted(heads) if "train" in named and len(named) > 1 else []

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, sorted."""
        return tuple(sorted({place.label for place in self.places.values() if place.label}))

    @property
    def parts(self) -> dict[str, int]:
        """How many images each part of a given split has; empty without one."""
        return dict(Counter(place.part for place in self.places.values() if place.part))


def find_layout(names: Sequence[str], folders: Iterable[str], root_name: str) -> Layout:
    """Tell classes, parts of a split, masks and copies apart.

    Args:
        names: paths of the images relative to the root.
        folders: paths of all folders.
        root_name: name of the root's folder, which an archive often holds once more.
    """
    skipped: list[Skipped] = []
    names = _without_masks(names, skipped)
    names = _without_copies(names, skipped)
    top = _top(names, root_name)
    length = len(top.split("/")) if top else 0
    places = {name: _place(name.split("/")[length:-1]) for name in names}
    used = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    known = {str(folder) for skip in skipped for folder in (PurePosixPath(skip.path), *PurePosixPath(skip.path).parents)}
    for folder in folders:  # at the level of the classes
        outer = {str(parent) for parent in PurePosixPath(folder).parents}
        in_class = _place(folder.split("/")[length:-1]).label
        if folder not in used and not in_class and not known & {folder, *(outer - {"."})} and (outer - {"."}) <= used:
            skipped.append(Skipped(folder, "holds no image and is ignored", "folder"))
    places = _with_parts_in_names(places)
    return Layout(with_one_spelling(places) if any(place.part for place in places.values()) else places, top, skipped)


def part_of(name: str) -> str:
    """The part of a split that the name of a folder or file says: 'train', 'validation', 'test' or ''."""
    words = _words(name)
    parts = {PARTS[word] for word in words if word in PARTS}
    rest = [word for word in words if word not in PARTS]
    return parts.pop() if len(parts) == 1 and all(word in NEUTRAL_WORDS or word.isdigit() for word in rest) else ""


def _with_parts_in_names(places: dict[str, Place]) -> dict[str, Place]:
    """The places where the folders of all classes name a part beside the class, as `train_covid` and `test_covid` do."""
    told = {label: _part_and_rest(label) for label in {place.label for place in places.values()} - {""}}
    rests = Counter(rest for part, rest in told.values() if part and rest)
    if len({part for part, _ in told.values()}) < 2 or rests.total() < len(told) or max(rests.values()) < 2:
        return places
    return {
        name: place if not place.label else Place(told[place.label][1], told[place.label][0]) for name, place in places.items()
    }


def _part_and_rest(name: str) -> tuple[str, str]:
    """The part that a folder's name begins or ends with, and the name without it; ('', name) where it names none."""
    for pattern in (r"(?P<part>[^\W_]+?)(?:[\W_]+|(?<=[a-z])(?=[A-Z]))(?P<rest>.+)", r"(?P<rest>.+)[\W_]+(?P<part>[^\W_]+)"):
        match = re.fullmatch(pattern, name)
        if match and (part := PARTS.get(match["part"].lower())):
            return part, match["rest"]
    return "", name


def with_one_spelling(places: dict[str, Place]) -> dict[str, Place]:
    """The places with classes whose names differ by case alone made one: `train/NORMAL` and `test/Normal`."""
    spelling: dict[str, str] = {}
    for label in sorted({place.label for place in places.values()}):
        spelling.setdefault(label.casefold(), label)
    return {name: Place(spelling[place.label.casefold()], place.part) for name, place in places.items()}


def is_mask_folder(name: str) -> bool:
    """Whether a folder of this name holds masks: `masks`, `lung masks`, `leftMask`."""
    return any(word in MASK_WORDS for word in _words(name)) or "".join(_words(name)) in MASK_WORDS


def is_class_name(name: str) -> bool:
    """Whether a folder of this name may be a class, rather than a part, a patient, or `images`."""
    words = _words(name)
    numbered = len(words) > 1 and any(word.isdigit() for word in words)
    neutral = COUNTED_WORDS if numbered else NEUTRAL_WORDS
    return not part_of(name) and not all(word in neutral or (numbered and word.isdigit()) for word in words)


def is_neutral(name: str) -> bool:
    """Whether a folder's name tells nothing of class or patient: `images`, `images_001`, `train`."""
    return bool(part_of(name)) or (all(word in NEUTRAL_WORDS or word.isdigit() for word in _words(name)) and not name.isdigit())


def _words(name: str) -> list[str]:
    """The words of a name in lower case, parted by signs, by capitals in camel case, and before numbers."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)", " ", name)
    return re.findall(r"[^\W_]+", spaced.lower())


def _place(folders: Sequence[str]) -> Place:
    """The class is the first folder whose name may be one; the part is told before it or right below it."""
    part = ""
    for at, folder in enumerate(folders):
        if is_class_name(folder):
            below = part_of(folders[at + 1]) if at + 1 < len(folders) else ""
            return Place(folder, part or below)
        part = part or part_of(folder)
    return Place("", part)


def _without_masks(names: Sequence[str], skipped: list[Skipped]) -> list[str]:
    """The images that are no masks: by their folder's name, by their own, or by being named as the images beside them are."""
    stems: dict[str, set[str]] = defaultdict(set)  # of the images of each folder
    for name in names:
        stems[str(PurePosixPath(name).parent)].add(stem_of(name).lower())
    masks = _named_for_masks(list(stems))
    masks |= _named_as_images({folder: own for folder, own in stems.items() if folder not in masks})
    plain = {stem for folder, own in stems.items() if folder not in masks for stem in own}
    counts: Counter[str] = Counter()
    kept = []
    for name in names:
        folder, stem = str(PurePosixPath(name).parent), stem_of(name).lower()
        bare = MASK_ENDING.sub("", stem)
        if folder in masks or (bare != stem and bare in plain):
            counts[folder] += 1
        else:
            kept.append(name)
    skipped += [
        Skipped(folder, f"{count} mask{'s' * (count != 1)}, no X-rays", "mask") for folder, count in sorted(counts.items())
    ]
    return kept


def _named_for_masks(folders: Sequence[str]) -> set[str]:
    """The folders in or below one that is named for masks, unless that holds all pictures or a folder of images."""
    around: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        parts = folder.split("/")
        for depth in range(1, len(parts) + 1):
            if is_mask_folder(parts[depth - 1]):
                around["/".join(parts[:depth])].append(folder)
    found: set[str] = set()
    for name, inside in around.items():
        holds_images = any(IMAGE_FOLDERS.intersection(other[len(name) :].lower().split("/")) for other in inside)
        if len(inside) < len(folders) and not holds_images:
            found.update(inside)
    return found


def _named_as_images(stems: dict[str, set[str]]) -> set[str]:
    """The folders beside one of images that hold a picture for each: whatever these are, they are made of the X-rays."""
    beside: dict[str, str] = {}
    for folder in sorted(stems):
        parent, _, own = folder.rpartition("/")
        if own.lower() in IMAGE_FOLDERS:
            beside.setdefault(parent, folder)
    found = set()
    for folder, own_stems in stems.items():
        parent, _, own = folder.rpartition("/")
        images = beside.get(parent, folder)
        bare = {MASK_ENDING.sub("", stem) for stem in own_stems}
        if images != folder and own.lower() not in NEUTRAL_WORDS and len(bare & stems[images]) >= MIN_SHARED * len(bare):
            found.add(folder)
    return found


def _without_copies(names: Sequence[str], skipped: list[Skipped]) -> list[str]:
    """The images less those of a folder that repeats the whole tree in which it lies, as in archives that hold it twice."""
    inside: dict[str, set[str]] = defaultdict(set)
    for name in names:
        for folder in ("/".join(name.split("/")[:depth]) for depth in (1, 2)):
            if folder != name:
                inside[folder].add(name[len(folder) + 1 :])
    copies = set()
    for folder, own in inside.items():
        parent = folder.rpartition("/")[0]
        around = inside[parent] if parent else set(names)
        is_tree = len({name.partition("/")[0] for name in own if "/" in name}) > 1
        if is_tree and sum(name in around for name in own) >= MIN_SHARED * len(own) and parent not in copies:
            copies.add(folder)
            skipped.append(Skipped(folder, f"{len(own)} images: a copy of the tree in which it lies", "copy"))
    return [name for name in names if not any(name.startswith(f"{copy}/") for copy in copies)]


def _top(names: Sequence[str], root_name: str) -> str:
    """The folder below which classes or parts lie: the root, or a single folder that is clearly no class."""
    top: list[str] = []
    while True:
        below = [name.split("/")[len(top) :] for name in names]
        heads = {parts[0] for parts in below}
        if len(heads) != 1 or any(len(parts) < 2 for parts in below):
            return "/".join(top)
        head = heads.pop()
        inner = {parts[1] for parts in below if len(parts) > 2}
        parts = {part_of(folder) for folder in inner} - {""}
        again = head.lower() in {
            (top[-1] if top else root_name).lower(),
            *(folder.lower() for folder in inner if len(inner) == 1),
        }
        if is_class_name(head) and not again and len(parts) < 2:
            return "/".join(top)
        top.append(head)
