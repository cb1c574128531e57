"""Comparison of numbers that come from different computations, processes or numbers of threads: equal but for rounding."""

from __future__ import annotations

from typing import Any

import pytest


def assert_close(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    """JSON values that are equal, numbers with a fraction to within an absolute tolerance."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value, tolerance)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, tolerance)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=tolerance)
    else:
        assert found == expected
