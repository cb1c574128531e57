"""Does the head train on a million images at three views in bounded memory? `python3 -m benchmarks.million [IMAGES]`.

Writes `results/million.md`. The features are random numbers in a file as a run keeps them; the training is that of a run.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.record import provenance, table, write
from covid19.core.keras_startup import import_keras
from covid19.features.array_file import FeatureFile, put

VIEWS = 3
BATCH = 256
AT_ONCE = 10_000


def peak() -> float:
    """Of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    """Fill a file, train one head for one epoch, and judge every image."""
    import_keras()
    from covid19.core.settings import TrainingSettings
    from covid19.model.head import new_heads, probabilities_of, train_heads

    images = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    start = peak()
    generator = np.random.default_rng(0)
    labels = np.eye(2, dtype=np.float32)[generator.integers(2, size=images)]
    with tempfile.TemporaryDirectory() as name:
        features = FeatureFile(images, VIEWS, 512, Path(name))
        for row in range(0, images * VIEWS, AT_ONCE):
            rows = np.arange(row, min(row + AT_ONCE, images * VIEWS))
            values = generator.random((len(rows), 512), np.float32)
            values[:, 0] += labels[rows // VIEWS, 0]
            put(features, rows, values)
        members, rest = np.split(generator.permutation(images), [images * 4 // 5])
        begin = time.perf_counter()
        heads = new_heads(features, [members], 2, 0)
        ready = time.perf_counter()
        settings = TrainingSettings(epochs=1, batch_size=BATCH)
        heads, history = train_heads(heads, features, labels, [members], settings, rest)
        trained = time.perf_counter()
        said = probabilities_of(heads, features, np.arange(images))
        judged = time.perf_counter()
    size = 4 * images * VIEWS * 512 / 1e9
    right = (said[:, 0].argmax(axis=1) == labels.argmax(axis=1)).mean()
    rows = [
        ["features", f"{size:.2f} GB"],
        ["peak memory before", f"{start:.0f} MB"],
        ["peak memory after", f"{peak():.0f} MB"],
        ["mean and variance of every feature", f"{ready - begin:.0f} s"],
        [f"one epoch of one head, batches of {BATCH}, and its held-out images", f"{trained - ready:.0f} s"],
        ["every image judged", f"{judged - trained:.0f} s"],
        ["accuracy on held-out images", f"{history['val_accuracy'][0]:.3f}"],
        ["accuracy on all", f"{right:.3f}"],
    ]
    said_of = f"{images:,} images at {VIEWS} views, random features of which one tells the class."
    write(
        "million.md", "\n\n".join(["# A head on more features than memory holds", provenance(), said_of, table(["", ""], rows)])
    )


if __name__ == "__main__":
    main()
