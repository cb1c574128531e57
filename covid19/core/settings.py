"""The settings of one training run, as a frozen dataclass that travels through all steps and is saved with the results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE_TIMEOUT_S = 60.0  # a radiograph takes less than one


@dataclass(frozen=True)
class Settings:
    """What one run was asked to do; the command line's flags and their defaults.

    Attributes:
        dataset: folder with one folder of images for each class.
        model, plot, report: files to write; None for the model and the plot writes none.
        learning_rate: Adam's first rate; it decays to 0 over the epochs.
        epochs: passes over the training images.
        batch_size: images in one step of the head's training.
        test_size: share of each class that is held out, in (0, 1).
        seed: of the split, the views' angles, the head's first weights and the order of training.
        augmentations: rotated copies of each training image, beside the image itself.
        rotation: largest angle of a rotated view, in degrees either way.
        weights: 'auto', 'imagenet', 'random' or the path of a file in the official no-top layout.
        positive: the positive class; None chooses the one whose name contains 'covid', else the first.
        start_from: an earlier model whose head the training starts from, or None.
        metadata: the collection's table; None takes `metadata.csv` in the data set's root if it is there.
        projection: 'PA' leaves out images whose known projection (DICOM View Position) is another, 'any' keeps them.
        groups: whether patients and duplicates are kept on one side of the split.
        allow_conflicts: drop an image that lies under two classes, rather than refuse the data set.
        folds: parts of the cross-validation, 2 or more; 0 does without.
        repeats: how often the images are divided into folds anew.
        threshold: from which probability on the positive class is called, see `calibration.choose_threshold`.
        prevalence: share of the positive class among the patients to come, in (0, 1); None takes the test part's own.
        audit: 'none', 'quick' (the probes that need no run of the base), or 'full'.
        lung_box: left, top, right, bottom of the box that is hidden by the full audit, as shares of the picture.
        lung_masks: folder of lung masks to use instead of the box, or None.
        file_timeout: seconds that reading one image file may take; one that takes longer is skipped.
        cluster: where files are read and the base is run: None here, else 'auto', 'local' or 'ray://host:port'.
        cache: whether features are kept between runs.
        cache_dir: folder of the feature cache; None is the user's cache folder.
        cache_size: bytes of features to keep.
        command: the command line as typed, for the report.
    """

    dataset: Path
    model: Path | None = Path("covid19.model")
    plot: Path | None = Path("plot.png")
    report: Path = Path("metrics.json")
    learning_rate: float = 1e-3
    epochs: int = 25
    batch_size: int = 8
    test_size: float = 0.2
    seed: int = 42
    augmentations: int = 1
    rotation: float = 15.0
    weights: str = "auto"
    positive: str | None = None
    start_from: Path | None = None
    metadata: Path | None = None
    projection: str = "PA"
    groups: bool = True
    allow_conflicts: bool = False
    folds: int = 5
    repeats: int = 5
    threshold: str = "argmax"
    prevalence: float | None = None
    audit: str = "quick"
    lung_box: tuple[float, float, float, float] = (0.12, 0.15, 0.88, 0.85)
    lung_masks: Path | None = None
    file_timeout: float = FILE_TIMEOUT_S
    cluster: str | None = None
    cache: bool = True
    cache_dir: Path | None = None
    cache_size: int = 2_000_000_000
    command: str = ""

    @property
    def page(self) -> Path:
        """The report as a page to look at, beside the report."""
        return self.report.parent / f"{self.report.stem}.html"

    def outputs(self) -> tuple[Path, ...]:
        """The files that the run writes."""
        return tuple(path for path in (self.model, self.report, self.page, self.plot) if path)

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values; paths as they were given."""
        return {
            key: value if value is None or isinstance(value, str | int | float | tuple) else str(value)
            for key, value in asdict(self).items()
        }
