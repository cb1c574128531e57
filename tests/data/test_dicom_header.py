"""A DICOM header says what a picture is, to training and prediction alike."""

import numpy as np
import pytest
from helpers.corpus import dicom, encoded
from helpers.datasets import read, reasons
from helpers.images import write_noise
from pydicom.dataset import Dataset

from covid19.data.dicom import header_in
from covid19.data.dicom_header import not_a_chest_radiograph, refusal


def with_tags(**tags):
    def change(dataset):
        dataset.PixelData = np.random.default_rng(len(str(tags))).integers(0, 256, 64 * 64, np.uint8).tobytes()
        for name, value in tags.items():
            setattr(dataset, name, value)

    return dicom(change)


def coded(meaning):
    """A sequence of one code."""
    item = Dataset()
    item.CodeMeaning = meaning
    return [item]


CHESTS = (
    {}, {"Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA"},
    {"Modality": "CR", "BodyPartExamined": "PORT CHEST"},
    {"Modality": "OT"}, {"BodyPartExamined": "THORAX"}, {"BodyPartExamined": "CHEST_ABDOMEN"}, {"BodyPartExamined": "Rib"},
)  # fmt: skip
OTHERS = (
    ({"Modality": "MG"}, "a mammogram"), ({"Modality": "us"}, "ultrasound"), ({"BodyPartExamined": "HAND"}, "body part HAND"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2"}, "a mammogram"), ({"BodyPartExamined": "KNIE LI"}, "body part KNIE LI"),
    ({"BodyPartExamined": "LSPINE"}, "body part LSPINE"), ({"Modality": "DX", "BodyPartExamined": "Knee"}, "body part Knee"),
)  # fmt: skip


@pytest.mark.parametrize("tags", CHESTS)
def test_a_chest_is_no_reason_to_refuse(tags):
    assert not refusal(header_in(with_tags(**tags)), "PA")


@pytest.mark.parametrize(("tags", "reason"), OTHERS)
def test_another_picture_is_refused_by_its_header(tags, reason):
    assert reason in not_a_chest_radiograph(header_in(with_tags(**tags)))
    assert reason in refusal(header_in(with_tags(**tags)), "any")


@pytest.mark.parametrize(
    ("tags", "for_pa", "for_any"),
    [
        ({"ViewPosition": "LL"}, "projection lateral", "projection lateral"),
        ({"ViewPosition": "AP"}, "projection AP", ""),
        ({"ViewPosition": "PROFIL"}, "projection lateral", "projection lateral"),
        ({"ViewCodeSequence": coded("left lateral")}, "projection lateral", "projection lateral"),
        ({"ViewCodeSequence": coded("antero-posterior")}, "projection AP", ""),
        ({"ViewCodeSequence": coded("postero-anterior")}, "", ""),
        ({"ViewCodeSequence": []}, "", ""),
        ({"Modality": "CT"}, "projection CT", "projection CT"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "projection CT", "projection CT"),
        ({"ViewPosition": "PA"}, "", ""),
    ],
)
def test_a_projection_is_refused_that_the_training_left_out(tags, for_pa, for_any):
    header = header_in(with_tags(**tags))
    assert [bool(refusal(header, wanted)) for wanted in ("PA", "any")] == [bool(for_pa), bool(for_any)]
    assert for_pa in refusal(header, "PA")


def test_a_file_of_another_kind_has_no_header():
    assert header_in(encoded("PNG")) == {}
    assert not refusal({}, "PA")


def test_training_leaves_out_what_the_header_says_is_no_chest(tmp_path):
    write_noise(tmp_path, {"covid": 2, "normal": 2})
    for number, (tags, _) in enumerate(OTHERS):
        (tmp_path / "covid" / f"{number}.dcm").write_bytes(with_tags(**tags))
    found = reasons(read(tmp_path))
    assert [words in found[f"covid/{number}.dcm"] for number, (_, words) in enumerate(OTHERS)] == [True] * len(OTHERS)
