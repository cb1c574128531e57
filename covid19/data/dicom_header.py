"""What a DICOM header says of the picture, asked alike for training and prediction: a chest X-ray, of which projection?"""

from __future__ import annotations

import re
from collections.abc import Mapping

from covid19.data.projections import is_other, standard_projection

# Modalities that are no radiography of the chest, by DICOM's terms (PS3.3, C.7.3.1.1.1). Of others nothing is concluded.
OTHER_MODALITIES = {
    "MG": "a mammogram", "MR": "magnetic resonance", "US": "ultrasound", "NM": "nuclear medicine", "PT": "PET",
    "XA": "angiography", "PX": "a panoramic X-ray", "IO": "an intra-oral X-ray", "BMD": "bone densitometry",
    "ES": "endoscopy", "OP": "ophthalmology", "OPT": "ophthalmology", "GM": "microscopy", "SM": "microscopy",
    "IVUS": "ultrasound", "ECG": "an electrocardiogram", "RTIMAGE": "a radiotherapy image", "RTDOSE": "a radiotherapy dose",
    "SEG": "a segmentation", "DOC": "a document", "XC": "a photograph",
}  # fmt: skip
# Modalities by the class of the file (PS3.4, annex B.5), of files that do not state theirs.
CLASSES = "1.2.840.10008.5.1.4.1.1."
MODALITIES = {
    "2": "CT", "2.1": "CT", "4": "MR", "4.1": "MR", "3.1": "US", "6.1": "US", "6.2": "US", "1.2": "MG", "1.2.1": "MG",
    "13.1.3": "MG", "1.3": "IO", "1.3.1": "IO", "12.1": "XA", "12.1.1": "XA", "20": "NM", "128": "PT",
}  # fmt: skip
CHEST = re.compile(r"chest|thora|torax|lung|pulm|rib|heart|stern|brust|poumon|pecho", re.IGNORECASE)
# Body parts by DICOM's terms (PS3.16, annex L) and by everyday words.
OTHER_PART = re.compile(
    r"hand|finger|thumb|wrist|forearm|elbow|humerus|upper\W*arm|shoulder|clavicle|scapula|foot|feet|toe|ankle|calcaneus|heel|knee|"
    r"patella|femur|thigh|tib|fib|leg\b|hip\b|pelvi|abdom|kub|skull|head\b|face|orbit|nose|nasal|sinus|jaw|mandible|teeth|tooth|"
    r"neck|spine|breast|extremity|sacrum|coccyx|bladder|kidney|brain|"
    r"fu(?:ss|\u00df)|knie|h(?:ue|\u00fc)fte|becken|schulter|ellenbogen|sch(?:ae|\u00e4)del|\b[hl]ws\b|unterarm|oberarm|"
    r"wirbels|\bmain\b|poignet|coude|[e\u00e9]paule|pied|genou|hanche|bassin|cr(?:a|\u00e2)ne|rachis|\bmano\b|rodilla|cadera|columna",
    re.IGNORECASE,
)


def not_a_chest_radiograph(tags: Mapping[str, str]) -> str:
    """Why a picture is no X-ray of a chest by its header, in words; '' if that does not say so.

    Args:
        tags: from `dicom.header`; empty for a file of another kind.
    """
    modality = _modality(tags)
    if modality in OTHER_MODALITIES:
        return f"its DICOM header says {OTHER_MODALITIES[modality]} (modality {modality})"
    part = tags.get("body", "")
    if OTHER_PART.search(part) and not CHEST.search(part):
        return f"its DICOM header says body part {part[:40]}, not chest"
    return ""


def projection_of(tags: Mapping[str, str]) -> str:
    """The projection by a header, in standard words; 'CT' of a slice."""
    if _modality(tags) == "CT":
        return "CT"
    return standard_projection(tags.get("view", "")) or standard_projection(tags.get("coded view", ""))


def _modality(tags: Mapping[str, str]) -> str:
    """The modality as stated, else as the class of the file says; '' if neither does."""
    stated = tags.get("modality", "").strip().upper()
    return stated or MODALITIES.get(tags.get("class", "").removeprefix(CLASSES), "")


def refusal(tags: Mapping[str, str], wanted: str) -> str:
    """Why a picture is not to be answered for by its header, in words; '' if nothing speaks against it.

    Args:
        tags: from `dicom.header`; empty for a file of another kind.
        wanted: projection of the images that the model was trained on, 'PA' or 'any': of which a frontal chest X-ray is one.
    """
    if reason := not_a_chest_radiograph(tags):
        return reason
    projection = projection_of(tags)
    if wanted == "any" and projection.split(" ")[0] in ("PA", "AP"):
        return ""
    if is_other(projection, "PA"):
        return f"its DICOM header says projection {projection}"
    return ""
