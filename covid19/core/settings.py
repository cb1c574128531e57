"""The settings of one run: small frozen groups, so that each step takes the group that it uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from covid19.core.outputs import page_beside

FILE_TIMEOUT_S = 60.0  # a radiograph takes less than one
CLASS_FOLDERS = Path("folders")  # in place of a table: the true classes are the folders

Group = TypeVar("Group")


@dataclass(frozen=True)
class DataSettings:
    """Which images are used.

    Attributes:
        dataset: folder with one folder of images for each class.
        metadata: the collection's table; None takes `metadata.csv` in the data set's root if it is there.
        labels: tables that have the classes; none where these are folders.
        label_column, path_column: of the tables; None takes the usual ones.
        split: 'given' keeps the split that the data come with, 'new' pools all images and splits anew.
        projection: 'PA' leaves out images whose known projection (DICOM View Position) is another, 'any' keeps them.
        allow_conflicts: drop an image that lies under two classes, rather than refuse the data set.
        file_timeout: seconds that reading one image file may take; one that takes longer is skipped.
    """

    dataset: Path
    metadata: Path | None = None
    labels: tuple[Path, ...] = ()
    label_column: str | None = None
    path_column: str | None = None
    split: str = "new"
    projection: str = "PA"
    allow_conflicts: bool = False
    file_timeout: float = FILE_TIMEOUT_S


@dataclass(frozen=True)
class TrainingSettings:
    """How the head is trained.

    Attributes:
        learning_rate: Adam's first rate; it decays to 0 over the epochs.
        epochs: passes over the training images.
        batch_size: images in one step of the head's training.
        seed: of the split, the angles of rotation, the head's first weights and the order of training.
        augmentations: rotated copies of each training image, beside the image itself.
        rotation: largest angle of a rotated copy, in degrees either way.
        weights: 'auto', 'imagenet', 'random' or the path of a file in the official no-top layout.
        start_from: an earlier model whose head the training starts from, or None.
    """

    learning_rate: float = 1e-3
    epochs: int = 25
    batch_size: int = 8
    seed: int = 42
    augmentations: int = 1
    rotation: float = 15.0
    weights: str = "auto"
    start_from: Path | None = None


@dataclass(frozen=True)
class EvaluationSettings:
    """How the model is tested.

    Attributes:
        positive: the positive class; None chooses the one whose name contains 'covid', else the first.
        test_size: fraction of each class that is held out, in (0, 1).
        groups: whether images of one patient, and duplicates, stay in one part of the split and in one fold.
        folds: parts of the cross-validation, 2 or more; 0 does without.
        repeats: how often the images are divided into folds anew.
        threshold: rule for the probability from which the positive class is predicted, see `calibration.choose_threshold`.
        prevalence: fraction of the positive class among the patients to come, in (0, 1); None takes the test part's own.
    """

    positive: str | None = None
    test_size: float = 0.2
    groups: bool = True
    folds: int = 5
    repeats: int = 5
    threshold: str = "argmax"
    prevalence: float | None = None


@dataclass(frozen=True)
class AuditSettings:
    """How shortcuts are looked for.

    Attributes:
        level: 'none', 'quick' (what a training run does by default), or 'full'.
    """

    level: str = "quick"


@dataclass(frozen=True)
class GivenScores:
    """Tables of the scores of a model that was not trained here.

    Attributes:
        predictions: out of fold, of the images.
        hidden_predictions: of the images with their lungs hidden, or None.
    """

    predictions: Path
    hidden_predictions: Path | None = None


@dataclass(frozen=True)
class LungSettings:
    """How the lungs are found, and whether the backbone is given nothing else.

    Attributes:
        region: 'image', or 'lungs' to crop each picture to its lungs and fill what lies outside them.
        lung_box: left, top, right, bottom of the box that is taken for the lungs where none are found, as fractions of the
            picture.
        lung_masks: folder of lung masks that are used instead of found ones, or None.
    """

    region: str = "image"
    lung_box: tuple[float, float, float, float] = (0.12, 0.15, 0.88, 0.85)
    lung_masks: Path | None = None


@dataclass(frozen=True)
class ComputeSettings:
    """Where the work is done and what is kept of it.

    Attributes:
        cluster: where files are read and the backbone is run: None here, else 'auto', 'local' or 'ray://host:port'.
        cache: whether features are kept between runs.
        cache_dir: folder of the feature cache; None is the user's cache folder.
        cache_size: bytes of features to keep.
    """

    cluster: str | None = None
    cache: bool = True
    cache_dir: Path | None = None
    cache_size: int = 2_000_000_000


@dataclass(frozen=True)
class OutputSettings:
    """The files to write; None for the model and the plot writes none."""

    model: Path | None = Path("covid19.model")
    plot: Path | None = Path("plot.png")
    report: Path = Path("metrics.json")

    @property
    def page(self) -> Path | None:
        """The HTML report, see `page_beside`."""
        return page_beside(self.report)

    def files(self) -> tuple[Path, ...]:
        """The files that the run writes."""
        return tuple(path for path in (self.model, self.report, self.page, self.plot) if path)


@dataclass(frozen=True)
class Settings:
    """What one run was asked to do, in groups, and the command line as typed."""

    data: DataSettings
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    audit: AuditSettings = AuditSettings()
    lungs: LungSettings = LungSettings()
    compute: ComputeSettings = ComputeSettings()
    output: OutputSettings = OutputSettings()
    command: str = ""

    @classmethod
    def from_flags(cls, audit: str = AuditSettings.level, command: str = "", **flat: Any) -> Settings:
        """Distribute settings by the flags' names to their groups.

        Args:
            audit: the audit's level.
            command: the command line as typed.
            flat: any other fields of the groups.

        Raises:
            TypeError: a name is a field of no group.
        """
        flat["level"] = audit
        settings = cls(
            take(DataSettings, flat),
            take(TrainingSettings, flat),
            take(EvaluationSettings, flat),
            take(AuditSettings, flat),
            take(LungSettings, flat),
            take(ComputeSettings, flat),
            take(OutputSettings, flat),
            command,
        )
        if flat:
            raise TypeError(f"no group of settings has the field '{next(iter(flat))}'")
        return settings

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values by the flags' names; paths as they were given."""
        groups = self.data, self.training, self.evaluation, self.audit, self.lungs, self.compute, self.output
        flat = {name: value for group in groups for name, value in vars(group).items()} | {"command": self.command}
        flat["audit"] = flat.pop("level")
        return {name: _as_json(value) for name, value in flat.items()}


@dataclass(frozen=True)
class PredictSettings:
    """What a model is asked, and what is made of its answers.

    Attributes:
        model: a file that `covid19 train` wrote.
        inputs: images, or folders of images.
        output: 'text', 'json' (one object) or 'csv'.
        heatmaps: folder for the pictures with their Grad-CAM heat map laid over, or None.
        dicom_sr: folder for a DICOM Structured Report of each DICOM file, or None.
        withhold_labels: whether to give no label and no probability.
        labels: tables with the true classes, or `CLASS_FOLDERS` alone; none where they are not known.
        label_column, path_column: of the tables; None takes the usual ones.
        file_timeout: seconds that reading one file may take.
        cluster: as in `ComputeSettings`.
    """

    model: Path
    inputs: Sequence[Path]
    output: str = "text"
    heatmaps: Path | None = None
    dicom_sr: Path | None = None
    withhold_labels: bool = False
    labels: tuple[Path, ...] = ()
    label_column: str | None = None
    path_column: str | None = None
    file_timeout: float = FILE_TIMEOUT_S
    cluster: str | None = None


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_as_json, value))
    return value if value is None or isinstance(value, str | int | float) else str(value)


def take(group: type[Group], flat: dict[str, Any]) -> Group:
    """Make a group of the settings that are its own, and take these out of the flat ones."""
    names = [field.name for field in fields(group)]  # type: ignore[arg-type]  # every group is a dataclass
    return group(**{name: flat.pop(name) for name in names if name in flat})
