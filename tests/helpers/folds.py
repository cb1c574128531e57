"""Labels and folds to probe."""

import numpy as np

from covid19.audit.probes import LabelledFolds
from covid19.evaluation.folds import make_folds


def question(count=30, seed=0):
    positive = np.arange(2 * count) < count
    groups = list(range(2 * count))
    return LabelledFolds(positive, groups, make_folds(positive.astype(int).tolist(), groups, 5, 2, seed), seed)
