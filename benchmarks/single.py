"""One prediction against one bare forward, in turns: `python3 -m benchmarks.single MODEL IMAGE` prints seconds as JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from covid19.core.keras_startup import import_keras

TURNS = 40


def main() -> None:
    """Take turns, since the machine's speed changes within seconds."""
    import_keras()
    from covid19.data.images import read_picture
    from covid19.features.backbone.description import BACKBONE
    from covid19.inference.predictor import Predictor
    from covid19.inference.reading import read_image
    from covid19.model.load import load_model

    model, path = Path(sys.argv[1]), Path(sys.argv[2])
    predictor, base = Predictor(model), load_model(model).model.get_layer(BACKBONE.layer)
    pixels = read_picture(path).pixels[None].astype(np.float32) / np.float32(255)
    whole, bare = [], []
    for _ in range(TURNS):
        begin = time.perf_counter()
        base.predict_on_batch(pixels)
        middle = time.perf_counter()
        predictor.ask([path.name], [read_image(path)])
        bare.append(middle - begin)
        whole.append(time.perf_counter() - middle)
    over = [one - other for one, other in zip(whole[3:], bare[3:], strict=True)]  # the first build graphs
    print(json.dumps({"forward": statistics.median(bare[3:]), "over": statistics.median(over)}))


if __name__ == "__main__":
    main()
