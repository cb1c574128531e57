"""The twelve steps as a beginner writes them: all images in one float array, the whole network in every epoch.

`python3 -m benchmarks.naive DATASET EPOCHS`; it writes its model and plot into the current folder.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import cv2
import keras
import matplotlib as mpl
import numpy as np
from imutils import paths
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelBinarizer

mpl.use("Agg")
import matplotlib.pyplot as plt


def main(dataset: str, epochs: int) -> None:
    """Load, split, fit, report, save."""
    data, labels = [], []
    for path in paths.list_images(dataset):
        image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
        data.append(cv2.resize(image, (224, 224)))
        labels.append(Path(path).parent.name)
    pixels = np.array(data) / 255.0
    encoder = LabelBinarizer()
    targets = keras.utils.to_categorical(encoder.fit_transform(np.array(labels)))
    x_train, x_test, y_train, y_test = train_test_split(pixels, targets, test_size=0.2, stratify=targets, random_state=42)

    base = keras.applications.VGG16(weights=None, include_top=False, input_tensor=keras.Input((224, 224, 3)))
    base.trainable = False
    head = keras.layers.AveragePooling2D((4, 4))(base.output)
    head = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(head))
    head = keras.layers.Dense(2, activation="softmax")(keras.layers.Dropout(0.5)(head))
    model = keras.Model(base.input, head)
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])

    turn = keras.layers.RandomRotation(15 / 360, fill_mode="nearest")

    class Turned(keras.utils.PyDataset):
        """Batches of 8, each image turned anew each time."""

        def __len__(self) -> int:
            return math.ceil(len(x_train) / 8)

        def __getitem__(self, index: int):
            rows = slice(8 * index, 8 * index + 8)
            return np.asarray(turn(x_train[rows], training=True)), y_train[rows]

    history = model.fit(Turned(), validation_data=(x_test, y_test), validation_batch_size=8, epochs=epochs, verbose=2).history
    predicted = model.predict(x_test, batch_size=8).argmax(axis=1)
    print(classification_report(y_test.argmax(axis=1), predicted, target_names=encoder.classes_))
    print(confusion_matrix(y_test.argmax(axis=1), predicted))
    for name, values in history.items():
        plt.plot(values, label=name)
    plt.legend()
    plt.savefig("plot.png")
    model.save("model.keras")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
