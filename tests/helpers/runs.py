"""Training runs on small data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from covid19.core.settings import Settings


class Run(NamedTuple):
    """A finished training run."""

    settings: Settings
    report: dict[str, Any]

    @property
    def dataset(self) -> Path:
        return self.settings.data.dataset

    @property
    def model(self) -> Path:
        return self.settings.output.model

    @property
    def page(self) -> Path:
        return self.settings.output.page

    def settings_again(self, folder: Path, dataset: Path | None = None, **changes: Any) -> Settings:
        """Settings of another run, by default on the same images, that takes from this run's cache what has been extracted."""
        cached = {"cache": True, "cache_dir": self.settings.compute.cache_dir}
        return settings_in(folder, dataset or self.dataset, **(cached | changes))


def settings_in(folder: Path, dataset: Path, **changes: Any) -> Settings:
    """Settings of a small run on the untrained base that writes into a folder."""
    outputs = {"model": folder / "covid19.model", "plot": folder / "plot.png", "report": folder / "metrics.json"}
    small = {"weights": "random", "augmentations": 1, "epochs": 5, "repeats": 2, "cache": False}
    return Settings.from_flags(dataset=dataset, **(outputs | small | changes))


def train(settings: Settings) -> dict[str, Any]:
    """Train, and return the report as it was written."""
    from covid19.train import train as run

    run(settings)
    return json.loads(settings.output.report.read_text())
