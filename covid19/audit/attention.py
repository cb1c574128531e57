"""Where the model looks: how much of its Grad-CAM heat maps lies on the lungs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from covid19.audit.result import ImageAttention, LungAttention
from covid19.core.arrays import Float32Array, IndexArray
from covid19.core.settings import TrainingSettings
from covid19.data.images import Read
from covid19.features.augmentation import View
from covid19.features.batches import load_batches
from covid19.lungs.masks import fraction_inside
from covid19.lungs.occlusion import on_picture
from covid19.lungs.scan import Lungs
from covid19.model.gradcam import gradcam
from covid19.model.head import Features, Heads, new_heads, train_heads


def lungs_looked_at(
    views: Sequence[View], lungs: Mapping[str, Lungs], classes: Sequence[str], base: keras.Model, heads: Heads, read: Read
) -> LungAttention:
    """How much of the Grad-CAM for each image's own class lies on its lungs.

    Args:
        views: the images as the backbone is given them.
        lungs: of each image, by its digest.
        classes: in the order of the head's outputs.
        base: whose feature maps the head's weights are laid over.
        heads: whose first head is explained.
        read: decodes a file.
    """
    looked = []
    for batch in load_batches(views, read):
        if not batch.positions:
            continue
        maps = np.asarray(base.predict_on_batch(batch.as_floats()), np.float32)
        for row, position in enumerate(batch.positions):
            record, occlusion = views[position].record, views[position].occlusion
            heat = gradcam(maps[row : row + 1], heads, classes.index(record.label))[0]
            fraction = fraction_inside(on_picture(heat, occlusion), lungs[record.digest].mask)
            looked.append(ImageAttention(record.name, record.label, fraction))
    by_class = {
        name: float(np.mean(fractions))
        for name in classes
        if (fractions := [image.fraction for image in looked if image.label == name])
    }
    area = float(np.mean([lungs[view.record.digest].mask.mean() for view in views]))
    return LungAttention(tuple(looked), by_class, area, untrained=None)


def untrained_heads(untrained: Features, labels: Float32Array, train: IndexArray, training: TrainingSettings) -> Heads:
    """A head on the features of a backbone that was never trained, for the check of Adebayo et al. (NeurIPS 2018).

    Where weights that were never trained make a head look, training has not led the model to look.
    """
    heads = new_heads(untrained, [train], labels.shape[1], training.seed)
    return train_heads(heads, untrained, labels, [train], training)[0]
