"""How large can the numbers inside a model become? Weights go in; a bound for every picture comes out, or a refusal.

Interval arithmetic, layer by layer: if no intermediate result can leave the range of float32, no picture gives infinity or NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from covid19.core.arrays import Float32Array, Float64Array

# Far below float32's 3.4e38, so that rounding and the order of a sum cannot matter, and far above what training gives: the
# bounds of the ImageNet weights and of the untrained draw are below 1e21.
LARGEST = 1e30
SMALLEST_VARIANCE = 1e-7  # of a feature; training takes none below 1e-6


def bound_features(arrays: Sequence[Float32Array], pixel: float) -> Float64Array:
    """The largest value of each feature that the base can give for any picture.

    Args:
        arrays: 26, of `Weights.arrays`.
        pixel: largest magnitude of the first convolution's input.

    Returns:
        (512,), at most `LARGEST`; no intermediate result is larger either. Features are not negative.

    Raises:
        ValueError: a weight is not finite, or a result could be larger than `LARGEST`.
    """
    bound: Float64Array = np.full(3, pixel, np.float64)
    for number, (kernel, bias) in enumerate(zip(arrays[::2], arrays[1::2], strict=True)):
        _check_finite(kernel, bias)
        wide = kernel.reshape(-1, *kernel.shape[2:])
        total = np.abs(wide).sum(axis=0, dtype=np.float64)
        _check_size(bound @ total + np.abs(bias), "the base")
        # After the first layer every input is positive or 0, so that negative weights can only lower a result.
        rising = total if number == 0 else np.maximum(wide, 0).sum(axis=0, dtype=np.float64)
        bound = np.maximum(bound @ rising + bias, 0)
    return bound


def check_head(head: Sequence[Float32Array], features: Float64Array) -> None:
    """Make sure that a head gives finite logits and heat maps for all features within their bounds.

    Args:
        head: mean (512,), variance (512,), hidden (512, 64) and its bias, output (64, classes) and its bias.
        features: from `bound_features`.

    Raises:
        ValueError: a weight is not finite, a variance is not positive, or a result could be larger than `LARGEST`.
    """
    _check_finite(*head)
    mean, variance, hidden, hidden_bias, output, output_bias = (np.abs(array).astype(np.float64) for array in head)
    if head[1].min() < SMALLEST_VARIANCE:
        raise ValueError(f"a variance of its standardisation is below {SMALLEST_VARIANCE:g}")
    deviation = np.sqrt(variance)
    standardised = (features + mean) / deviation
    _check_size(standardised, "the standardisation")
    active = standardised @ hidden + hidden_bias
    _check_size(active, "the hidden layer")
    _check_size(active @ output + output_bias, "the output layer")
    gradient = hidden @ output  # of a heat map, and before it is divided
    _check_size(gradient, "the gradient")
    _check_size(gradient / deviation[:, None] * (1 + features[:, None]), "the gradient")


def _check_finite(*arrays: Float32Array) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("a weight is not finite")


def _check_size(values: Float64Array, where: str) -> None:
    if values.max() > LARGEST:
        raise ValueError(f"its weights are so large that {where} could give infinity")
