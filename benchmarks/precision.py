"""Images per second of the base in full and in mixed precision, and how far the features differ.

`python3 -m benchmarks.precision [BATCHES]`, on whatever device Keras finds (`KERAS_BACKEND=torch` or `jax` where TensorFlow has
none); writes `results/precision-DEVICE.md`.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.record import provenance, table, write
from covid19.core.keras_startup import import_keras

BATCHES = (32, 128)  # images


def main() -> None:
    """Measure ready arrays, and write the table."""
    import_keras()
    import keras

    from covid19.features.backbone.weights import get_weights
    from covid19.features.tasks import build

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    arrays = get_weights("random").arrays
    models = {name: build(arrays, False, name) for name in ("float32", "mixed_float16")}
    rows = []
    for size in BATCHES:
        pixels = np.random.default_rng(0).random((size, 224, 224, 3), np.float32)
        full, mixed = (np.asarray(model.predict_on_batch(pixels), np.float64) for model in models.values())
        change = (np.linalg.norm(mixed - full, axis=1) / np.linalg.norm(full, axis=1)).max()
        rates = {}
        for name, model in models.items():
            times = []
            for _ in range(count):
                start = time.perf_counter()
                np.asarray(model.predict_on_batch(pixels))
                times.append(time.perf_counter() - start)
            rates[name] = size / np.median(times)
        rows.append([size, *(f"{rate:.1f}" for rate in rates.values()), f"{change:.1e}"])
    device = keras.distribution.list_devices()[0].split(":")[0]
    head = ["images at once", "float32, images/s", "mixed_float16, images/s", "largest change of an image's features"]
    said = f"On {device} through {keras.backend.backend()}; median of {count} batches of noise, untrained base."
    write(f"precision-{device}.md", "\n\n".join(["# Precision of the base", provenance(), said, table(head, rows)]))


if __name__ == "__main__":
    main()
