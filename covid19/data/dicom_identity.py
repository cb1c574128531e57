"""To whom and to which study a DICOM file belongs: a file in; the identifiers that a report on it must carry out."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

from covid19.data.dicom import DAMAGED, HeaderReader, is_dicom_file, open_dataset

# Without one of these a report would refer to nothing, or to another patient's image.
UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
PATIENT_ID = "PatientID"
# What else a report repeats of the patient and the study.
OTHERS = (
    "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
SEXES = ("M", "F", "O")


class Identity(NamedTuple):
    """What a DICOM file says of itself.

    Attributes:
        digest: SHA-256 of its bytes, in hexadecimal, by which an answer for it is known.
        values: identifiers by keyword, as text; those of `OTHERS` that are missing or that DICOM does not allow are empty.
    """

    digest: str
    values: dict[str, str]


def read_identity(path: Path) -> Identity | None:
    """The identity of a DICOM file; None for a file of another kind.

    Raises:
        OSError: the file cannot be read.
        ValueError: the header cannot be read, or has no valid UIDs or no valid patient ID, which may be empty.
    """
    if not is_dicom_file(path):
        return None
    content = path.read_bytes()
    try:
        with HeaderReader(io.BytesIO(content)) as reader:
            dataset = open_dataset(reader, stop_before_pixels=True, specific_tags=[*UIDS, PATIENT_ID, *OTHERS])
            values = {name: _text(dataset.get(name)) for name in (*UIDS, PATIENT_ID, *OTHERS)}
    except DAMAGED as error:
        raise ValueError("its DICOM header cannot be read") from error
    valid = {name: _is_valid(name, value) for name, value in values.items()}
    for name in (*UIDS, PATIENT_ID):
        if not valid[name] or (name in UIDS and not values[name]):
            raise ValueError(f"its DICOM header has no valid {name}")
    kept = {name: value if valid[name] else "" for name, value in values.items()}
    return Identity(hashlib.sha256(content).hexdigest(), kept)


def _text(value: object) -> str:
    """A value as text; of several, which none of the identifiers may have, all, between the signs that part them."""
    from pydicom.multival import MultiValue

    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else "" if value is None else str(value).strip()


def _is_valid(name: str, value: str) -> bool:
    """Whether DICOM allows a value for an element (PS3.5, section 6.2)."""
    import pydicom
    from pydicom.datadict import dictionary_VR
    from pydicom.valuerep import DA, TM, validate_value

    if name == "PatientSex":
        return value in (*SEXES, "")
    if not value.isprintable() or "\\" in value:
        return False
    kind = dictionary_VR(name)
    try:
        validate_value(kind, value, pydicom.config.RAISE)
        {"DA": DA, "TM": TM}.get(kind, str)(value)  # of the right form is also 31 February
    except ValueError:
        return False
    return True
