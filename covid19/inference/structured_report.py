"""Answers as DICOM Structured Reports: an answer and the identifiers of its image in, a report for an archive out.

The template is TID 1500, Measurement Report (DICOM PS3.16), with one group of measurements. A report says that it is a
program's and for research: its content qualification is RESEARCH, it is preliminary and unverified, its observer is a device,
its algorithm artificial intelligence, and the notice stands in it. It names the patient as the image does. No class is given as
a finding, the word that an archive's list would show without its probability.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from covid19 import __version__
from covid19.core.console import printable
from covid19.core.errors import InputError
from covid19.inference.about import describe_model
from covid19.inference.answer import Answer, remark

SCHEME = "99COVID19XRAY"  # designator of this program's own codes; DICOM has those of private schemes begin with 99
SERIES_DESCRIPTION = "AI result, for research only, not for diagnosis"
SERIES_NUMBER = 9901  # after those of the acquisition
MAX_MEANING = 64  # characters of a code's meaning
MAX_TEXT = 4000  # characters of one text


def check_packages() -> None:
    """Make sure that reports can be written.

    Raises:
        InputError: the package for it is missing.
    """
    try:
        import highdicom  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            "--dicom-sr needs a package that is missing, highdicom; expected it to be installed: pip install "
            "'covid19-xray[dicom]'"
        ) from error


class StructuredReports:
    """Makes the reports of one run: those on images of one study are one series.

    Args:
        model: path of the model's file.
        content: of that file.
        about: from `Predictor.about`.
    """

    def __init__(self, model: Path, content: bytes, about: Mapping[str, Any]) -> None:
        from pydicom.uid import generate_uid

        self._name, self._digest, self._about = printable(model.name), hashlib.sha256(content).hexdigest(), about
        self._device = generate_uid(entropy_srcs=[self._digest])
        self._series: dict[str, str] = defaultdict(lambda: str(generate_uid(prefix=None)))
        self._instances: Counter[str] = Counter()

    def make(self, answer: Answer, source: Mapping[str, str]) -> Any:
        """A report as a dataset of pydicom's.

        Args:
            answer: for an image.
            source: that image's identifiers, `Identity.values`.
        """
        from highdicom.coding_schemes import CodingSchemeIdentificationItem
        from highdicom.sr import ComprehensiveSR
        from pydicom.uid import generate_uid

        study = source["StudyInstanceUID"]
        self._instances[study] += 1
        return ComprehensiveSR(
            evidence=[_evidence(source)],
            content=self._content(answer, source),
            series_instance_uid=self._series[study],
            series_number=SERIES_NUMBER,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=self._instances[study],
            series_description=SERIES_DESCRIPTION,
            manufacturer="covid19",
            manufacturer_model_name="covid19",
            software_versions=__version__,
            device_serial_number=self._digest,
            content_qualification="RESEARCH",
            coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="covid19's own codes")],
            is_complete=True,
            is_final=False,
            is_verified=False,
        )

    def _content(self, answer: Answer, source: Mapping[str, str]) -> Any:
        from highdicom import sr
        from pydicom.sr.codedict import codes

        device = sr.DeviceObserverIdentifyingAttributes(
            uid=self._device, name="covid19 (AI, research only)", manufacturer_name="covid19", model_name=self._name,
            serial_number=self._digest,
        )  # fmt: skip
        context = sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))
        return sr.MeasurementReport(
            observation_context=context,
            procedure_reported=codes.SCT.PlainRadiography,
            imaging_measurements=[self._group(answer, source)],
        )

    def _group(self, answer: Answer, source: Mapping[str, str]) -> Any:
        """The predicted class or that there is none, the probabilities, the threshold, and in words what to know beside."""
        from highdicom import sr
        from pydicom.sr.codedict import codes
        from pydicom.uid import generate_uid

        predicted = _code(f"CLASS {answer.label}", answer.label) if answer.label else _code("NO LABEL", "No label is given")
        numbers = [
            (_code(f"PROBABILITY {name}", f"Probability of {name}"), value) for name, value in answer.probabilities.items()
        ]
        if self._about["threshold"] is not None:
            numbers.append((_code("THRESHOLD", "Decision threshold"), float(self._about["threshold"])))
        group = sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(generate_uid(prefix=None), "answer of the model"),
            algorithm_id=sr.AlgorithmIdentification(
                name=f"covid19, model {self._name}",
                version=__version__,
                parameters=[f"model SHA-256 {self._digest}", describe_model(dict(self._about))],
                family=codes.cid7162.ArtificialIntelligence,
            ),
            source_images=[sr.SourceImageForMeasurementGroup(source["SOPClassUID"], source["SOPInstanceUID"])],
            qualitative_evaluations=[sr.QualitativeEvaluation(_code("PREDICTED", "Predicted class"), predicted)],
            measurements=[sr.Measurement(name, value, codes.UCUM.NoUnits) for name, value in numbers],
        )
        words = [
            (_code("NOTICE", "Notice"), str(self._about["notice"])),
            (_code("VERDICT", "Shortcut audit of the model"), f"{self._about['status']}: {self._about['verdict']}"),
            (_code("DECISION", "Rule of decision"), str(self._about["decision"])),
            (_code("REMARK", "Remark on the answer"), remark(answer)),
        ]
        group[0].ContentSequence.extend(
            sr.TextContentItem(name, printable(text)[:MAX_TEXT], sr.RelationshipTypeValues.CONTAINS)
            for name, text in words
            if text
        )
        return group


def _evidence(source: Mapping[str, str]) -> Any:
    """The image as highdicom wants it: its identifiers, in a character set that can hold all of them and every class's name."""
    from pydicom import Dataset

    evidence = Dataset()
    evidence.SpecificCharacterSet = "ISO_IR 192"
    for name, value in source.items():
        if value or name != "IssuerOfPatientID":  # this one may be absent, but not empty
            setattr(evidence, name, value)
    return evidence


def _code(value: str, meaning: str) -> Any:
    """One of this program's own codes; the backslash, which parts values, becomes `/`."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value.replace("\\", "/"), SCHEME, meaning.replace("\\", "/")[:MAX_MEANING])
