"""Patients, views, duplicates, DICOM: which images a run takes and which stay together."""

import resource
import shutil
from functools import partial

import cv2
import numpy as np
import pydicom
import pytest
from helpers.datasets import read, read_records, reasons
from helpers.images import write_image
from helpers.paths import SHARED
from helpers.runs import settings_in, train
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels.decoders import JPEG2000LosslessDecoder
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid

from covid19.core.errors import InputError
from covid19.core.executor.local import LocalExecutor
from covid19.data.build.phantoms import draw_phantom
from covid19.data.duplicates import near_groups, perceptual_hash
from covid19.data.gathering import gather
from covid19.data.images import read_picture
from covid19.data.patients import find_patient
from covid19.data.reader import Filter, survey, warn_of_skipped
from covid19.data.scan import identify
from covid19.data.scan_cache import ScanCache


def phantom(seed, size=256):
    return draw_phantom(np.random.default_rng(seed), np.random.default_rng(seed), size, sick=False)


def data_of(root, **classes):
    """A data set of phantoms: class name to seeds."""
    for label, seeds in classes.items():
        for seed in seeds:
            write_image(root / label / f"{label}{seed}.png", phantom(seed))
    return root


def write_dicom(path, values, photometric="MONOCHROME2", **tags):
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    if values is not None:
        dataset.Rows, dataset.Columns = values.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
        dataset.BitsAllocated = dataset.BitsStored = 8 * values.itemsize
        dataset.HighBit, dataset.PixelRepresentation = 8 * values.itemsize - 1, 0
        dataset.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


RAMP = np.tile(np.arange(224, dtype=np.uint16) * 17 + 900, (224, 1))  # 900 to 4691


@pytest.mark.parametrize(
    ("file", "metadata", "header", "patient"),
    [
        ("covid/a.png", "12", "H1", ("metadata:12", "metadata")),
        ("covid/a.png", "0", "", ("metadata:0", "metadata")),
        ("covid/a.dcm", "", "H1", ("dicom:H1", "dicom")),
        ("covid/a.dcm", "", "Anonymous", ("image:covid/a.dcm", "none")),
        ("normal/person1102_bacteria_3043.jpeg", "", "", ("name:bacteria person 1102", "name")),
        ("normal/person1102_virus_1.jpeg", "", "", ("name:virus person 1102", "name")),
        ("normal/NORMAL2-IM-0315-0001.jpeg", "", "", ("name:IM-0315", "name")),
        ("normal/IM-0033-0001-0001.jpeg", "", "", ("name:IM-0033", "name")),
        ("normal/personal.jpeg", "", "", ("image:normal/personal.jpeg", "none")),
    ],
)
def test_who_is_on_an_image(file, metadata, header, patient):
    assert find_patient(file, metadata, header, label=file.partition("/")[0]) == patient


@pytest.fixture
def quick():
    """Settings of a run of which only the data set and its split are of interest."""
    return {"epochs": 1, "augmentations": 0, "folds": 0, "audit": "none", "model": None, "plot": None}


def test_images_of_one_patient_stay_together_and_the_report_says_by_what(tmp_path, quick):
    root = data_of(tmp_path / "data", covid=range(6), normal=range(10, 16))
    rows = "".join(f"covid{seed}.png,{seed // 3},PA\n" for seed in range(6))
    (root / "metadata.csv").write_text(f"filename,patientid,view\n{rows}gone.png,9,PA\n")
    report = train(settings_in(tmp_path, root, test_size=0.4, **quick))
    assert report["dataset"]["patients"] == 8
    assert report["dataset"]["patients_by_rule"] == {"metadata": 6, "none": 6}
    assert report["dataset"]["metadata"]["matched"] == 6
    assert report["dataset"]["metadata"]["without_file"] == 1
    split = report["split"]
    assert split["grouped_by"] == ["patient", "duplicates"]
    assert split["patients"] == {"train": 5, "test": 3, "both": 0}  # one of 2 covid patients, 2 of 6 others
    assert {name for name in split["test"] if "covid" in name} in (
        {f"covid/covid{i}.png" for i in r} for r in ((0, 1, 2), (3, 4, 5))
    )


def test_no_groups_splits_by_image_and_says_what_that_costs(tmp_path, capsys, quick):
    root = data_of(tmp_path / "data", covid=range(6), normal=range(10, 16))
    write_image(root / "covid" / "covid5.png", phantom(0, 250))  # of two patients, but the same picture
    rows = "".join(f"covid{seed}.png,{1 + (seed == 5)}\n" for seed in range(6))
    (root / "metadata.csv").write_text(f"filename,patientid\n{rows}")
    with pytest.raises(InputError, match=r"class 'covid' are of one group; expected at least two.*--no-groups"):
        train(settings_in(tmp_path, root))
    report = train(settings_in(tmp_path, root, groups=False, **quick))
    assert "--no-groups: 1 of 2 test images share a patient or a duplicate" in capsys.readouterr().err
    assert report["split"]["patients"]["both"] == 1
    assert report["split"]["grouped_by"] == []


def test_only_pa_views_are_taken_unless_asked_and_unknown_ones_are_kept_and_counted(tmp_path):
    root = data_of(tmp_path / "data", covid=range(5), normal=range(10, 13))
    rows = zip(range(5), ("PA", "AP Supine", "L", "", "pa"), strict=True)
    (root / "metadata.csv").write_text("filename,view\n" + "".join(f"covid{seed}.png,{view}\n" for seed, view in rows))
    dataset = read(root)
    assert reasons(dataset) == {
        "covid/covid1.png": "projection AP supine, not PA",
        "covid/covid2.png": "projection lateral, not PA",
    }
    assert dataset.as_json()["projections"] == {"PA": 2, "unknown": 4}
    assert len(read(root, projection="any").records) == 8


def test_duplicates_share_a_group_also_resaved_or_rescaled(tmp_path):
    root = data_of(tmp_path / "data", covid=range(4), normal=range(10, 13))
    shutil.copyfile(root / "covid" / "covid0.png", root / "covid" / "copy.png")
    cv2.imwrite(str(root / "covid" / "resaved.jpg"), phantom(1), [cv2.IMWRITE_JPEG_QUALITY, 50])
    write_image(root / "covid" / "smaller.png", cv2.resize(phantom(2), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))
    dataset = read(root)
    group = {record.name.split("/")[1].split(".")[0]: record.group for record in dataset.records}
    assert group["copy"] == group["covid0"]
    assert group["resaved"] == group["covid1"]
    assert group["smaller"] == group["covid2"]
    assert len(set(group.values())) == 7
    assert dataset.duplicates() == {"exact": 2, "near": 4, "conflicting": 0}


def test_a_duplicate_joins_the_groups_of_two_patients(tmp_path):
    root = data_of(tmp_path / "data", covid=range(4), normal=range(10, 13))
    shutil.copyfile(root / "covid" / "covid0.png", root / "covid" / "other.png")
    (root / "metadata.csv").write_text("filename,patientid\ncovid0.png,1\ncovid1.png,1\nother.png,2\ncovid2.png,2\n")
    group = {record.name: record.group for record in read(root).records}
    assert len({group[f"covid/{name}.png"] for name in ("covid0", "covid1", "covid2", "other")}) == 1
    assert group["covid/covid3.png"] != group["covid/covid0.png"]


@pytest.mark.parametrize("resaved", [False, True])
def test_the_same_image_under_two_classes_is_an_error_that_names_both_or_drops_both(tmp_path, resaved):
    root = data_of(tmp_path / "data", covid=range(4), normal=range(10, 13))
    if resaved:
        cv2.imwrite(str(root / "normal" / "again.jpg"), phantom(0), [cv2.IMWRITE_JPEG_QUALITY, 60])
    else:
        shutil.copyfile(root / "covid" / "covid0.png", root / "normal" / "again.jpg")
    with pytest.raises(InputError, match=r"'covid/covid0.png' and 'normal/again.jpg' are the same image under two classes"):
        read(root)
    dataset = read(root, allow_conflicts=True)
    assert dataset.counts() == {"covid": 3, "normal": 3}
    assert reasons(dataset).keys() == {"covid/covid0.png", "normal/again.jpg"}
    assert dataset.duplicates()["conflicting"] == 2


def test_different_phantoms_are_no_duplicates():
    hashes = [perceptual_hash(np.repeat(cv2.resize(phantom(seed, 96), (224, 224))[..., None], 3, axis=2)) for seed in range(60)]
    assert len(set(near_groups(hashes).tolist())) == 60


def test_near_groups_link_hashes_within_twelve_bits_and_no_others():
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2, (40, 256), np.uint8)
    for target, flips in ((20, 12), (21, 13), (22, 0)):
        bits[target] = bits[target - 20]
        bits[target, generator.choice(256, flips, replace=False)] ^= 1
    groups = near_groups([row.tobytes().hex() for row in np.packbits(bits, axis=1)])
    assert groups[20] == groups[0]
    assert groups[21] != groups[1]
    assert groups[22] == groups[2]
    assert len(set(groups.tolist())) == 38
    assert near_groups([]).shape == (0,)


def test_a_hundred_thousand_hashes_are_grouped_in_little_memory():
    generator = np.random.default_rng(0)
    bits = generator.random((100_000, 256)) < generator.beta(1, 1, 256)  # uneven, as bits of alike pictures are
    bits[50_000:51_000] = bits[:1000]
    groups = near_groups([row.tobytes().hex() for row in np.packbits(bits, axis=1)])
    assert np.array_equal(groups[50_000:51_000], groups[:1000])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 6 * 2**20  # kB; TensorFlow and other tests included


def hex_of(bits):
    return [row.tobytes().hex() for row in np.packbits(bits, axis=1)]


def test_thirty_thousand_hashes_that_are_all_near_are_one_group_without_all_their_pairs():
    # Of every two, at most 12 bits differ: there are 450 million near pairs, which would take 7 GB for each band.
    bits = np.zeros((30_000, 256), np.uint8)
    bits[:, :12] = np.random.default_rng(0).integers(0, 2, (30_000, 12))
    bits[0, 12:24] = 1  # and one that is near those alone which have none of the first twelve
    groups = near_groups(hex_of(bits))
    assert len(set(groups.tolist())) == 1


def test_hashes_that_share_a_band_are_compared_with_a_bounded_number(monkeypatch):
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2, (3000, 256), np.uint8)
    bits[:, np.random.default_rng(0).permutation(256)[:20]] = 0  # the first band, of the shuffled bits
    bits[2900:] = bits[:100]
    bits[2900:, 200] ^= 1
    compared = []
    count = np.bitwise_count
    monkeypatch.setattr(np, "bitwise_count", lambda words: compared.append(len(words)) or count(words))
    monkeypatch.setattr("covid19.data.duplicates.MAX_NEIGHBOURS", 50)
    groups = near_groups(hex_of(bits))
    assert np.array_equal(groups[2900:], groups[:100])
    assert len(set(groups.tolist())) == 2900
    assert sum(compared) < 2 * 3000 * 50  # of 4.5 million pairs that share the band


def blank_data(root, values, side=40):
    """Two classes of pictures of one shade each."""
    for label, shades in zip(("a", "b"), values, strict=True):
        for number, shade in enumerate(shades):
            write_image(root / label / f"{number:03d}.png", np.full((side, side), shade, np.uint8))
    return root


def test_blank_pictures_of_different_shades_are_no_duplicates_and_equal_files_are_one_conflict(tmp_path):
    dataset = read(blank_data(tmp_path / "different", (range(30), range(30, 60))))
    assert len({record.group for record in dataset.records}) == 60
    assert dataset.duplicates() == {"exact": 0, "near": 0, "conflicting": 0}
    dataset = read(blank_data(tmp_path / "equal", ([7] * 30 + [1, 2], [7] * 30 + [3, 4])), allow_conflicts=True)
    assert [len(names) for names in dataset.conflicts] == [60]
    assert dataset.counts() == {"a": 2, "b": 2}


def test_many_pictures_that_are_one_are_decoded_once_each_to_find_that_out(tmp_path):
    root = tmp_path / "data"
    for number in range(12):
        for label in ("a", "b"):
            (root / label).mkdir(parents=True, exist_ok=True)
            quality = [cv2.IMWRITE_JPEG_QUALITY, 60 + 2 * number + (label == "b")]
            cv2.imwrite(str(root / label / f"{number:02d}.jpg"), phantom(0), quality)
    decoded = []

    def counting(task, path):
        if task is not identify:
            decoded.append(path)
        return task(path)

    dataset = survey(
        gather(root), Filter(), ScanCache(None, 10**9), LocalExecutor(counting), partial(read_picture, run=counting)
    )
    assert [len(names) for names in dataset.conflicts] == [24]
    assert len(decoded) == 2 * 24  # once for its stats, once to be compared
    with pytest.raises(InputError, match=r"'a/00.jpg', 'b/00.jpg' and 22 more files are the same image under two classes \(1 "):
        read(root)


def test_a_file_that_vanishes_before_it_can_be_compared_is_left_out_with_its_reason(tmp_path):
    root = data_of(tmp_path / "data", covid=range(4), normal=range(10, 13))
    cv2.imwrite(str(root / "normal" / "again.jpg"), phantom(0), [cv2.IMWRITE_JPEG_QUALITY, 60])
    seen = []

    def once(task, path):
        if task is not identify:
            seen.append(path)
            if path.name == "again.jpg" and seen.count(path) > 1:
                raise FileNotFoundError(2, "No such file or directory")
        return task(path)

    dataset = read(root, run=once)
    assert reasons(dataset) == {"normal/again.jpg": "cannot be opened: No such file or directory"}
    assert dataset.counts() == {"covid": 4, "normal": 3}


def test_of_many_files_left_out_a_few_of_each_kind_are_named(tmp_path, capsys):
    root = data_of(tmp_path / "data", covid=range(3), normal=range(10, 13))
    for number in range(25):
        (root / "covid" / f"bad{number:02d}.png").touch()
    (root / "stray.png").touch()
    warn_of_skipped(read(root))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: skipped 'stray.png': not in a class folder"
    assert lines[1] == "warning: skipped 'covid/bad00.png': the file is empty"
    assert lines[-1] == "warning: ... and 5 more (25 in all)"
    assert len(lines) == 22


def test_a_16_bit_dicom_ramp_keeps_its_contrast_and_monochrome1_is_its_negative(tmp_path):
    plain = read_picture(write_dicom(tmp_path / "a.dcm", RAMP)).pixels
    assert np.array_equal(plain[0, :, 0], np.rint((RAMP[0] - 900.0) * 255 / 3791))
    inverted = read_picture(write_dicom(tmp_path / "b.dcm", RAMP, "MONOCHROME1")).pixels
    assert np.array_equal(inverted, 255 - plain)


def test_the_modality_transformation_and_the_window_are_applied(tmp_path):
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 4600, "WindowWidth": 3000}
    pixels = read_picture(write_dicom(tmp_path / "a.dcm", RAMP, **tags)).pixels[0, :, 0]
    # DICOM PS3.3 C.11.2.1.2: y = (x - (c - 0.5)) / (w - 1) + 0.5 on x = 2 v - 1000, 800 to 8382; the window clips both ends
    linear = ((2.0 * RAMP[0] - 1000) - 4599.5) / 2999 + 0.5
    np.testing.assert_allclose(pixels, np.rint(255 * linear.clip(0, 1)), atol=1)
    assert (pixels[0], pixels[-1]) == (0, 255)


def test_patient_and_view_come_from_the_header_and_names_need_no_extension(tmp_path):
    root = data_of(tmp_path / "data", normal=range(10, 13))
    for name, value, tags in (
        ("a.dcm", 1, {"PatientID": "P1", "ViewPosition": "PA"}),
        ("b", 2, {"PatientID": "P1", "ViewPosition": "PA"}),
        ("c.dcm", 3, {"PatientID": "P2", "ViewPosition": "AP"}),
        ("d", 4, {"PatientID": "P3", "Modality": "CT"}),
        ("e.DCM", 5, {"PatientID": "P4"}),
    ):
        write_dicom(root / "covid" / name, cv2.resize(phantom(value), (224, 224)).astype(np.uint16) * 16, **tags)
    (root / "covid" / "README").write_text("no image")
    dataset = read(root)
    patients = {
        record.name: (record.patient, record.rule, record.projection) for record in dataset.records if record.label == "covid"
    }
    assert patients == {
        "covid/a.dcm": ("dicom:P1", "dicom", "PA"),
        "covid/b": ("dicom:P1", "dicom", "PA"),
        "covid/e.DCM": ("dicom:P4", "dicom", ""),
    }
    assert reasons(dataset) == {
        "covid": "1 file that is no picture (no extension 1)",
        "covid/c.dcm": "projection AP, not PA",
        "covid/d": "projection CT, not PA",
    }


@pytest.mark.parametrize(
    ("values", "tags", "reason"),
    [
        (None, {}, "has no pixels, expected one frame"),
        (RAMP, {"NumberOfFrames": 2}, "has 2 frames, expected one frame"),
        (RAMP, {"PixelData": b"\0" * 100}, "pydicom cannot decode it"),
    ],
)
def test_a_dicom_file_that_is_no_single_picture_is_refused_with_the_reason(tmp_path, values, tags, reason):
    with pytest.raises(ValueError, match=reason):
        read_picture(write_dicom(tmp_path / "a.dcm", values, **tags))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_dicom_reads_like_plain_dicom(tmp_path, syntax):
    plain = write_dicom(tmp_path / "a.dcm", RAMP)
    dataset = pydicom.dcmread(plain)
    dataset.compress(syntax)
    dataset.save_as(tmp_path / "b.dcm")
    assert np.array_equal(read_picture(tmp_path / "b.dcm").pixels, read_picture(plain).pixels)


def test_compressed_dicom_without_its_decoder_names_the_extra(tmp_path, monkeypatch):
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", RAMP))
    dataset.compress(JPEG2000Lossless)
    dataset.save_as(tmp_path / "b.dcm")
    for plugin in list(JPEG2000LosslessDecoder.available_plugins):
        monkeypatch.delitem(JPEG2000LosslessDecoder._available, plugin)
    with pytest.raises(ValueError, match=r"compressed \(JPEG 2000.*\): pip install 'covid19-xray\[dicom\]'"):
        read_picture(tmp_path / "b.dcm")


@pytest.mark.skipif(not (SHARED / "dicom").is_dir(), reason="the real radiograph is not here")
def test_the_real_radiograph_reads_to_the_same_picture_once_inverted_back():
    first, second = (read_picture(SHARED / "dicom" / name).pixels for name in ("rsna.dcm", "monochrome1.dcm"))
    assert np.array_equal(first, 255 - second)
    assert first.std() > 20


@pytest.mark.skipif(not (SHARED / "ieee8023").is_dir(), reason="the real collection is not here")
def test_records_of_real_images_know_patient_and_size(phantoms):
    records = read_records(SHARED / "seed50")
    assert len(records) == 50
    assert sum(record.rule == "name" for record in records) == 25
    assert min(record.stats.width for record in records) > 224
