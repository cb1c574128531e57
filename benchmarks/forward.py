"""The floor: a bare batched forward of the base on ready arrays. `python3 -m benchmarks.forward BATCHES` prints s/image."""

from __future__ import annotations

import sys
import time

import numpy as np

from covid19.core.keras_startup import import_keras


def seconds_per_image(batches: int) -> float:
    """Median over batches of 32, after one that traces the graph."""
    from covid19.features.backbone.network import build_base, pooled
    from covid19.features.backbone.weights import get_weights
    from covid19.features.batches import BATCH_SIZE

    base = build_base(get_weights("random"))
    model = pooled(base)
    pixels = np.random.default_rng(0).random((BATCH_SIZE, 224, 224, 3), np.float32)
    model.predict_on_batch(pixels)
    times = []
    for _ in range(batches):
        start = time.perf_counter()
        model.predict_on_batch(pixels)
        times.append((time.perf_counter() - start) / BATCH_SIZE)
    return float(np.median(times))


if __name__ == "__main__":
    import_keras()
    print(seconds_per_image(int(sys.argv[1])))
