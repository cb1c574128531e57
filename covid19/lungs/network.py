"""The lung finder's network: a small U-Net (Ronneberger, Fischer, Brox, 2015) that gives each pixel its probability of lung.

It is a Keras model where it is trained; `opencv_network` runs it, so that nothing else needs Keras to find lungs. Its weights
were trained by `scripts/train_lung_finder.py` and lie beside this file as one array of float16, in the order of
`Model.get_weights`: a file that can hold nothing but numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from covid19.core.arrays import Float32Array
from covid19.lungs.weights import WEIGHTS_FILE

if TYPE_CHECKING:
    import keras

INPUT_SIDE_PX = 128
CHANNELS = (16, 24, 32, 48, 64)  # of each level of the encoder, each half as large as the one above
BOTTLENECK_CHANNELS = 56
MAX_DECODER_CHANNELS = 48
PERCENTILES = (1.0, 99.0)  # of the grey values that become 0 and 1


def build_network(batch_normalisation: bool = False) -> keras.Model:
    """The untrained network.

    Args:
        batch_normalisation: for training; `fold_batch_normalisation` makes the convolutions do its work afterwards.

    Returns:
        Model from float32 (n, 128, 128, 1), as `prepare_pictures` gives them, to logits of lung, float32 (n, 128, 128, 1).
    """
    from keras import Input, Model, layers

    def convolution(tensor: Any, channels: int, name: str) -> Any:
        tensor = layers.Conv2D(channels, 3, padding="same", name=name)(tensor)
        if batch_normalisation:
            tensor = layers.BatchNormalization(momentum=0.98, name=f"{name}_normalisation")(tensor)
        return layers.ReLU(name=f"{name}_relu")(tensor)

    picture = tensor = Input((INPUT_SIDE_PX, INPUT_SIDE_PX, 1), name="picture")
    skipped = []
    for level, channels in enumerate(CHANNELS):
        tensor = convolution(tensor, channels, f"encoder{level}_first")
        tensor = convolution(tensor, channels, f"encoder{level}_second")
        skipped.append(tensor)
        tensor = layers.MaxPooling2D(name=f"encoder{level}_pooling")(tensor)
    tensor = convolution(tensor, BOTTLENECK_CHANNELS, "bottleneck")
    for level, channels in reversed(list(enumerate(CHANNELS))):
        tensor = layers.UpSampling2D(interpolation="bilinear", name=f"decoder{level}_upsampling")(tensor)
        tensor = layers.Concatenate(name=f"decoder{level}_skip")([tensor, skipped[level]])
        tensor = convolution(tensor, decoder_channels(channels), f"decoder{level}")
    logits = layers.Conv2D(1, 1, name="logits")(tensor)
    return Model(picture, logits, name="lung_finder")


def fold_batch_normalisation(trained: keras.Model) -> keras.Model:
    """The same function without batch normalisation: each convolution does the work of the layer that followed it."""
    folded = build_network()
    for layer in folded.layers:
        if not layer.weights:
            continue
        kernel, bias = trained.get_layer(layer.name).get_weights()
        if layer.name != "logits":
            normalisation = trained.get_layer(f"{layer.name}_normalisation")
            gamma, beta, mean, variance = normalisation.get_weights()
            scale = gamma / np.sqrt(variance + normalisation.epsilon)
            kernel, bias = kernel * scale, (bias - mean) * scale + beta
        layer.set_weights([kernel, bias])
    return folded


def decoder_channels(channels: int) -> int:
    """Channels of the decoder at the level at which the encoder has so many."""
    return min(channels, MAX_DECODER_CHANNELS)


def weight_shapes() -> list[tuple[int, ...]]:
    """The shapes of the network's arrays, in the order of `Model.get_weights`: of each convolution kernel and bias."""
    shapes: list[tuple[int, ...]] = []

    def convolution(channels_in: int, channels_out: int, side: int = 3) -> int:
        shapes.extend([(side, side, channels_in, channels_out), (channels_out,)])
        return channels_out

    tensor = 1
    for channels in CHANNELS:
        tensor = convolution(convolution(tensor, channels), channels)
    tensor = convolution(tensor, BOTTLENECK_CHANNELS)
    for channels in reversed(CHANNELS):
        tensor = convolution(tensor + channels, decoder_channels(channels))
    convolution(tensor, 1, side=1)
    return shapes


def read_weights(file: Path = WEIGHTS_FILE) -> list[Float32Array]:
    """The trained network's arrays, see `weight_shapes`.

    Raises:
        ValueError: the file does not hold as many numbers as the network has.
    """
    numbers = np.load(file, allow_pickle=False).astype(np.float32)
    shapes = weight_shapes()
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    if numbers.shape != (ends[-1],):
        raise ValueError(f"'{file}' has shape {numbers.shape}; expected ({ends[-1]},): install the package again")
    return [numbers[start:end].reshape(shape) for (start, end), shape in zip(pairwise(ends), shapes, strict=True)]


def load_network(weights: Path = WEIGHTS_FILE) -> keras.Model:
    """The trained network as a Keras model.

    Raises:
        ValueError: the file does not hold as many numbers as the network has.
    """
    arrays = read_weights(weights)
    network = build_network()
    network.set_weights(arrays)
    return network


def save_weights(network: keras.Model, file: Path) -> None:
    """Write a network's weights as one array of float16."""
    np.save(file, np.concatenate([weight.ravel() for weight in network.get_weights()]).astype(np.float16))


def prepare_pictures(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What the network takes of pictures.

    Args:
        pictures: each uint8 RGB (height, width, 3).

    Returns:
        Grey float32 (n, 128, 128, 1) in [0, 1]: the 1st percentile of each picture is 0 and the 99th is 1.
    """
    prepared = np.empty((len(pictures), INPUT_SIDE_PX, INPUT_SIDE_PX, 1), np.float32)
    for row, picture in zip(prepared, pictures, strict=True):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        small = cv2.resize(grey, (INPUT_SIDE_PX, INPUT_SIDE_PX), interpolation=cv2.INTER_AREA)
        row[..., 0] = stretch(np.asarray(small, np.float32))
    return prepared


def stretch(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """A grey picture whose 1st percentile is 0 and whose 99th is 1; what lies beyond them is clipped."""
    low, high = np.percentile(grey, PERCENTILES)
    return np.asarray(((grey - low) / max(high - low, 1e-6)).clip(0, 1), np.float32)
