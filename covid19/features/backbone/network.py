"""The frozen base: VGG16 without its top, its weights and the preprocessing they were trained with, as one Keras model."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from covid19.core.arrays import Float32Array
from covid19.features.backbone.description import BACKBONE
from covid19.features.backbone.weights import Weights, preprocessing_arrays


def build_base(weights: Weights) -> keras.Model:
    """VGG16 without its top, frozen.

    Args:
        weights: of the 13 convolutions. Trained ones get VGG16's own preprocessing as a layer of the model.

    Returns:
        A model from RGB in [0, 1], float32 (n, 224, 224, 3), to feature maps, float32 (n, 7, 7, 512).
    """
    return base_of(weights.arrays, weights.trained)


def base_of(arrays: Sequence[Float32Array], trained: bool) -> keras.Model:
    """The same of the 26 arrays of `Weights.arrays` alone."""
    xray = keras.Input((BACKBONE.side, BACKBONE.side, 3), name="rgb")
    vgg16 = keras.applications.VGG16(weights=None, include_top=False, input_tensor=_preprocess(xray, trained))
    base = keras.Model(xray, vgg16.output, name=BACKBONE.layer)
    base.trainable = False
    for layer, start in zip(_convolutions(base), range(0, 26, 2), strict=True):
        layer.set_weights(list(arrays[start : start + 2]))
    return base


def pooled(base: keras.Model) -> keras.Model:
    """The base and the mean of each of its maps: from RGB in [0, 1] to features, float32 (n, 512)."""
    return keras.Model(base.input, keras.layers.GlobalAveragePooling2D(dtype="float32")(base.output))


def base_arrays(base: keras.Model) -> list[Float32Array]:
    """The 26 arrays of `Weights.arrays`, out of a base."""
    return [np.asarray(array) for layer in _convolutions(base) for array in layer.get_weights()]


def is_trained(base: keras.Model) -> bool:
    """Whether a base has the preprocessing of trained weights."""
    return any(layer.name == BACKBONE.preprocessing_layer for layer in base.layers)


def _convolutions(base: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in base.layers if "conv" in layer.name]


def _preprocess(xray: keras.KerasTensor, trained: bool) -> keras.KerasTensor:
    """RGB in [0, 1] to BGR in [0, 255] less ImageNet's mean, for weights that were trained so.

    A 1x1 convolution says it exactly, and a file with it opens in plain Keras: a lambda would not, in safe mode.
    """
    if not trained:
        return xray
    layer = keras.layers.Conv2D(3, 1, name=BACKBONE.preprocessing_layer, dtype="float32")
    output = layer(xray)
    layer.set_weights(list(preprocessing_arrays()))
    return output
