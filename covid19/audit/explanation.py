"""The verdict in words: a status, one sentence of what to do, and what was found."""

from __future__ import annotations

from covid19.audit.result import AuditResult, DetectionLimit, Margin
from covid19.core.measures import Metric
from covid19.model.info import Verdict

NOT_TESTED = "NOT TESTED"
STATUS: dict[Verdict, str] = {
    "explained": "SHORTCUT",
    "present": "PARTLY",
    "none-found": "NONE FOUND",
    "too-few": "TOO FEW",
}
WHAT_TO_DO: dict[Verdict | None, str] = {
    "explained": "without the lungs the classes are told apart about as well as by the model, so its accuracy means nothing. "
    "Do not report it: {mend}, and audit again.",
    "present": "the classes also differ outside the lungs, so a part of the score may be a shortcut. Report what the lungs "
    "add, {mend}, and test on another hospital's images.",
    "none-found": "no shortcut was found. Test on another hospital's images before you believe the score there.",
    "too-few": "there are too few patients to tell a shortcut from chance. Collect at least 20 of each class.",
    None: "whether the score needs the lungs was not tested. Run covid19 audit.",
}
NEW_CONTROLS = "take controls from the same source or {crop}"
CROP = "train with --region lungs"
CROP_ELSEWHERE = "train on pictures of the lungs alone"  # of a model that is not this program's


def status(audit: AuditResult | None) -> str:
    """The verdict as one word or two, for headings."""
    return STATUS[audit.verdict] if audit else NOT_TESTED


def advise(audit: AuditResult | None, crop: str = CROP) -> str:
    """The status and what to do, in one sentence.

    Args:
        audit: the result, or None if there is none.
        crop: how the model can be trained on the lungs alone.
    """
    verdict = audit.verdict if audit else None
    mend = crop if audit and audit.same_sources else NEW_CONTROLS.format(crop=crop)
    return f"{status(audit)}: {WHAT_TO_DO[verdict].format(mend=mend)}"


def explain(audit: AuditResult | None) -> str:
    """What was found, with the numbers on which the verdict stands; '' without an audit."""
    if audit is None:
        return ""
    probes = {probe.name: probe for probe in audit.probes}
    if audit.verdict in ("none-found", "too-few"):
        tested = [probe.name for probe in audit.probes if probe.p_value is not None]
        words = [f"Nothing that sees no lung ({', '.join(tested)}) tells the classes apart better than chance."]
        if audit.verdict == "too-few":
            words.append(f"There are {audit.patients_in_smaller_class} patients in the smaller class.")
        if audit.detection:
            words.append(_describe_limit(audit.detection))
        return " ".join(words)
    best = probes[audit.margin.probe]
    alone, model = Metric(best.auc, best.low, best.high), Metric(audit.model_auc, audit.model.low, audit.model.high)
    found = f"By {best.name} alone the AUC is {alone}, by the model {model}"
    if audit.verdict == "explained":
        return f"{found}; the difference of {difference(audit.margin)} does not show that the score needs the lungs."
    if best.sees_pixels:
        return f"{found}; the model adds {difference(audit.margin)}."
    return f"{found}. The files differ, which a network on pixels may not see, unless it sees their traces."


def difference(margin: Margin) -> str:
    """A difference of AUCs with its interval."""
    return f"{margin.value:+.2f} ({margin.low:+.2f} to {margin.high:+.2f})"


def _describe_limit(limit: DetectionLimit) -> str:
    if limit.share is None:
        return "In data of this size even a marker in every image of one class and in none of the other could be missed."
    return (
        f"In data of this size a marker in {limit.share:.0%} of one class and {1 - limit.share:.0%} of the other would be "
        f"found with a power of {limit.power:.0%}; a weaker shortcut could be missed."
    )
