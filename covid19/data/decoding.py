"""Processes that decode images: only they touch the content of files that may come from anybody."""

from __future__ import annotations

from covid19.core.executor.processes import LimitedProcesses
from covid19.core.settings import FILE_TIMEOUT_S

MODULES = ("covid19.data.scan",)  # what decoding needs, imported once for all processes


class DecodingPool(LimitedProcesses):
    """Processes in which images are decoded, see `LimitedProcesses`."""

    def __init__(self, timeout_s: float = FILE_TIMEOUT_S, processes: int | None = None) -> None:
        super().__init__(timeout_s, processes, MODULES)
