"""What is known to be true of images: a table of labels or class folders in, the model's class of each file out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from covid19.core.addresses import absolute_text, as_path
from covid19.core.errors import InputError
from covid19.core.settings import CLASS_FOLDERS, PredictSettings
from covid19.data.findings import is_absence, is_covid
from covid19.data.gathering import label_table, read_labels
from covid19.data.labels import label_images
from covid19.data.layout import Place, is_mask_folder, part_of
from covid19.data.metadata import Metadata
from covid19.model.info import ModelInfo

LABELS_NAMED_AT_MOST = 6  # in an error


@dataclass(frozen=True)
class GroundTruth:
    """The true classes of files.

    Attributes:
        source: where they come from, in words.
        classes: of the model, by file; a file of which nothing is known is not in it.
        patients: as a table names them, by file.
        read_as: the class that a label of another name was taken for, by label.
        other_labels: how many files have a label that is no class of the model, by label.
    """

    source: str
    classes: Mapping[str, str]
    patients: Mapping[str, str]
    read_as: Mapping[str, str]
    other_labels: Mapping[str, int]


def read_ground_truth(settings: PredictSettings, info: ModelInfo, files: Sequence[str]) -> GroundTruth | None:
    """The true classes of the files that a model is asked about; None where they are not given.

    Args:
        settings: with the tables, or `CLASS_FOLDERS`.
        info: of the model.
        files: from `list_inputs`.

    Raises:
        InputError: a table cannot be read, or no file has a label that is a class of the model.
    """
    if settings.labels and settings.withhold_labels:
        raise InputError(
            "--labels compares the model's labels with the true ones, and --withhold-labels gives none; expected one of them: "
            "leave out the other"
        )
    if CLASS_FOLDERS in settings.labels:
        if len(settings.labels) > 1 or settings.label_column or settings.path_column:
            raise InputError(
                f"--labels {CLASS_FOLDERS} was given with a table or the name of its column; expected one or the other: give "
                f"--labels {CLASS_FOLDERS} alone, or the table alone"
            )
        source, labels = "the names of the folders", _labels_of_folders(settings.inputs, files, info.classes)
        patients: dict[str, str] = {}
    else:
        given = label_table(settings)
        if given is None:
            return None
        table = read_labels(given, _places(files))
        source = ", ".join(f"'{path}'" for path in given.files)
        labels, patients = _labels_of_table(table, files, info.positive)
    return _in_terms_of_the_model(source, labels, patients, info)


def _labels_of_folders(inputs: Sequence[Path], files: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """For each file the first folder, from the given path on, that is named like a class.

    What lies above the given path says nothing: a home folder may be called `covid`. The given folder's own name counts if
    none below it does. Masks are no X-rays.
    """
    names = {name.casefold(): name for name in classes}
    folders = [given for given in inputs if given.is_dir()]
    labels = {}
    for file in files:
        root = next((folder for folder in folders if PurePath(file).is_relative_to(str(folder))), as_path(file).parent)
        below = PurePath(file).relative_to(str(root)).parts[:-1]
        own = Path(absolute_text(root)).name
        label = next((names[part.casefold()] for part in (*below, own) if part.casefold() in names), "")
        if label and not any(map(is_mask_folder, below)):
            labels[file] = label
    return labels


def _places(files: Sequence[str]) -> dict[str, Place]:
    """For each file, by its whole path, the part of a split that the nearest of its folders says."""
    wholes = [absolute_text(as_path(file)) for file in files]
    return {whole: Place("", next(filter(None, map(part_of, reversed(PurePath(whole).parts[:-1]))), "")) for whole in wholes}


def _labels_of_table(table: Metadata, files: Sequence[str], positive: str) -> tuple[dict[str, str], dict[str, str]]:
    """The label and the patient of each file that has a row.

    Rows are matched with the whole path of a file: a row `normal/1.png` names a file that was given as `1.png`.
    """
    wholes = {file: absolute_text(as_path(file)) for file in files}
    places = label_images({whole: Place("", "") for whole in wholes.values()}, table, positive).places
    rows = table.match(wholes.values())
    labels = {file: places[whole].label for file, whole in wholes.items() if whole in places}
    return labels, {file: table.entries[rows[whole]].patient for file, whole in wholes.items() if whole in rows}


def _in_terms_of_the_model(source: str, labels: Mapping[str, str], patients: Mapping[str, str], info: ModelInfo) -> GroundTruth:
    """The truth with the model's classes for labels."""
    meant = {label: _class_of(label, info) for label in set(labels.values())}
    classes = {file: meant[label] for file, label in labels.items() if meant[label]}
    if not classes:
        found = ", ".join(sorted(meant)[:LABELS_NAMED_AT_MOST]) or "none"
        raise InputError(
            f"--labels: by {source} no image is of a class of the model (labels found: {found}); expected "
            f"{', '.join(info.classes)}: give images below folders of these names, or a table with these labels, whose columns "
            "--label-column and --path-column name"
        )
    read_as = {label: name for label, name in sorted(meant.items()) if name and label != name}
    other = Counter(label for label in labels.values() if not meant[label])
    return GroundTruth(source, classes, patients, read_as, dict(sorted(other.items())))


def _class_of(label: str, info: ModelInfo) -> str:
    """The model's class that a label means; '' if it means none.

    Beside its own name a class has what is surely the same: COVID-19 in other words, and the absence of a finding.
    """
    named = _only(name for name in info.classes if name.casefold() == label.casefold())
    covid = _only(name for name in info.classes if is_covid(name)) if is_covid(label) else ""
    absence = _only(name for name in info.classes if is_absence(name)) if is_absence(label) else ""
    return named or covid or absence


def _only(names: Iterable[str]) -> str:
    """The name, if there is exactly one."""
    found = list(names)
    return found[0] if len(found) == 1 else ""
