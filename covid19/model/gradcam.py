"""Where the model looks: Grad-CAM in closed form. Feature maps of the base and a head go in, heat maps come out."""

from __future__ import annotations

import numpy as np

from covid19.core.arrays import Float32Array
from covid19.model.head import Heads


def gradcam(maps: Float32Array, heads: Heads, output: int) -> Float32Array:
    """Grad-CAM (Selvaraju et al., ICCV 2017) of the first head, without a gradient tape.

    The head sees only the mean of each feature map, so the logit's gradient is the same in every cell: that of the logit by
    the mean, divided by the cells. It follows from the head's weights and from which hidden units are awake.

    Args:
        maps: of the base, float32 (n, height, width, channels).
        heads: whose first head is explained.
        output: column of the class.

    Returns:
        How much each cell speaks for the class, not negative, in logits, float32 (n, height, width).
    """
    pooled = maps.mean(axis=(1, 2))
    first = heads.one(0)
    awake = first.standardised(pooled)[:, 0] @ first.hidden[0] + first.hidden_bias[0] > 0
    gradient = (awake * first.output[0][:, output]) @ first.hidden[0].T / np.sqrt(first.variance[0])
    cells = maps.shape[1] * maps.shape[2]
    return np.asarray(np.maximum(np.einsum("nhwk,nk->nhw", maps, gradient) / cells, 0), np.float32)
