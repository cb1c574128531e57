"""Names of the array types that functions take and return; shapes and units are in the docstrings of those functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]
UInt64Array = NDArray[np.uint64]
