"""The lung finder's trained network without Keras: OpenCV runs it, in a few milliseconds a picture and without a start-up.

OpenCV reads networks from ONNX files. The weights lie beside this file as one array, so that file is written here, in memory,
from the same description of the network from which `network.build_network` makes a Keras model. The field numbers are those of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, the encoding is that of https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from covid19.core.arrays import Float32Array
from covid19.lungs.network import CHANNELS, INPUT_SIDE_PX, read_weights
from covid19.lungs.weights import WEIGHTS_FILE

OPERATORS_VERSION = 13  # of ONNX, in which `Resize` has its present form
FORMAT_VERSION = 8  # of ONNX files
FLOAT, TEXT, INTEGER, INTEGERS = 1, 3, 2, 7  # ONNX: FLOAT of tensors; STRING, INT and INTS of attributes


class OpenCvNetwork:
    """The trained network.

    Args:
        weights: file of its weights.

    Raises:
        ValueError: the file does not hold as many numbers as the network has.
    """

    def __init__(self, weights: Path = WEIGHTS_FILE) -> None:
        self._network: Any = cv2.dnn.readNetFromONNX(np.frombuffer(onnx_content(read_weights(weights)), np.uint8))

    def logits(self, picture: Float32Array) -> Float32Array:
        """Logits of lung, float32 (128, 128), of one picture as `network.prepare_pictures` gives it, float32 (128, 128, 1)."""
        self._network.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
        return np.asarray(self._network.forward()[0, 0], np.float32)


def onnx_content(weights: Sequence[Float32Array]) -> bytes:
    """The network as an ONNX file.

    Args:
        weights: kernel (height, width, in, out) and bias of each convolution, in the order of `Model.get_weights`.
    """
    graph = _Graph(weights)
    tensor, skipped = "picture", []
    for level in range(len(CHANNELS)):
        for name in ("first", "second"):
            tensor = graph.convolution(tensor, f"encoder{level}_{name}")
        skipped.append(tensor)
        tensor = graph.node("MaxPool", [tensor], f"pooled{level}", _integers("kernel_shape", 2, 2), _integers("strides", 2, 2))
    tensor = graph.convolution(tensor, "bottleneck")
    graph.constant("scales", np.array([1, 1, 2, 2], np.float32))
    for level in reversed(range(len(CHANNELS))):
        bilinear = (_text("mode", "linear"), _text("coordinate_transformation_mode", "half_pixel"))
        larger = graph.node("Resize", [tensor, "", "scales"], f"enlarged{level}", *bilinear)
        joined = graph.node("Concat", [larger, skipped[level]], f"joined{level}", _integer("axis", 1))
        tensor = graph.convolution(joined, f"decoder{level}")
    return graph.content("picture", graph.convolution(tensor, "logits", is_last=True))


class _Graph:
    """An ONNX graph as it grows.

    Args:
        weights: as `onnx_content` takes them.
    """

    def __init__(self, weights: Sequence[Float32Array]) -> None:
        self._weights = iter(weights)
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def node(self, operator: str, inputs: Iterable[str], output: str, *attributes: bytes) -> str:
        """Add an operation, and return the name of its output."""
        parts = [_field(1, name) for name in inputs]
        self._nodes.append(_field(1, b"".join([*parts, _field(2, output), _field(4, operator), *attributes])))
        return output

    def constant(self, name: str, values: Float32Array) -> None:
        """Add an array of numbers."""
        shape = b"".join(_number(1, length) for length in values.shape)
        content = np.ascontiguousarray(values, "<f4").tobytes()
        self._constants.append(_field(5, shape + _number(2, FLOAT) + _field(8, name) + _field(9, content)))

    def convolution(self, tensor: str, name: str, is_last: bool = False) -> str:
        """Add a convolution with the next weights and, but for the last, its ReLU."""
        kernel, bias = next(self._weights), next(self._weights)
        self.constant(f"{name}_kernel", kernel.transpose(3, 2, 0, 1))
        self.constant(f"{name}_bias", bias)
        side = kernel.shape[0]
        shape = (_integers("kernel_shape", side, side), _integers("pads", *[side // 2] * 4))
        output = self.node("Conv", [tensor, f"{name}_kernel", f"{name}_bias"], name, *shape)
        return output if is_last else self.node("Relu", [output], f"{name}_relu")

    def content(self, first: str, last: str) -> bytes:
        """The file."""
        ends = _field(11, _tensor_type(first)) + _field(12, _tensor_type(last))
        graph = b"".join([*self._nodes, _field(2, "lung finder"), *self._constants, ends])
        return _number(1, FORMAT_VERSION) + _field(7, graph) + _field(8, _field(1, "") + _number(2, OPERATORS_VERSION))


def _tensor_type(name: str) -> bytes:
    """The description of the network's input or output: one grey picture."""
    shape = b"".join(_field(1, _number(1, length)) for length in (1, 1, INPUT_SIDE_PX, INPUT_SIDE_PX))
    return _field(1, name) + _field(2, _field(1, _number(1, FLOAT) + _field(2, shape)))


def _integers(name: str, *values: int) -> bytes:
    return _field(5, _field(1, name) + b"".join(_number(8, value) for value in values) + _number(20, INTEGERS))


def _integer(name: str, value: int) -> bytes:
    return _field(5, _field(1, name) + _number(3, value) + _number(20, INTEGER))


def _text(name: str, value: str) -> bytes:
    return _field(5, _field(1, name) + _field(4, value) + _number(20, TEXT))


def _field(number: int, content: bytes | str) -> bytes:
    """A field that has a length: text, bytes or a message."""
    content = content.encode() if isinstance(content, str) else content
    return _variable_length(number << 3 | 2) + _variable_length(len(content)) + content


def _number(number: int, value: int) -> bytes:
    """A field that is a whole number, not negative."""
    return _variable_length(number << 3) + _variable_length(value)


def _variable_length(value: int) -> bytes:
    """A whole number in as few bytes as it needs, seven bits in each, the lowest first."""
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])
