"""Import this before Keras or TensorFlow in a test that needs them at the top: starts Keras quietly, as the commands do."""

from covid19.core.keras_startup import import_keras

import_keras()
