"""Types of measured values, for what results, reports and model files have in common; `msgspec` checks their ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Fraction = Annotated[float, Meta(ge=0, le=1)]  # also a ROC AUC, a probability or a p-value
Difference = Annotated[float, Meta(ge=-1, le=1)]  # of two fractions
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class Metric:
    """A measure in [0, 1] with the ends of its 95 % interval."""

    value: Fraction
    low: Fraction
    high: Fraction

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"
