"""What the columns of a table mean, whatever they are called: a row's cells in, what it says of one image out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from covid19.data.findings import NO_FINDING
from covid19.data.projections import standard_projection

# What each column is called, without case, spaces and signs: in ieee8023's collection, NIH's ChestX-ray14, CheXpert, MIMIC-CXR,
# PadChest, RSNA's and COVIDx's. Where a table has several of a meaning, the first that says something in a row counts.
MEANINGS: dict[str, tuple[str, ...]] = {
    "file": ("filename", "imagename", "imageindex", "path", "imagepath", "filepath", "image", "imageid", "imagefile",
             "imagefilename", "imgname", "img", "file", "dicomid", "dicom", "sopinstanceuid", "dateiname", "datei", "bild",
             "bilddatei", "fichier", "nomfichier", "archivo", "imagen", "immagine", "name", "id"),
    "patient": ("patientid", "patient", "subjectid", "subject", "patientidentifier", "patientnumber", "patno", "pid", "caseid",
                "participant", "participantid", "patientenid", "patientennummer", "patnr", "idpatient", "numeropatient",
                "idpaciente", "paciente", "paziente"),
    "projection": ("view", "viewposition", "projection", "appa", "frontallateral", "viewpoint", "orientation",
                   "projektion", "strahlengang", "incidence", "proyeccion", "proiezione"),
    "modality": ("modality",),
    "finding": ("finding", "findings", "findinglabels", "findinglabel", "labels", "label", "class", "diagnosis", "category",
                "target", "befund", "diagnose", "klasse", "diagnostic", "classe", "diagnostico", "hallazgo", "diagnosi",
                "classname"),
    "source": ("source", "datasource", "doi", "url"),
    "collection": ("collection",),
    "license": ("license", "licence"),
    "age": ("age", "patientage", "ageyears", "ageinyears", "alter", "edad", "eta"),
    "part": ("split", "subset", "partition", "setname"),
}  # fmt: skip
AGE = re.compile(r"0*(\d+(?:\.\d+)?)\s*(y|m|w|d|years?|months?|weeks?|days?)?", re.IGNORECASE)  # also DICOM's, such as 058Y
AGE_UNITS_PER_YEAR = {"y": 1, "m": 12, "w": 52, "d": 365}


@dataclass(frozen=True, slots=True)  # of a million images the dictionaries would be larger than the data
class Entry:
    """What the table says of one image; an empty string where it says nothing.

    Attributes:
        patient: the collection's number or name of the patient.
        projection: in standard words, see `projections.standard_projection`, or 'CT' where only the modality says so.
        finding: the last part of the finding's path, such as 'COVID-19' or 'COVID-19, ARDS'; '' for todo and Unknown.
        source: where the image was published: column `source`, else the doi, else the url's host.
        license: as written.
        age: in years.
        label: what the column of the labels says, as written.
        part: what the column of a split says, as written.
        collection: of which the image was published as a part; `covid19 prepare` writes it.
    """

    patient: str = ""
    projection: str = ""
    finding: str = ""
    source: str = ""
    license: str = ""
    age: str = ""
    label: str = ""
    part: str = ""
    collection: str = ""


class Columns:
    """The columns of a table by what they mean.

    Args:
        header: names of the columns.
        path_column: the one that names the image file, if it was given.
        label_column: the one that holds the labels, if it was given.

    Raises:
        KeyError: a given column is not there; its name is the error's first argument.
    """

    def __init__(self, header: Sequence[str], path_column: str | None = None, label_column: str | None = None) -> None:
        plain = [plain_name(name) for name in header]
        self._at = {meaning: [plain.index(name) for name in names if name in plain] for meaning, names in MEANINGS.items()}
        for meaning, given in (("file", path_column), ("label", label_column)):
            if given is not None:
                if plain_name(given) not in plain:
                    raise KeyError(given)
                self._at[meaning] = [plain.index(plain_name(given))]
        # A column is one thing: an `id` that names the patient is no file's name.
        self._at["file"] = self._at["file"][:1]
        self.other_labels = () if "label" in self._at else tuple(header[at] for at in self._at["finding"][1:])
        self._at.setdefault("label", self._at["finding"][:1])
        label = self._at["label"]
        self.label = header[label[0]] if label else ""

    def has(self, meaning: str) -> bool:
        """Whether the table has a column of a meaning."""
        return bool(self._at[meaning])

    def file(self, row: Sequence[str]) -> str:
        """The path of the image that a row is about, with '/' between folders, in lower case; '' if it names none."""
        path = self._cell("file", row).replace("\\", "/").lower()
        return "/".join(part for part in path.split("/") if part not in ("", "."))

    def entry(self, row: Sequence[str]) -> Entry:
        """What a row says of its image."""
        finding = self._cell("finding", row).rsplit("/", 1)[-1].strip()
        projection = standard_projection(self._cell("projection", row))
        if self._cell("modality", row).upper().startswith("CT") and projection in ("", "PA", "AP"):
            projection = "CT"
        source = self._cell("source", row)
        host = re.sub(r"^\w+://(www\.)?([^/]+).*$", r"\2", source)
        return Entry(
            patient=self._cell("patient", row),
            projection=projection,
            finding="" if finding.lower() in NO_FINDING else finding,
            source=host.removeprefix("doi:"),
            license=self._cell("license", row),
            age=age_in_years(self._cell("age", row)),
            label=self._cell("label", row),
            part=self._cell("part", row),
            collection=self._cell("collection", row),
        )

    def _cell(self, meaning: str, row: Sequence[str]) -> str:
        return next((text for at in self._at[meaning] if at < len(row) and (text := row[at].strip())), "")


def plain_name(name: str) -> str:
    """The name of a column without case, spaces and signs."""
    return re.sub(r"[\W_]", "", name).lower()


def age_in_years(text: str) -> str:
    """An age in years, from a number or from one with a unit, such as DICOM's `058Y` and `006M`; else as written."""
    match = AGE.fullmatch(text.strip())
    if not match:
        return text
    unit = (match[2] or "y")[0].lower()
    return match[1] if unit == "y" else f"{float(match[1]) / AGE_UNITS_PER_YEAR[unit]:.2f}"


def known_columns(*meanings: Mapping[str, tuple[str, ...]] | str) -> str:
    """The first names that columns of some meanings may have, for messages."""
    return ", ".join(name for meaning in meanings if isinstance(meaning, str) for name in MEANINGS[meaning][:4])
