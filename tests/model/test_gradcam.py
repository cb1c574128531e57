"""Grad-CAM: the closed form is what a gradient tape gives."""

import helpers.keras_start  # noqa: F401
import numpy as np
import tensorflow as tf

from covid19.model.gradcam import gradcam
from covid19.model.head import head_model, new_heads


def test_the_closed_form_is_the_gradient_tapes():
    generator = np.random.default_rng(0)
    maps = np.maximum(generator.normal(size=(5, 7, 7, 512)), 0).astype(np.float32)
    heads = new_heads(maps.mean(axis=(1, 2))[:, None], [np.arange(5)], 3, seed=0)
    head = head_model(heads)
    kernel, bias = (tf.constant(weight) for weight in head.get_layer("probabilities").get_weights())
    for output in range(3):
        with tf.GradientTape() as tape:
            watched = tf.Variable(maps)
            hidden = head.get_layer("hidden")(head.get_layer("standardisation")(tf.reduce_mean(watched, axis=(1, 2))))
            logit = (hidden @ kernel + bias)[:, output]
        weights = tf.reduce_mean(tape.gradient(logit, watched), axis=(1, 2), keepdims=True)
        expected = tf.nn.relu(tf.reduce_sum(weights * maps, axis=3)).numpy()
        assert expected.max() > 0
        np.testing.assert_allclose(gradcam(maps, heads, output), expected, atol=1e-5)
