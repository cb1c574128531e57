"""The settings of one training run, as a frozen dataclass that travels through all steps and is saved with the results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """What one run was asked to do; the command line's flags and their defaults.

    Attributes:
        dataset: folder with one folder of images for each class.
        model, plot, report: files to write.
        learning_rate: Adam's first rate; it decays to 0 over the epochs.
        epochs: passes over the training images.
        batch_size: images in one step of the head's training.
        test_size: share of each class that is held out, in (0, 1).
        seed: of the split, the views' angles, the head's first weights and the order of training.
        views: rotated views of each training image, beside the image itself.
        rotation: largest angle of a rotated view, in degrees either way.
        weights: 'auto', 'imagenet', 'random' or the path of a file in the official no-top layout.
        positive: the positive class; None chooses the one whose name contains 'covid', else the first.
        start_from: an earlier model whose head the training starts from, or None.
        metadata: the collection's table; None takes `metadata.csv` in the data set's root if it is there.
        view: 'PA' leaves out images whose known view is another, 'any' keeps them.
        groups: whether patients and duplicates are kept on one side of the split.
        allow_conflicts: drop an image that lies under two classes, rather than refuse the data set.
        cache: whether features are kept between runs.
        cache_dir: folder of the feature store; None is the user's cache folder.
        cache_size: bytes of features to keep.
        command: the command line as typed, for the report.
    """

    dataset: Path
    model: Path = Path("covid19.model")
    plot: Path = Path("plot.png")
    report: Path = Path("metrics.json")
    learning_rate: float = 1e-3
    epochs: int = 25
    batch_size: int = 8
    test_size: float = 0.2
    seed: int = 42
    views: int = 2
    rotation: float = 15.0
    weights: str = "auto"
    positive: str | None = None
    start_from: Path | None = None
    metadata: Path | None = None
    view: str = "PA"
    groups: bool = True
    allow_conflicts: bool = False
    cache: bool = True
    cache_dir: Path | None = None
    cache_size: int = 2_000_000_000
    command: str = ""

    def as_json(self) -> dict[str, str | int | float | None]:
        """The settings as JSON values; paths as they were given."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
