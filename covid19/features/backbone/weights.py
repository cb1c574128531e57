"""Where the base's weights come from: ImageNet (cache or download), a file, or the fixed untrained draw. No Keras here.

Goes in: the `--weights` flag. Comes out: the arrays of VGG16's 13 convolutions, their origin and their digest.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
import time
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from pathlib import Path

import numpy as np

from covid19.core.arrays import Float32Array
from covid19.core.console import Progress, printable, say, warn
from covid19.core.errors import InputError
from covid19.core.outputs import atomic_write
from covid19.features.backbone.description import BACKBONE
from covid19.features.backbone.magnitudes import bound_features

FILE_NAME = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{FILE_NAME}"
MD5 = "6d6bbae143d832006294945121d1f1fc"  # published with keras.applications
MAX_ARRAY_BYTES = 1_000_000_000  # of all arrays of a file; with the top, which is left alone, VGG16 has 553 MB
CONNECT_TIMEOUT_S = 10.0  # until a connection that does not answer is given up
STALL_TIMEOUT_S, MIN_STALL_BYTES = 10.0, 10_000  # a download that brings fewer bytes in that time is given up
UNTRAINED = "random"  # origin of weights that were never trained
IMAGENET = "imagenet"  # origin of the official weights
UNTRAINED_SEED = 0  # of the untrained draw: always the same, so that features of two runs can be compared
# `Weights.digest` of the arrays in the official file, and of the untrained draw (where the C library's logarithm rounds
# otherwise than glibc's, a few of its values differ: `_untrained_digest` asks this machine).
IMAGENET_DIGEST = "b3cb074cc33d30ac3e18c98d720946b3e4d498a78ae0210196687ec9fd5ed4cb"
UNTRAINED_DIGEST = "987b448d67fd2dd69cb55f6ab048d6b8573b2c03264baa2f0118f1062823cbfd"
# keras.applications.vgg16.preprocess_input in 'caffe' mode: mean of each channel over ImageNet, in RGB order, of 255.
IMAGENET_MEAN = (123.68, 116.779, 103.939)
LARGEST_PIXEL = 255.0  # magnitude of what the first convolution is shown, with or without preprocessing
MAX_NAME_CHARACTERS = 200  # characters of a file's name in an origin


@dataclass(frozen=True)
class Weights:
    """The weights of VGG16's convolutions.

    Attributes:
        arrays: kernel, float32 (3, 3, in, out), and bias, float32 (out,), of each of the 13 layers in turn.
        origin: 'imagenet', 'random', or 'file NAME': what the arrays are, whatever the file that they were read from is called.
        digest: SHA-256 over the preprocessing, by its name, and all arrays, in hexadecimal: all that features depend on.
        warning: why the weights are not the ones asked for, or None.
    """

    arrays: tuple[Float32Array, ...]
    origin: str
    digest: str
    warning: str | None = None

    @property
    def trained(self) -> bool:
        """Whether the base was trained, so that its input is preprocessed as VGG16's was."""
        return self.origin != UNTRAINED

    @property
    def title(self) -> str:
        """A few words for a plot or a report: 'ImageNet weights', 'untrained', 'weights of FILE'."""
        named = {IMAGENET: "ImageNet weights", UNTRAINED: "untrained, random weights"}
        return named.get(self.origin, f"weights of {self.origin}")

    def as_json(self) -> dict[str, str]:
        """What a report and a model file say of the base."""
        return {"name": BACKBONE.name, "weights": self.origin, "digest": self.digest}


def get_weights(wanted: str) -> Weights:
    """The weights that `--weights` asks for.

    Args:
        wanted: 'auto' (ImageNet, else untrained with a warning), 'imagenet' (or fail), 'random' or a file's path.

    Raises:
        InputError: the weights cannot be had, or the file is not in the official no-top layout.
    """
    if wanted == UNTRAINED:
        return _untrained()
    if wanted not in ("auto", IMAGENET):
        return _read_weights(Path(wanted))
    try:
        weights = _read_weights(_imagenet_file())
        if weights.origin != IMAGENET:
            raise OSError("the arrays in the file are not the official ones")
        return weights
    except OSError as error:
        remedy = f"download {URL} on a machine with internet and put it at '{_cache_path()}', or give its path with --weights"
        if wanted == IMAGENET:
            raise InputError(f"--weights imagenet: no ImageNet weights ({error}); {remedy}") from error
        warning = f"no ImageNet weights ({error}): the base is UNTRAINED, so expect less of the model; {remedy}"
        warn(warning)
        return _untrained(warning)


def untrained_arrays() -> list[Float32Array]:
    """He-normal kernels and zero biases (He et al., arXiv:1502.01852), drawn by NumPy: the same under every backend."""
    generator = np.random.default_rng(UNTRAINED_SEED)
    arrays: list[Float32Array] = []
    for shape in BACKBONE.kernel_shapes:
        deviation = np.float32(np.sqrt(2 / np.prod(shape[:3])))
        arrays += [generator.standard_normal(shape, np.float32) * deviation, np.zeros(shape[3], np.float32)]
    return arrays


def read_arrays(path: Path) -> list[Float32Array]:
    """Read a file in the layout of `keras.applications`' VGG16 weights without top.

    Args:
        path: an HDF5 file; one group for each layer, which holds kernel and bias under any names.

    Returns:
        The 26 arrays of `Weights.arrays`.

    Raises:
        InputError: the file is missing, truncated, no HDF5, lacks a layer or a shape of VGG16, or has weights that are not
            finite or so large that a feature could be infinite.
    """
    import h5py  # 0.2 s that an answer to a usage error need not pay

    from covid19.core.hdf5 import check_index, list_arrays

    layout = f"the official VGG16 layout without top ({FILE_NAME})"
    if not path.is_file():
        raise InputError(f"--weights '{path}' is no file; expected auto, imagenet, random or a file in {layout}")
    arrays: list[Float32Array] = []
    try:
        with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            check_index(content)
        with h5py.File(path, "r") as file:
            listed = list_arrays(file, MAX_ARRAY_BYTES)
            for layer, shape in zip(BACKBONE.convolutions, BACKBONE.kernel_shapes, strict=True):
                within = [item for name, item in listed.items() if name.startswith(f"{layer}/")]
                found = sorted(within, key=lambda item: -item.ndim)
                if [item.shape for item in found] != [shape, shape[3:]]:
                    raise ValueError(f"{layer} has shapes {[item.shape for item in found]}, expected {[shape, shape[3:]]}")
                with np.errstate(over="ignore"):  # infinity is refused below
                    arrays += [np.asarray(item[()], np.float32) for item in found]
        bound_features(arrays, LARGEST_PIXEL)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, EOFError, zlib.error) as error:
        reason = str(error).strip("'\"").splitlines()[0]
        raise InputError(f"--weights '{path}' cannot be used ({reason}); expected a whole file in {layout}") from error
    return arrays


def weights_of(arrays: Sequence[Float32Array], name: str, warning: str | None = None) -> Weights:
    """The weights that some arrays are, told by the arrays themselves.

    Args:
        arrays: 26, of `Weights.arrays`.
        name: of the file that they come from; for arrays that are neither the official nor the untrained ones.
        warning: see `Weights`.
    """
    digest = _digest(b"rgb01", arrays)
    if digest == UNTRAINED_DIGEST or digest == _untrained_digest():
        return Weights(tuple(arrays), UNTRAINED, digest, warning)
    digest = _digest(b"caffe", arrays)
    origin = IMAGENET if digest == IMAGENET_DIGEST else f"file {printable(name)[:MAX_NAME_CHARACTERS]}"
    return Weights(tuple(arrays), origin, digest, warning)


def preprocessing_arrays() -> tuple[Float32Array, Float32Array]:
    """Kernel (1, 1, 3, 3) and bias (3,) of VGG16's preprocessing as a 1x1 convolution: RGB in [0, 1] to BGR less mean."""
    kernel = 255 * np.eye(3, dtype=np.float32)[::-1].reshape(1, 1, 3, 3)
    return np.ascontiguousarray(kernel), -np.array(IMAGENET_MEAN[::-1], np.float32)


def _read_weights(path: Path) -> Weights:
    return weights_of(read_arrays(path), path.name)


def _untrained(warning: str | None = None) -> Weights:
    arrays = untrained_arrays()
    return Weights(tuple(arrays), UNTRAINED, _digest(b"rgb01", arrays), warning)


@cache
def _untrained_digest() -> str:
    """The digest of the draw as this machine makes it."""
    return _digest(b"rgb01", untrained_arrays())


def _digest(preprocessing: bytes, arrays: Sequence[Float32Array]) -> str:
    digest = hashlib.sha256(preprocessing)
    for array in arrays:
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()


def _cache_path() -> Path:
    """Where Keras keeps the file, so that both share one download."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "models" / FILE_NAME


def _imagenet_file() -> Path:
    """The file from the Keras cache, downloaded first if it is missing or damaged.

    Raises:
        OSError: it could not be downloaded; the text says why, in a few words.
    """
    path = _cache_path()
    if path.is_file() and _md5(path) == MD5:
        return path
    damaged = f"'{path}' is damaged, and " if path.is_file() else ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            _download(URL, draft)
            if _md5(draft) != MD5:
                raise OSError("the download is damaged: its checksum is wrong")
    except (OSError, HTTPException) as error:
        raise OSError(f"{damaged}{error or type(error).__name__}") from error
    return path


def _download(url: str, target: Path) -> None:
    """Download with a progress bar.

    Raises:
        OSError: no connection within `CONNECT_TIMEOUT_S`, or fewer than `MIN_STALL_BYTES` in `STALL_TIMEOUT_S`.
    """
    say(f"Downloading the ImageNet weights of VGG16 from {url}")
    with _open(url) as response:
        size = max(int(response.headers.get("Content-Length") or 0), 1)
        with target.open("wb") as file, Progress("Downloading", size, "bytes") as progress:
            begin, received = time.monotonic(), 0
            while block := response.read1(1 << 20):  # what is there: `read` would wait for all of it
                file.write(block)
                progress.advance(len(block))
                received += len(block)
                if time.monotonic() - begin > STALL_TIMEOUT_S:
                    if received < MIN_STALL_BYTES:
                        raise OSError(f"the server sent only {received} bytes in {STALL_TIMEOUT_S:g} s")
                    begin, received = time.monotonic(), 0


def _open(url: str):  # type: ignore[no-untyped-def]  # urllib's response has no public type
    """Open a URL within `CONNECT_TIMEOUT_S` seconds in all.

    A time-out of the connection does not cover looking up the name, so a thread is watched. `keras.utils.get_file` sets no
    time-out at all, and `pooch` waits without end for a name server that is silent and for a server that drips.
    """
    answer: list[object] = []

    def connect() -> None:
        try:
            answer.append(urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_S))
        except Exception as error:  # noqa: BLE001  # handed over to the waiting thread, which raises it
            answer.append(error)

    # A daemon: the process must not wait for it at exit.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT_S)
    if not answer:
        raise OSError(f"no answer within {CONNECT_TIMEOUT_S:g} s")
    if isinstance(answer[0], Exception):
        raise answer[0]
    return answer[0]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
