"""Data sets read as a run reads them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from covid19.core.executor.local import LocalExecutor
from covid19.core.executor.processes import RunTask, run_here
from covid19.data.dataset import Dataset, Record
from covid19.data.gathering import gather
from covid19.data.images import read_picture
from covid19.data.reader import Filter, read_dataset
from covid19.data.scan_cache import ScanCache


def read_records(root: Path) -> tuple[Record, ...]:
    """The records of a data set whose files are all images."""
    return read(root).records


def read(
    root: Path, scans: ScanCache | None = None, run: RunTask = run_here, names: Mapping[str, str] | None = None, **wanted: Any
) -> Dataset:
    """Read a data set with a scan cache of its own; `names` are new ones of classes, `wanted` are fields of `Filter`."""
    cache, decode = scans or ScanCache(None, 10**9), partial(read_picture, run=run)
    return read_dataset(gather(root).renamed(names or {}), Filter(**wanted), cache, LocalExecutor(run), decode)


def reasons(dataset: Dataset) -> dict[str, str]:
    """Why each file was left out, by path."""
    return {skipped.path: skipped.reason for skipped in dataset.skipped}
