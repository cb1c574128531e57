"""What every audit has in common, of a model trained here and of one of which only scores are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from covid19.audit.detection import detection_limit
from covid19.audit.inputs import AuditInputs
from covid19.audit.probes import LabelledFolds, Probe, probe_measurement
from covid19.audit.result import AuditResult
from covid19.audit.sources import describe_sources
from covid19.audit.verdict import SIGNIFICANT, assess_shortcuts
from covid19.core.arrays import Float64Array
from covid19.data.dataset import Record
from covid19.data.measurements.border_ring import BORDER_RING
from covid19.data.measurements.registry import MEASUREMENTS
from covid19.data.same_sources import have_both_sides


def measured_probes(inputs: AuditInputs, folds: LabelledFolds) -> list[Probe]:
    """The probes of what was measured of the images."""
    return [
        probe_measurement(own, inputs.measurements, folds, inputs.region == "image" or not own.needs_hidden_lungs)
        for own in MEASUREMENTS
    ]


def assess(
    probes: Sequence[Probe], model: Float64Array, folds: LabelledFolds, records: Sequence[Record], inputs: AuditInputs
) -> AuditResult:
    """Weigh the probes against the model, and say what else is known of the data.

    Args:
        probes: see `verdict.assess_shortcuts`.
        model: the model's scores out of fold, (n,).
        folds: labels, patients and folds.
        records: the images.
        inputs: what the audit looks at.

    Returns:
        The result without `lungs`.
    """
    found = assess_shortcuts(probes, model, folds)
    limit, sources = None, None
    # A marker in the border is not shown to a model of the lungs alone: how small a one would be found says nothing of it.
    if found.verdict in ("none-found", "too-few") and inputs.region == "image":
        tests = sum(probe.p_value is not None for probe in probes)
        rings = [measured[BORDER_RING.name] for measured in inputs.measurements]
        limit = detection_limit(rings, folds, SIGNIFICANT / tests)
    if inputs.features is not None:
        sources = describe_sources(records, inputs.features, model, folds.positive, folds.divisions)
    return replace(
        found,
        sources=sources,
        same_sources=have_both_sides(records, folds.positive),
        detection=limit,
        images_without_lungs=inputs.without_lungs,
    )
