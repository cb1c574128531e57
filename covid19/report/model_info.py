"""What a model's file says of the run that made it, in the types that check it when a file is read."""

from __future__ import annotations

import msgspec

from covid19 import NOTICE, __version__
from covid19.audit.explanation import advise, explain
from covid19.core.settings import Settings
from covid19.evaluation.metrics import predict_labels
from covid19.lungs.weights import finder_digest
from covid19.model.info import CrossValidationSummary, ModelInfo
from covid19.report.summary import Outcome, environment

PREPROCESSING = (
    "decode as RGB, apply the EXIF orientation; resize to 224x224 ignoring aspect ratio, by area where an axis shrinks "
    "and linearly where it grows; divide by 255; the model does the rest"
)
LUNGS_ALONE = (
    "; before dividing, find the lungs (covid19 lungs), fill what lies outside them from their edge and enlarge the box that "
    "holds them to 224x224 (covid19.lungs.occlusion, Hides.SURROUNDINGS)"
)


def model_info(settings: Settings, outcome: Outcome) -> ModelInfo:
    """What the file of a run's model says."""
    numbers = outcome.estimate.numbers
    info = {
        "program": "covid19",
        "notice": NOTICE,
        "classes": outcome.dataset.classes,
        "positive": outcome.test.positive,
        "preprocessing": PREPROCESSING + (LUNGS_ALONE if settings.lungs.region == "lungs" else ""),
        "region": settings.lungs.region,
        "lungs": {"finder": finder_digest(), "box": settings.lungs.lung_box, "found": outcome.lungs_found}
        if outcome.lungs_found is not None
        else None,
        "base": outcome.weights.as_json(),
        "settings": settings.as_json(),
        "versions": {"covid19": __version__, **vars(environment())},
        "trained_on": [outcome.dataset.records[i].digest for i in outcome.split.train],
        "trained_hashes": [outcome.dataset.records[i].stats.hash for i in outcome.split.train],
        "threshold": outcome.estimate.threshold,
        "temperature": outcome.estimate.temperature,
        "cross_validation": msgspec.to_builtins(msgspec.convert(numbers, CrossValidationSummary | None, from_attributes=True)),
        "audit": outcome.audit
        and {
            "verdict": outcome.audit.verdict,
            "margin": msgspec.to_builtins(outcome.audit.margin),
            "model_auc": outcome.audit.model_auc,
            "words": f"{advise(outcome.audit)} {explain(outcome.audit)}",
        },
        "out_of_fold": _predicted_out_of_fold(outcome),
    }
    return msgspec.convert(info, ModelInfo)


def _predicted_out_of_fold(outcome: Outcome) -> dict[str, int] | None:
    """How many images the positive class was predicted for out of fold, at the model's threshold, and how many there were."""
    probabilities = outcome.estimate.probabilities
    if probabilities is None:
        return None
    positive = outcome.dataset.classes.index(outcome.test.positive)
    predicted = predict_labels(probabilities, positive, outcome.estimate.threshold)
    return {"positives": int((predicted == positive).sum()), "images": len(predicted)}
