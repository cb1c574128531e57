"""What the rest of the program needs to know of the backbone, as data: name, sizes, and the layout of its arrays in files."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

# VGG16 configuration D (Simonyan and Zisserman, arXiv:1409.1556, table 1): channels of each convolution, by block.
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@dataclass(frozen=True)
class Backbone:
    """An image network without its classifier.

    Attributes:
        name: for the reader, and in model files.
        layer: name of the network as a layer of the whole Keras model.
        preprocessing_layer: name of the 1x1 convolution that trained weights need before the first layer.
        side: height and width of an input image, in pixels.
        width: numbers in the feature vector of an image.
        convolutions: name of each convolution, in order.
        kernel_shapes: of each, (height, width, inputs, outputs); its bias has shape (outputs,).
    """

    name: str
    layer: str
    preprocessing_layer: str
    side: int
    width: int
    convolutions: tuple[str, ...]
    kernel_shapes: tuple[tuple[int, int, int, int], ...]

    def array_shapes(self, preprocessed: bool) -> list[tuple[int, ...]]:
        """Shapes of kernel and bias of each layer in turn, the preprocessing's first if there is one."""
        kernels = [(1, 1, 3, 3), *self.kernel_shapes] if preprocessed else self.kernel_shapes
        return [part for shape in kernels for part in (shape, shape[3:])]

    def archive_names(self, preprocessed: bool) -> list[str]:
        """Where a Keras archive keeps the arrays of `array_shapes`, inside the model's layers."""
        layers = ["conv2d", *(f"conv2d_{number}" for number in range(1, len(self.convolutions) + preprocessed))]
        return [f"functional/layers/{layer}/vars/{number}" for layer in layers for number in range(2)]

    def hdf5_names(self, preprocessed: bool) -> list[str]:
        """Where Keras's HDF5 file keeps them, inside the model's weights."""
        layers = [self.preprocessing_layer, *self.convolutions] if preprocessed else self.convolutions
        return [f"{self.layer}/{layer}/{name}" for layer in layers for name in ("kernel", "bias")]


BACKBONE = Backbone(
    name="VGG16",
    layer="vgg16",
    preprocessing_layer="preprocessing",
    side=224,
    width=_BLOCKS[-1][-1],
    convolutions=tuple(
        f"block{block}_conv{number}" for block, widths in enumerate(_BLOCKS, 1) for number, _ in enumerate(widths, 1)
    ),
    kernel_shapes=tuple(
        (3, 3, inputs, outputs) for inputs, outputs in pairwise((3, *(width for block in _BLOCKS for width in block)))
    ),
)
