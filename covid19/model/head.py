"""The new head, and its training on stored features: any number of heads side by side, the base never run.

A run trains one head; an experiment trains one for each fold. Stacked, they share every matrix product, so a hundred small
heads cost little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.utils.class_weight import compute_class_weight

from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.console import Progress
from covid19.core.errors import InputError
from covid19.core.settings import TrainingSettings
from covid19.features.array_file import FeatureFile, in_chunks
from covid19.model.head_layout import HIDDEN_UNITS

Features = Float32Array | FeatureFile
History = dict[str, list[float]]

DROPOUT = 0.5


@dataclass(frozen=True)
class Heads:
    """The weights of K heads: standardisation, Dense 64 ReLU, Dense softmax. All float32.

    Attributes:
        mean, variance: of the training features, (K, width).
        hidden, hidden_bias: (K, width, units) and (K, units).
        output, output_bias: (K, units, classes) and (K, classes).
    """

    mean: Float32Array
    variance: Float32Array
    hidden: Float32Array
    hidden_bias: Float32Array
    output: Float32Array
    output_bias: Float32Array

    def standardised(self, features: Float32Array) -> Float32Array:
        """Features (n, width), or (n, K, width) with a row for each head, standardised for each head: (n, K, width)."""
        rows = features if features.ndim == 3 else features[:, None]
        return np.asarray((rows - self.mean) / np.sqrt(self.variance), np.float32)

    def logits(self, features: Float32Array) -> Float32Array:
        """Logits of each head for features (n, width): float32 (n, K, classes)."""
        rows = self.standardised(features).transpose(1, 0, 2)
        active = np.maximum(rows @ self.hidden + self.hidden_bias[:, None], 0)
        return np.asarray(active @ self.output + self.output_bias[:, None], np.float32).transpose(1, 0, 2)

    def probabilities(self, features: Float32Array) -> Float32Array:
        """Probabilities of each head for features (n, width): float32 (n, K, classes), rows sum to 1."""
        return np.asarray(softmax(self.logits(features), axis=2), np.float32)

    def one(self, head: int) -> Heads:
        """One of the heads, as a stack of one."""
        return Heads(*(getattr(self, field.name)[head : head + 1] for field in fields(self)))

    def tempered(self, temperature: float) -> Heads:
        """The same heads with their logits divided by a temperature."""
        divided = {name: np.float32(1 / temperature) * getattr(self, name) for name in ("output", "output_bias")}
        return replace(self, **divided)


def new_heads(features: Features, members: Sequence[IndexArray], classes: int, seed: int) -> Heads:
    """Untrained heads, each standardised on its own training images.

    Standardisation: mean 0 and variance 1 for each feature. One that is silent on all training images has
    variance 0, and an image that wakes it would drown all others; so no deviation is taken for less than 3 % of the mean.
    Kernels are Glorot-uniform (Glorot and Bengio, AISTATS 2010), drawn by NumPy: the same under every backend.

    Args:
        features: of all images, float32 (n, views, width).
        members: for each head the positions of its training images.
        classes: outputs, two or more.
        seed: of the kernels; head k draws from (seed, k).
    """
    width = features.shape[2]
    mean, variance = (np.empty((len(members), width), np.float32) for _ in range(2))
    for head, own in enumerate(members):  # one at a time: copies for all heads would not fit
        mean[head], spread = _moments(features, own)
        variance[head] = np.maximum(spread, max(1e-3 * spread.mean(), 1e-6))
    generators = [np.random.default_rng((seed, head)) for head in range(len(members))]

    def kernels(inputs: int, outputs: int) -> Float32Array:
        limit = np.sqrt(6 / (inputs + outputs))
        return np.stack([generator.uniform(-limit, limit, (inputs, outputs)) for generator in generators]).astype(np.float32)

    hidden_bias, output_bias = (np.zeros((len(members), units), np.float32) for units in (HIDDEN_UNITS, classes))
    return Heads(mean, variance, kernels(width, HIDDEN_UNITS), hidden_bias, kernels(HIDDEN_UNITS, classes), output_bias)


def _moments(features: Features, images: IndexArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each feature over all views of some images, chunk by chunk (Chan, Golub, LeVeque, 1983)."""
    views, width = features.shape[1:]
    count, mean, squares = 0, np.zeros(width), np.zeros(width)
    for own in in_chunks(images):
        rows = features[own[:, None], np.arange(views)].reshape(-1, width).astype(np.float64)
        more, step = len(rows), rows.mean(axis=0) - mean
        squares += rows.var(axis=0) * more + step**2 * (count * more / (count + more))
        mean += step * (more / (count + more))
        count += more
    return mean, squares / count


def train_heads(
    heads: Heads,
    features: Features,
    labels: Float32Array,
    members: Sequence[IndexArray],
    training: TrainingSettings,
    test: IndexArray | None = None,
) -> tuple[Heads, History]:
    """Train each head on its own images; each epoch draws one view of each image and balances the classes.

    Adam's rate falls from `learning_rate` to 0 along a half cosine over the epochs. An epoch's last batch is filled up from
    the epoch's first images, so that all batches have one shape and the graph is traced once.

    Args:
        heads: to start from.
        features: of all images, float32 (n, views, width); view 0 is the image itself.
        labels: one-hot, float32 (n, classes).
        members: for each head the positions of its training images.
        training: epochs, batch_size, learning_rate and seed are used.
        test: positions of held-out images; only watched, nothing is chosen by them.

    Returns:
        The trained heads, and the mean over the heads of `loss`, `accuracy` and, with `test`, `val_loss` and `val_accuracy`
        by epoch; losses in nats.

    Raises:
        InputError: the learning rate is so high that the loss is no number.
    """
    steps = -(-max(len(own) for own in members) // training.batch_size)
    truth = labels.argmax(axis=1)
    every = np.arange(labels.shape[1])
    balance = np.stack([compute_class_weight("balanced", classes=every, y=truth[own]) for own in members]).astype(np.float32)
    columns = np.arange(len(members))
    stack = _stack(heads, training, steps)
    generator = np.random.default_rng(training.seed)
    history: History = {}
    name = "Training the head" if len(members) == 1 else f"Training {len(members)} heads for cross-validation"
    with Progress(name, training.epochs, "epochs") as progress:
        for _ in range(training.epochs):
            order = np.stack([_order(own, steps * training.batch_size, generator) for own in members], axis=1)
            logs = []
            # Batch by batch, not `fit`: its data pipeline costs 3 times as long as these small steps themselves.
            for images in np.split(order, steps):
                views = generator.integers(features.shape[1], size=images.shape)
                inputs = heads.standardised(features[images, views])
                # The sum over heads of each one's mean: a head learns the same in company as alone.
                sample_weight = balance[columns, truth[images]] / len(images)
                logs.append(stack.train_on_batch(inputs, labels[images], sample_weight=sample_weight))
            loss, accuracy = np.mean(np.asarray(logs, float), axis=0)
            numbers = {"loss": loss / len(members), "accuracy": accuracy}
            if test is not None:
                numbers |= _watch(_trained(heads, stack), features, test, truth)
            for name, value in numbers.items():
                history.setdefault(name, []).append(float(value))
            if not np.isfinite(loss):
                raise InputError(
                    f"training diverged at --learning-rate {training.learning_rate:g}; expected a loss: lower the rate"
                )
            progress.advance(1, "  ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
    return _trained(heads, stack), history


def logits_of(heads: Heads, features: Features, images: IndexArray) -> Float32Array:
    """Logits of each head for the unaugmented images at some positions: float32 (n, K, classes)."""
    return np.concatenate([heads.logits(features[own, 0]) for own in in_chunks(images)])


def probabilities_of(heads: Heads, features: Features, images: IndexArray) -> Float32Array:
    """Probabilities of each head for these images: float32 (n, K, classes), rows sum to 1."""
    return np.asarray(softmax(logits_of(heads, features, images), axis=2), np.float32)


def head_model(heads: Heads) -> keras.Model:
    """The first head as a Keras model with named layers.

    Returns:
        A model from features, float32 (n, width), to probabilities, float32 (n, classes), that sum to 1.
    """
    width, classes = heads.mean.shape[1], heads.output.shape[2]
    standardisation = keras.layers.Normalization(name="standardisation")
    hidden = keras.layers.Dense(HIDDEN_UNITS, activation="relu", name="hidden")
    output = keras.layers.Dense(classes, activation="softmax", name="probabilities")
    dropout = keras.layers.Dropout(DROPOUT, name="dropout")
    model = keras.Sequential([keras.Input((width,), name="features"), standardisation, hidden, dropout, output], name="head")
    standardisation.set_weights([heads.mean[0], heads.variance[0], np.int32(0)])
    standardisation.finalize_state()
    hidden.set_weights([heads.hidden[0], heads.hidden_bias[0]])
    output.set_weights([heads.output[0], heads.output_bias[0]])
    return model


def heads_of(model: keras.Model) -> Heads:
    """The head of a model that holds the layers of `head_model`, as a stack of one."""
    mean, variance, *_ = model.get_layer("standardisation").get_weights()
    weights = [*model.get_layer("hidden").get_weights(), *model.get_layer("probabilities").get_weights()]
    return Heads(*(np.asarray(array, np.float32)[None] for array in (mean, variance, *weights)))


def _stack(heads: Heads, training: TrainingSettings, steps: int) -> keras.Model:
    """The heads as one Keras model from standardised features (n, K, width) to probabilities (n, K, classes)."""
    count, width = heads.mean.shape
    each = {"bias_axes": "ko"}
    hidden = keras.layers.EinsumDense("bki,kio->bko", (count, HIDDEN_UNITS), activation="relu", **each)
    output = keras.layers.EinsumDense("bki,kio->bko", (count, heads.output.shape[2]), activation="softmax", **each)
    stack = keras.Sequential([keras.Input((count, width)), hidden, keras.layers.Dropout(DROPOUT, seed=training.seed), output])
    hidden.set_weights([heads.hidden, heads.hidden_bias])
    output.set_weights([heads.output, heads.output_bias])
    decay = keras.optimizers.schedules.CosineDecay(training.learning_rate, training.epochs * steps)
    loss = keras.losses.CategoricalCrossentropy(reduction="sum")
    stack.compile(keras.optimizers.Adam(decay), loss, metrics=["accuracy"])
    return stack


def _trained(heads: Heads, stack: keras.Model) -> Heads:
    hidden, output = (layer for layer in stack.layers if layer.weights and "einsum" in layer.name)
    (kernel, bias), (last_kernel, last_bias) = hidden.get_weights(), output.get_weights()
    return replace(heads, hidden=kernel, hidden_bias=bias, output=last_kernel, output_bias=last_bias)


def _order(images: IndexArray, count: int, generator: np.random.Generator) -> NDArray[np.int32]:
    """An epoch's images in random order, from the first again where they are too few."""
    return images[np.resize(generator.permutation(len(images)), count)].astype(np.int32)


def _watch(heads: Heads, features: Features, test: IndexArray, truth: IndexArray) -> dict[str, float]:
    """Mean loss and accuracy of the heads on held-out images."""
    probabilities = probabilities_of(heads, features, test)
    of_truth = np.take_along_axis(probabilities, truth[test][:, None, None], axis=2)
    right = probabilities.argmax(axis=2) == truth[test][:, None]
    return {"val_loss": float(-np.log(of_truth.clip(1e-7)).mean()), "val_accuracy": float(right.mean())}
