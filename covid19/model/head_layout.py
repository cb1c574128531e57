"""The head's size, and the names and shapes that its arrays have in a model file. No Keras here, so that reading needs none."""

from __future__ import annotations

HIDDEN_UNITS = 64


def array_shapes(width: int, classes: int) -> list[tuple[int, ...]]:
    """Shapes of mean, variance, count, hidden kernel and bias, output kernel and bias, for features (n, width)."""
    return [(width,), (width,), (), (width, HIDDEN_UNITS), (HIDDEN_UNITS,), (HIDDEN_UNITS, classes), (classes,)]


def archive_names() -> list[str]:
    """Where a Keras archive keeps these arrays, inside the model's layers."""
    counts = {"normalization": 3, "dense": 2, "dense_1": 2}
    return [f"{layer}/vars/{number}" for layer, count in counts.items() for number in range(count)]


def hdf5_names() -> list[str]:
    """Where Keras's HDF5 file keeps them, inside the model's weights."""
    names = [f"standardisation/head/standardisation/{name}" for name in ("mean", "variance", "count")]
    return names + [f"{layer}/head/{layer}/{name}" for layer in ("hidden", "probabilities") for name in ("kernel", "bias")]
