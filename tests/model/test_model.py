"""Base, head, and the file that holds both."""

import json
import zipfile

import h5py
import helpers.keras_start  # noqa: F401
import keras
import numpy as np
import pytest
from helpers.datasets import read_records

import covid19
from covid19.core.errors import InputError
from covid19.core.executor.local import LocalExecutor
from covid19.data.images import read_picture
from covid19.features.augmentation import View
from covid19.features.backbone.network import build_base
from covid19.features.backbone.weights import Weights, get_weights
from covid19.features.batches import load_batches
from covid19.features.cache import FeatureCache
from covid19.features.extraction import Extractor
from covid19.model.file import read_model
from covid19.model.head import head_model, heads_of, new_heads
from covid19.model.info import BaseInfo
from covid19.model.load import load_head
from covid19.model.novelty import NoveltyDetector
from covid19.model.save import assemble, check_assembled, save_model

FEATURES = np.random.default_rng(2).normal(size=(8, 512)).astype(np.float32)
KNOWN = NoveltyDetector(FEATURES, np.arange(8))
HEAD = ["global_average_pooling", "standardisation", "hidden", "dropout", "probabilities"]


@pytest.fixture(scope="session")
def weights():
    return get_weights("random")


@pytest.fixture(scope="session")
def base(weights):
    return build_base(weights)


@pytest.fixture(scope="session")
def untrained_head():
    features = np.random.default_rng(0).normal(size=(10, 1, 512)).astype(np.float32)
    return new_heads(features, [np.arange(10)], 2, seed=0)


def test_the_base_is_vgg16_and_gives_7_by_7_by_512_maps(base, weights):
    reference = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    reference.set_weights(list(weights.arrays))
    pixels = np.random.default_rng(0).random((2, 224, 224, 3), np.float32)
    maps = base.predict_on_batch(pixels)
    assert maps.shape == (2, 7, 7, 512)
    np.testing.assert_allclose(maps, reference.predict_on_batch(pixels), rtol=1e-5)


def test_a_trained_base_holds_vgg16s_own_preprocessing(weights):
    trained = Weights(weights.arrays, "imagenet", "digest")
    reference = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    reference.set_weights(list(weights.arrays))
    pixels = np.random.default_rng(0).random((2, 224, 224, 3), np.float32)
    official = keras.applications.vgg16.preprocess_input(255 * pixels)
    maps, expected = build_base(trained).predict_on_batch(pixels), reference.predict_on_batch(official)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-4 * expected.max())


def test_the_base_is_bit_equal_after_training_and_the_head_is_not(run, weights):
    model, _ = covid19.load_model(run.model)
    trained = [array for layer in model.get_layer("vgg16").layers for array in layer.get_weights()]
    assert len(trained) == 26
    assert all(np.array_equal(now, before) for now, before in zip(trained, weights.arrays, strict=True))
    kernel = np.random.default_rng((run.settings.training.seed, 0)).uniform(-((6 / 576) ** 0.5), (6 / 576) ** 0.5, (512, 64))
    moved = np.abs(model.get_layer("hidden").get_weights()[0] - kernel)
    assert 1e-4 < moved.max() < 0.1  # trained, and from where its seed says


def test_the_heads_layers_have_their_names_and_only_the_head_is_trainable(run):
    model, _ = covid19.load_model(run.model)
    assert [layer.name for layer in model.layers][-5:] == HEAD
    assert {layer.name for layer in model.layers if layer.trainable_weights} == {"hidden", "probabilities"}
    assert model.get_layer("dropout").rate == 0.5


def test_the_assembled_model_gives_what_the_head_gives_on_features(run, base, weights):
    model, _ = covid19.load_model(run.model)
    records = read_records(run.dataset)
    views = [View(record) for record in records]
    with FeatureCache(None, 10**9) as store:
        features = Extractor(store, LocalExecutor(), read_picture).extract(views, base, weights.digest).features[:, 0]
    batch, *rest = load_batches(views, read_picture)
    assert (batch.positions, rest) == (list(range(12)), [])
    pixels = batch.as_floats()
    whole = model.predict_on_batch(pixels)
    np.testing.assert_allclose(whole, heads_of(model).probabilities(features)[:, 0], atol=1e-4)
    np.testing.assert_allclose(whole, head_model(heads_of(model)).predict_on_batch(features), atol=1e-4)
    check_assembled(model, pixels, whole)
    with pytest.raises(InputError, match=r"differ by 0.5 from its head's on stored features; expected at most 0.001"):
        check_assembled(model, pixels, whole + np.float32(0.5))


def test_the_file_holds_all_that_prediction_needs(run):
    _, info = covid19.load_model(run.model)
    assert info.classes == ("covid", "normal")
    assert info.positive == "covid"
    assert info.base == BaseInfo("VGG16", "random", get_weights("random").digest)
    assert info.settings["epochs"] == 5
    assert info.versions["keras"] == keras.__version__
    assert info.notice == covid19.NOTICE
    assert "divide by 255" in info.preprocessing
    assert len(info.trained_on) == len(run.report["split"]["train"])


def test_renamed_to_keras_the_file_opens_in_plain_keras(run, tmp_path):
    renamed = tmp_path / "renamed.keras"
    renamed.write_bytes(run.model.read_bytes())
    plain = keras.models.load_model(renamed, safe_mode=True)
    pixels = np.random.default_rng(0).random((2, 224, 224, 3), np.float32)
    ours, _ = covid19.load_model(run.model)
    np.testing.assert_allclose(plain.predict_on_batch(pixels), ours.predict_on_batch(pixels), atol=1e-5)


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_hdf5_is_written_when_the_path_says_so_and_read_whatever_the_name(run, base, untrained_head, tmp_path, name):
    model, info = assemble(base, head_model(untrained_head)), covid19.load_model(run.model).info
    save_model(tmp_path / name, model, info, KNOWN)
    assert h5py.is_hdf5(tmp_path / name)
    renamed = (tmp_path / name).rename(tmp_path / "renamed.model")
    loaded = covid19.load_model(renamed)
    assert loaded.info == info
    np.testing.assert_allclose(read_model(renamed).novelty_detector.percentile(FEATURES), KNOWN.percentile(FEATURES), atol=1e-6)
    pixels = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
    np.testing.assert_allclose(loaded.model.predict_on_batch(pixels), model.predict_on_batch(pixels), atol=1e-5)


def test_a_save_that_fails_leaves_the_last_good_file_and_no_half_one(run, base, untrained_head, tmp_path, monkeypatch):
    path = tmp_path / "covid19.model"
    path.write_text("the last good one")
    info = read_model(run.model).info

    def half(self, *arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", half)
    with pytest.raises(OSError, match="No space left"):
        save_model(path, assemble(base, head_model(untrained_head)), info, KNOWN)
    assert path.read_text() == "the last good one"
    assert list(tmp_path.iterdir()) == [path]


def _no_info(source, target):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if name != "covid19.json":
                new.writestr(name, old.read(name))


def _truncated(source, target):
    target.write_bytes(source.read_bytes()[:100_000])


def _garbled(source, target):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"{}" if name == "model.weights.h5" else old.read(name))


def _text(source, target):
    target.write_text("no model")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_info, "has no 'covid19.json' inside; expected a file that 'covid19 train' wrote"),
        (_truncated, "is damaged"),
        (_garbled, "is damaged"),
        (_text, "is neither a Keras archive nor HDF5"),
        (lambda source, target: None, "is no file"),
    ],
)
def test_a_file_that_is_no_model_of_this_program_is_refused_by_name(run, tmp_path, spoil, message):
    spoil(run.model, tmp_path / "bad.model")
    with pytest.raises(InputError, match=rf"bad\.model' {message}"):
        covid19.load_model(tmp_path / "bad.model")


def test_from_starts_at_the_earlier_heads_weights_and_standardisation(run, weights):
    heads, info = load_head(run.model, ("covid", "normal"), weights)
    earlier, _ = covid19.load_model(run.model)
    assert np.array_equal(heads.hidden[0], earlier.get_layer("hidden").get_weights()[0])
    assert np.array_equal(heads.output_bias[0], earlier.get_layer("probabilities").get_weights()[1])
    assert np.array_equal(heads.mean[0], earlier.get_layer("standardisation").get_weights()[0])
    assert info.classes == ("covid", "normal")


def test_from_names_what_does_not_fit(run, weights):
    other = Weights(weights.arrays, "imagenet", "0123456789abcdef")
    with pytest.raises(InputError, match=r"was trained for the classes covid, normal; expected this data set's, a, b"):
        load_head(run.model, ("a", "b"), weights)
    with pytest.raises(InputError, match=r"weights 'random' \(digest .*expected this run's 'imagenet' \(0123456789ab\)"):
        load_head(run.model, ("covid", "normal"), other)


def test_the_information_is_plain_json_inside_the_archive(run):
    with zipfile.ZipFile(run.model) as archive:
        assert json.loads(archive.read("covid19.json"))["program"] == "covid19"
