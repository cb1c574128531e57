"""The shortcut audit of a run: what its probes see, and what it reports."""

import json
from pathlib import Path

import cv2
import helpers.keras_start  # noqa: F401
import msgspec
import numpy as np
import pytest
from helpers.compare import assert_close
from helpers.datasets import read
from helpers.images import write_image
from helpers.runs import settings_in, train
from PIL import Image

from covid19.audit import inputs
from covid19.audit.result import AuditResult
from covid19.audit.sources import describe_sources
from covid19.cli.main import main
from covid19.core.executor.local import LocalExecutor
from covid19.core.settings import LungSettings
from covid19.data.build.phantoms import write_sample
from covid19.data.images import Picture, read_picture
from covid19.data.lungs import box_mask
from covid19.data.measurements.border_ring import border_ring
from covid19.data.measurements.brightness import brightness
from covid19.data.measurements.file_properties import file_properties
from covid19.data.measurements.measurement import cells_from_text
from covid19.data.measurements.registry import MEASUREMENTS
from covid19.data.measurements.thumbnail import thumbnail
from covid19.data.scan_cache import ScanCache
from covid19.evaluation.folds import make_folds
from covid19.lungs.measured import measurements_of
from covid19.lungs.scan import LungCache, find_lungs


def test_the_border_and_the_box_divide_the_picture():
    pixels = np.full((224, 224, 3), 200, np.uint8)
    pixels[23:201, 23:201] = 7  # within the outer tenth on each side
    picture = Picture(pixels, 224, 224)
    ring = cells_from_text(border_ring(Path(), picture))
    assert set(ring.tolist()) == {200}
    assert len(ring) == 144 * 3
    assert len(cells_from_text(thumbnail(Path(), picture))) == 256
    mask = box_mask((0.25, 0.5, 0.75, 1.0))
    assert mask.sum() == 112 * 112
    assert mask[112:, 56:168].all()


def test_brightness_is_worked_out_by_hand():
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:112] = (60, 30, 30)
    mean, spread, tint = brightness(Path(), Picture(pixels, 1, 1))
    # Half of the pixels are 0, of the others a third of the channels 60 and the rest 30: mean 20, variance 900 - 400.
    assert (mean, spread, tint) == pytest.approx((20, 500**0.5, 15))


def test_file_properties_say_what_the_file_is(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (120, 100), np.uint8)
    path = tmp_path / "a.jpg"
    tags = Image.Exif()
    tags[271], tags[305] = "Maker", "Soft 1"
    Image.fromarray(grey).save(path, quality=50, exif=tags, dpi=(300, 300))
    picture = np.full((224, 224, 3), 10, np.uint8)
    stated = file_properties(path, Picture(picture, 100, 120))
    assert stated["device"] == "Maker Soft 1"
    assert (stated["format"], stated["channels"], stated["bits"], stated["tags"], stated["density"]) == ("JPEG", 1, 8, 2, 300)
    assert stated["aspect"] == pytest.approx(100 / 120)
    assert stated["bytes"] == path.stat().st_size
    better = tmp_path / "b.jpg"
    Image.fromarray(grey).save(better, quality=95)
    assert file_properties(better, Picture(picture, 100, 120))["quantisation"] < stated["quantisation"] / 4


def test_probes_of_a_whole_data_set_have_a_row_for_each_image(phantoms):
    scans, executor = ScanCache(None, 10**9), LocalExecutor()
    records = read(phantoms, scans).records
    with LungCache(None, 10**9) as cache:
        lungs = find_lungs(records, LungSettings(), cache, executor, read_picture)
    measured = measurements_of(records, lungs, scans, executor, read_picture)
    with ScanCache(None, 10**9) as begun_anew:  # knows nothing, so the files are read again
        again = measurements_of(records, lungs, begun_anew, executor, read_picture)
    for measurement in MEASUREMENTS:
        rows, others = (measurement.as_numbers([own[measurement.name] for own in both]) for both in (measured, again))
        np.testing.assert_allclose(others, rows, rtol=1e-6, atol=1e-9)
        assert len(rows) == 12
        assert np.isfinite(rows).all()


def test_of_many_images_some_are_audited_and_the_report_says_how_many(run, tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "MAX_AUDIT_IMAGES", 8)
    report = train(run.settings_again(tmp_path, audit="full"))
    assert (report["audit"]["images"], report["dataset"]["images"], run.report["audit"]["images"]) == (8, 12, 12)
    assert {probe["name"] for probe in report["audit"]["probes"]} > {"file properties", "border ring", "lungs hidden"}
    assert_close(report["cross_validation"], run.report["cross_validation"])
    assert "The audit looked at 8 of the 12 images" in (tmp_path / "metrics.html").read_text()


def test_a_source_is_recognised_and_left_out(tmp_path):
    rows = ["filename,patientid,source"]
    generator = np.random.default_rng(0)
    for label in ("covid", "normal"):
        for index in range(12):
            name = f"{label}{index}.png"
            write_image(tmp_path / label / name, generator.integers(0, 256, (24, 24), np.uint8))
            rows.append(f"{name},{label}{index},{'one' if index < 6 else 'other'}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    dataset = read(tmp_path)
    positive = np.array([record.label == "covid" for record in dataset.records])
    source = np.array([record.entry.source for record in dataset.records])
    features = np.random.default_rng(1).normal(size=(24, 512)).astype(np.float32)
    features[:, 300:] += 3 * (source == "one")[:, None]
    features[:, 1:200] += 3 * positive[:, None]
    divisions = make_folds(positive.astype(int).tolist(), list(range(24)), 4, 2, 0)
    model = positive + generator.normal(0, 0.4, 24)
    found = describe_sources(dataset.records, features, model, positive, divisions)
    assert [(one.source, one.images, one.positive) for one in found.sources] == [("one", 12, 6), ("other", 12, 6)]
    assert all(one.auc == 1 and one.rest.low < one.rest.high and not one.fails for one in found.sources)
    assert found.recognised > found.by_chance == 0.5
    # What tells the class in one source tells the opposite in the other.
    features[:, 1:200] = 3 * (positive ^ (source == "one"))[:, None]
    reversed_source = describe_sources(dataset.records, features, positive * 1.0, positive, divisions)
    assert all(one.auc == 0 and one.fails for one in reversed_source.sources)


def planted(folder):
    """Phantoms whose covid class has a bright edge."""
    write_sample(folder, 12, 96, 3)
    for path in (folder / "covid").glob("*.png"):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        image[:, :5] = 255
        cv2.imwrite(str(path), image)
    return folder


def test_a_planted_shortcut_is_found_said_and_flagged(tmp_path, capsys, run):
    data = planted(tmp_path / "data")
    given = ["-d", data, "-m", tmp_path / "a.model", "-p", tmp_path / "a.png", "-r", tmp_path / "a.json"]
    short = ["--weights", "random", "--epochs", 3, "--repeats", 2, "--augmentations", 0, "--cache-dir", tmp_path / "cache"]
    assert main([str(word) for word in ("train", *given, *short, "--fail-on", "present")]) == 3
    lines = capsys.readouterr().out.splitlines()
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["audit"]["verdict"] in ("explained", "present")
    words = {"explained": "SHORTCUT", "present": "PARTLY"}[report["audit"]["verdict"]]
    status = next(number for number, line in enumerate(lines) if line.startswith(f"{words}: "))
    assert not any("AUC" in line or "acc" in line.split() for line in lines[:status])  # no number without the status
    assert lines[status + 1].startswith("covid against the rest, cross-validated by patient: AUC ")
    probes = {probe["name"]: probe for probe in report["audit"]["probes"]}
    assert probes["border ring"]["p_value"] < 0.05
    assert main([str(word) for word in ("train", *given, *short, "--no-audit", "--fail-on", "present")]) == 0
    assert json.loads((tmp_path / "a.json").read_text())["audit"] is None
    assert run.report["audit"]["verdict"] == "too-few"


def test_the_full_audit_hides_the_lungs_and_says_where_the_model_looks(tmp_path, run):
    settings = run.settings_again(tmp_path, model=None, plot=None, audit="full")
    audit = train(settings)["audit"]
    assert [probe["name"] for probe in audit["probes"]] == [
        "file properties",
        "border ring",
        "brightness and tint",
        "thumbnail",
        "lungs hidden",
        "lungs and mediastinum hidden",
        "lungs alone",
    ]
    assert [probe["name"] for probe in run.report["audit"]["probes"]][-1] == "lungs hidden"  # of a default run
    assert [margin["probe"] for margin in audit["margins"]] == [probe["name"] for probe in audit["probes"]]
    assert audit["detection"]["share"] is None or 0.5 < audit["detection"]["share"] <= 1
    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(audit, AuditResult))) == audit
    assert audit["images_without_lungs"] == 0
    assert 0.2 < audit["lungs"]["area"] < 0.4
    assert set(audit["lungs"]["by_class"]) == {"covid", "normal"}
    images = audit["lungs"]["images"]
    assert len(images) == 2
    assert all(image["fraction"] == audit["lungs"]["by_class"][image["label"]] for image in images)
    assert all(0 <= image["fraction"] <= 1 for image in images)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.html", "metrics.json"]
    assert "Where it looks" in settings.output.page.read_text()


def test_trained_weights_stand_beside_an_untrained_base(tmp_path, phantoms, official):
    settings = settings_in(tmp_path, phantoms, model=None, plot=None, audit="full", weights=str(official))
    audit = train(settings)["audit"]
    assert [probe["name"] for probe in audit["probes"]][-1] == "untrained base"
    assert set(audit["lungs"]["untrained"]) == {"covid", "normal"}
    assert "a head on an untrained base" in settings.output.page.read_text()


def test_a_folder_without_masks_is_refused_before_anything_is_read(capsys):
    assert main(["audit", "-d", "nowhere", "--lung-masks", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: --lung-masks 'nowhere' holds no masks")


@pytest.mark.parametrize("box", ["0.1,0.1,0.9", "0.9,0.1,0.1,0.9", "a,b,c,d", "0,0,1,1.1"])
def test_a_bad_lung_box_is_refused_in_one_line(capsys, box):
    with pytest.raises(SystemExit) as stop:
        main(["audit", "-d", "x", "--lung-box", box])
    assert stop.value.code == 2
    assert f"received '{box}', expected left,top,right,bottom" in capsys.readouterr().err
