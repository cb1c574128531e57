"""The new head: built with named layers, trained on stored features; the base is never run here."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_sample_weight

from covid19.console import Progress
from covid19.errors import InputError
from covid19.settings import Settings

Array = NDArray[np.float32]

WIDTH = 512  # numbers in a feature: channels of VGG16's last block
History = dict[str, list[float]]


def build_head(classes: int, seed: int) -> keras.Model:
    """Standardisation, Dense 64 ReLU, Dropout 0.5, Dense softmax.

    Args:
        classes: outputs, two or more.
        seed: of the first weights and of the dropout.

    Returns:
        A model from features, float32 (n, 512), to probabilities, float32 (n, classes), that sum to 1.
    """
    glorot = keras.initializers.GlorotUniform
    return keras.Sequential(
        [
            keras.Input((WIDTH,), name="features"),
            keras.layers.Normalization(name="standardisation"),
            keras.layers.Dense(64, activation="relu", kernel_initializer=glorot(seed), name="hidden"),
            keras.layers.Dropout(0.5, seed=seed, name="dropout"),
            keras.layers.Dense(classes, activation="softmax", kernel_initializer=glorot(seed + 1), name="probabilities"),
        ],
        name="head",
    )


def standardise(head: keras.Model, features: Array) -> None:
    """Adapt the head's standardisation to features: mean 0 and variance 1 for each of the 512.

    A map that is silent on all training images has variance 0, and an image that wakes it would be divided by nothing
    and drown the other 511; so no deviation is taken for less than 3 % of the mean one.

    Args:
        head: from `build_head`.
        features: of the training images only, float32 (n, 512).
    """
    layer = head.get_layer("standardisation")
    layer.adapt(features)
    variance = features.var(axis=0)
    layer.adapt_variance.assign(np.maximum(variance, max(1e-3 * float(variance.mean()), 1e-6)))
    layer.finalize_state()


def fit_head(head: keras.Model, train: tuple[Array, Array], test: tuple[Array, Array], settings: Settings) -> History:
    """Train the head; each epoch draws one view of each image and balances the classes.

    Adam's rate falls from `learning_rate` to 0 along a half cosine over the epochs.

    Args:
        head: from `build_head`, its standardisation adapted or taken from an earlier model; trained in place.
        train: features, float32 (n, views, 512), and one-hot labels, float32 (n, classes).
        test: features, float32 (m, 512), and one-hot labels; only watched, nothing is chosen by them.
        settings: epochs, batch_size, learning_rate, seed.

    Returns:
        `loss`, `accuracy`, `val_loss`, `val_accuracy`, one number an epoch; in [0, 1] but for the losses (nats).

    Raises:
        InputError: the learning rate is so high that the loss is no number.
    """
    features, labels = train
    images, views = features.shape[:2]
    balance = compute_sample_weight("balanced", labels.argmax(axis=1)).astype(np.float32)
    steps = -(-images // settings.batch_size)
    decay = keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.epochs * steps)
    head.compile(keras.optimizers.Adam(decay), "categorical_crossentropy", metrics=["accuracy"])
    generator = np.random.default_rng(settings.seed)
    history: History = {"loss": [], "accuracy": [], "val_loss": [], "val_accuracy": []}
    with Progress("Training the head", settings.epochs, "epochs") as progress:
        for _ in range(settings.epochs):
            order = generator.permutation(images)
            drawn = np.asarray(generator.integers(views, size=images))
            seen = {"loss": 0.0, "accuracy": 0.0}
            # Batch by batch, not `fit`: its data pipeline costs 3 times as long as these small steps themselves.
            for start in range(0, images, settings.batch_size):
                chosen = order[start : start + settings.batch_size]
                batch = features[chosen, drawn[chosen]], labels[chosen]
                logs = head.train_on_batch(*batch, sample_weight=balance[chosen], return_dict=True)
                seen = {name: total + float(logs[name]) * len(chosen) / images for name, total in seen.items()}
            held_out = head.test_on_batch(*test, return_dict=True)
            for name, value in (*seen.items(), *((f"val_{name}", held_out[name]) for name in seen)):
                history[name].append(float(value))
            if not np.isfinite(history["loss"][-1]):
                raise InputError(
                    f"training diverged at --learning-rate {settings.learning_rate:g}; expected a loss: lower the rate"
                )
            progress.advance(1, "  ".join(f"{name} {values[-1]:.3f}" for name, values in history.items()))
    return history
