"""Who is on each image: the table, the DICOM header or the file's path in; a patient, and the rule that found him, out.

IDs that are numbers are compared as numbers: `100` and `100.0`, as a spreadsheet writes it, or `007` and `7`, are one patient.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from covid19.data.file_kinds import stem_of
from covid19.data.layout import is_neutral

# The names of Kaggle's chest-xray-pneumonia. Its numbers count anew for bacteria and virus, so the kind is part of the patient.
PNEUMONIA = re.compile(r"person(?P<number>\d+)_(?P<kind>bacteria|virus)_\d+", re.IGNORECASE)
NORMAL = re.compile(r"(?:NORMAL2-)?(?P<patient>IM-\d+)-\d+(?:-\d+)?", re.IGNORECASE)
NIH = re.compile(r"(?P<number>\d{8})_\d{3}")  # of NIH's ChestX-ray14: patient and follow-up
# Folders and files named for a patient, as in CheXpert (`patient00001`), MIMIC-CXR (`p10000032`) and BIDS (`sub-S03044`).
NAMED = re.compile(
    r"(?:(?:patient|pat|subject|subj|sub)[-_ ]?(?P<number>\d+)|sub-(?P<bids>[a-z]+\d+)|p(?P<mimic>\d{8}))(?=$|[-_ ])",
    re.IGNORECASE,
)
WORLDWIDE_DIGITS = 4  # of a patient's number, from which on it is not counted anew in each class
# What headers and tables say for nobody, beside signs that only fill the place.
NOBODY = {
    "", "none", "unknown", "unk", "anonymous", "anonymized", "anonymised", "anon", "patient", "nan", "n/a", "na", "null", "nil",
    "removed", "redacted", "deleted", "deidentified", "deidentification", "missing", "notavailable", "notapplicable", "hidden",
    "confidential", "noid", "noname", "undefined", "masked", "withheld",
    "-1", "unbekannt", "anonym", "keineangabe", "ka", "fehlt", "inconnu", "anonyme", "desconocido", "anonimo", "sconosciuto",
}  # fmt: skip
FILLED = re.compile(
    r"x+|[*#_.?=-]+|#(?:n/a|ref!|name\?|value!|null!|num!|div/0!)"
)  # of which the last are a spreadsheet's errors
NUMBER = re.compile(r"0*(\d+)(?:[.,]0*)?")
KAGGLE = "kaggle chest-xray-pneumonia"
MIN_CONSTANT_IMAGES = 3  # of a class that all have one ID, from which on that is no patient


class Patient(NamedTuple):
    """Who is on an image.

    Attributes:
        name: the same for all images of one patient, and only for those.
        rule: what told: 'metadata', 'dicom', 'name', or 'none' where the image is its own patient.
    """

    name: str
    rule: str


def find_patient(file: str, in_metadata: str, in_header: str, label: str = "", is_dicom: bool = False) -> Patient:
    """The patient of an image, by the first rule that tells.

    Args:
        file: path of the image, relative to the data set's root.
        in_metadata: patient in the collection's table, or ''.
        in_header: patient in the DICOM header, or ''.
        label: the class's name.
        is_dicom: whether it is a DICOM file, which Kaggle's set has none of.
    """
    if not is_nobody(in_metadata):
        return Patient(f"metadata:{as_number(in_metadata)}", "metadata")
    if (
        not is_nobody(in_header) and as_number(in_header) != "0"
    ):  # a collection may count its patients from 0, a header does not
        return Patient(f"dicom:{as_number(in_header)}", "dicom")
    name = _in_name(stem_of(file), _folders(file, label), label, is_dicom)
    return Patient(f"name:{name}", "name") if name else unknown(file)


def unknown(file: str) -> Patient:
    """The patient of an image of which nobody is known."""
    return Patient(f"image:{file}", "none")


def is_nobody(name: str) -> bool:
    """Whether a patient's ID is a word or a sign for nobody."""
    plain = name.strip().lower()
    words = re.findall(r"[^\W_]+", plain)
    return (
        plain in NOBODY
        or "".join(words) in NOBODY
        or bool(words and NOBODY.issuperset(words))  # `Anonymous^Patient`
        or bool(FILLED.fullmatch(plain))
    )


def as_number(name: str) -> str:
    """An ID that is a whole number without its leading zeros and its `.0`; any other as it is."""
    match = NUMBER.fullmatch(name.strip())
    return match[1] if match else name.strip()


def collection_of(file: str, label: str = "", is_dicom: bool = False) -> str:
    """The collection whose way of naming files this is: Kaggle's chest-xray-pneumonia, or ''."""
    stem = stem_of(file)
    return KAGGLE if PNEUMONIA.fullmatch(stem) or (NORMAL.fullmatch(stem) and _is_kaggle(file, label, is_dicom)) else ""


def constant_ids(patients: Sequence[tuple[str, Patient]]) -> dict[str, str]:
    """Classes all of whose known patients are one and the same: a constant in the column, not one patient.

    Args:
        patients: class and patient of each image.

    Returns:
        The constant's `Patient.name` by class.
    """
    by_class: dict[str, list[Patient]] = defaultdict(list)
    for label, patient in patients:
        by_class[label].append(patient)
    found = {}
    for label, own in by_class.items():
        known = [patient.name for patient in own if patient.rule != "none"]
        if len(known) >= max(MIN_CONSTANT_IMAGES, len(own) / 2) and len(set(known)) == 1:
            found[label] = known[0]
    return found


def _in_name(stem: str, folders: Sequence[str], label: str, is_dicom: bool) -> str:
    """The patient by the names of the file and its folders; '' if they do not tell."""
    if match := next(filter(None, map(NAMED.match, (*reversed(folders), stem))), None):
        number = match["number"] or match["mimic"] or match["bids"]
        counts_anew = len(number) < WORLDWIDE_DIGITS and not match["bids"]
        return f"{label} patient {as_number(number)}" if counts_anew else f"patient {as_number(number.upper())}"
    if match := PNEUMONIA.fullmatch(stem):
        return f"{match['kind'].lower()} person {as_number(match['number'])}"
    if match := NORMAL.fullmatch(stem):
        if not is_dicom and not folders:
            return str(match["patient"].upper())
        # OsiriX and Horos count `IM-0001-0001` anew in each folder that they write, one for each patient.
        return "/".join((label, *folders)) if folders else ""
    match = NIH.fullmatch(stem)
    return f"NIH {match['number']}" if match else ""


def _folders(file: str, label: str) -> list[str]:
    """The folders of a file below its class's, without those that say nothing, such as `images` or `train`."""
    folders = list(PurePath(file).parts[:-1])
    below = folders[folders.index(label) + 1 :] if label in folders else folders
    return [folder for folder in below if not is_neutral(folder)]


def _is_kaggle(file: str, label: str, is_dicom: bool) -> bool:
    return not is_dicom and not _folders(file, label)
