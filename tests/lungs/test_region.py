"""`--region lungs`: a model that is shown the lungs alone, from training to prediction."""

import json

import cv2
import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from helpers.datasets import read_records
from helpers.images import write_image
from helpers.runs import settings_in, train

from covid19.cli.main import main
from covid19.data.appearance import appearance
from covid19.data.images import read_picture
from covid19.inference.predictor import Predictor
from covid19.inference.reading import input_image
from covid19.lungs.finder import LungFinder
from covid19.lungs.masks import bounding_box, grown
from covid19.lungs.occlusion import Hides, hidden_part
from covid19.model.file import read_model


@pytest.fixture(scope="module")
def cropped(tmp_path_factory, phantoms):
    """A run on the phantoms that shows its model the lungs alone."""
    folder = tmp_path_factory.mktemp("cropped")
    settings = settings_in(folder, phantoms, region="lungs", cache=True, cache_dir=folder / "cache")
    return settings, train(settings)


def test_the_audit_of_cropped_pictures_asks_what_is_left_without_the_lungs(cropped):
    settings, report = cropped
    probes = {probe["name"]: probe for probe in report["audit"]["probes"]}
    assert "lungs hidden" not in probes
    assert probes["outline of the lungs"]["p_value"] is not None
    # The model is not shown the border, so the verdict does not depend on it.
    assert (probes["border ring"]["p_value"], probes["border ring"]["sees_pixels"]) == (None, False)
    assert report["audit"]["detection"] is None
    assert "outline of the lungs" in settings.output.page.read_text()


def test_what_lies_outside_the_lungs_does_not_change_the_answer(cropped, phantoms, monkeypatch):
    predictor = Predictor(cropped[0].output.model)
    assert predictor.info.region == "lungs"
    pixels = read_picture(read_records(phantoms)[0].path).pixels
    found = LungFinder().find([pixels])
    monkeypatch.setattr(LungFinder, "find", lambda *_: found)  # the same outline, whatever else is painted
    white = np.where(hidden_part(Hides.LUNGS, found[0].mask)[..., None], pixels, np.uint8(255))
    plain, painted = (predictor.ask(["a"], [input_image(own, b"")])[0].answer for own in (pixels, white))
    assert plain.label
    assert plain.probabilities == pytest.approx(painted.probabilities, abs=1e-5)


@pytest.mark.parametrize("region", ["lungs", "image"])
def test_the_appearance_is_that_of_what_the_model_is_shown_in_training_as_in_prediction(cropped, run, phantoms, region):
    model = cropped[0].output.model if region == "lungs" else run.model
    predictor, kept = Predictor(model), read_model(model).novelty_detector.arrays()["appearance"]
    trained = [record for record in read_records(phantoms) if record.digest in predictor.info.trained_on]
    pictures = [read_picture(record.path).pixels for record in trained]
    predictions = predictor.ask([""] * len(pictures), [input_image(own, b"") for own in pictures])
    looks = np.array([one.features[512:] for one in predictions])
    assert len(kept) == len(trained)
    assert all(np.abs(kept - own).max(axis=1).min() < 1e-3 for own in looks)
    assert np.allclose(looks, [appearance(own) for own in pictures], atol=1e-3) is (region == "image")


def test_heat_maps_lie_where_the_lungs_are_and_say_how_much_on_them(cropped, phantoms):
    predictor = Predictor(cropped[0].output.model)
    pixels = np.stack([read_picture(record.path).pixels for record in read_records(phantoms)[:3]])
    predictions = predictor.ask(["a", "b", "c"], [input_image(own, b"") for own in pixels])
    for (answer, own, _), found in zip(predictions, LungFinder().find(list(pixels)), strict=True):
        assert own.shape == (224, 224)
        left, top, width, height = bounding_box(grown(hidden_part(Hides.LUNGS, found.mask), 4))
        outside = np.ones((224, 224), bool)
        outside[top : top + height, left : left + width] = False
        assert own[outside].max(initial=0) == 0 < own.max()
        assert 0 <= answer.heat_on_lungs <= 1


def test_a_picture_without_lungs_gets_no_label(cropped, tmp_path, capsys):
    write_image(tmp_path / "noise.png", np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    assert main(["predict", str(tmp_path), "-m", str(cropped[0].output.model), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer["label"] == ""
    assert answer["problem"].startswith("not like a frontal chest X-ray: ")


def test_evaluate_crops_as_the_model_was_trained(cropped, tmp_path, capsys):
    from covid19.data.build.phantoms import write_sample

    write_sample(tmp_path / "other", 6, 96, 9)
    words = ["evaluate", "-m", cropped[0].output.model, "-d", tmp_path / "other", "-r", tmp_path / "e.json", "--no-cache"]
    assert main([str(word) for word in words]) == 0
    plain = json.loads((tmp_path / "e.json").read_text())
    assert {probe["name"] for probe in plain["audit"]["probes"]} > {"outline of the lungs"}
    assert main([str(word) for word in [*words, "--region", "image"]]) == 0
    whole = json.loads((tmp_path / "e.json").read_text())
    assert {probe["name"] for probe in whole["audit"]["probes"]} > {"lungs hidden"}
    assert whole["predictions"] != plain["predictions"]


def test_drawn_masks_decide_what_is_shown(phantoms, tmp_path):
    for record in read_records(phantoms):
        mask = np.zeros((record.stats.height, record.stats.width), np.uint8)
        cv2.circle(mask, (record.stats.width // 2, record.stats.height // 2), record.stats.width // 5, 255, cv2.FILLED)
        write_image(tmp_path / "masks" / f"{record.path.stem}_mask.png", mask)
    settings = settings_in(tmp_path, phantoms, region="lungs", lung_masks=tmp_path / "masks", plot=None)
    report = train(settings)
    assert report["audit"]["images_without_lungs"] == 0
    probes = {probe["name"]: probe for probe in report["audit"]["probes"]}
    assert probes["outline of the lungs"]["p_value"] > 0.05  # all masks are alike
