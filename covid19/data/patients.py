"""Who is on each image: the table, the DICOM header or the file's name in; a patient, and the rule that found him, out."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import NamedTuple

# The names of Kaggle's chest-xray-pneumonia. Its numbers count anew for bacteria and virus, so the kind is part of the patient.
PNEUMONIA = re.compile(r"^person(?P<number>\d+)_(?P<kind>bacteria|virus)_\d+$", re.IGNORECASE)
NORMAL = re.compile(r"^(?:NORMAL2-)?(?P<patient>IM-\d+)-\d+(?:-\d+)?$", re.IGNORECASE)
NOBODY = {"", "0", "none", "unknown", "anonymous", "anonymized", "anon", "patient"}  # what headers and tables say for nobody


KAGGLE = "kaggle chest-xray-pneumonia"


class Patient(NamedTuple):
    """Who is on an image.

    Attributes:
        name: the same for all images of one patient, and only for those.
        rule: what told: 'metadata', 'dicom', 'name', or 'none' where the image is its own patient.
    """

    name: str
    rule: str


def find_patient(file: str, in_metadata: str, in_header: str) -> Patient:
    """The patient of an image, by the first rule that tells.

    Args:
        file: path of the image, relative to the data set's root.
        in_metadata: patient in the collection's table, or ''.
        in_header: patient in the DICOM header, or ''.
    """
    if in_metadata.lower() not in NOBODY - {"0"}:  # the collection counts its patients from 0
        return Patient(f"metadata:{in_metadata}", "metadata")
    if in_header.lower() not in NOBODY:
        return Patient(f"dicom:{in_header}", "dicom")
    stem = PurePath(file).stem
    if match := PNEUMONIA.match(stem):
        return Patient(f"name:{match['kind'].lower()} person {match['number'].lstrip('0') or 0}", "name")
    if match := NORMAL.match(stem):
        return Patient(f"name:{match['patient'].upper()}", "name")
    return Patient(f"image:{file}", "none")


def collection_of(file: str) -> str:
    """The collection whose way of naming files this is: Kaggle's chest-xray-pneumonia, or ''."""
    stem = PurePath(file).stem
    return KAGGLE if PNEUMONIA.match(stem) or NORMAL.match(stem) else ""
