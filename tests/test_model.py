"""Base, head, and the file that holds both."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from conftest import settings_in

import covid19
from covid19.base import build_base
from covid19.dataset import list_classes, read_dataset
from covid19.errors import InputError
from covid19.features import extract, predict, views_of
from covid19.head import build_head, fit_head, standardise
from covid19.model import assemble, load_head, save_model
from covid19.weights import Weights, get_weights

HEAD = ["global_average_pooling", "standardisation", "hidden", "dropout", "probabilities"]


@pytest.fixture(scope="session")
def weights():
    return get_weights("random")


@pytest.fixture(scope="session")
def base(weights):
    return build_base(weights)


def separable(count, generator):
    """Features (count, 2 views, 512) of which the first hundred tell the class, and one-hot labels."""
    labels = np.eye(2, dtype=np.float32)[np.arange(count) % 2]
    features = generator.normal(size=(count, 2, 512)).astype(np.float32)
    features[:, :, :100] += labels[:, None, 1:]
    return features, labels


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
    model, _ = covid19.load_model(run.settings.model)
    trained = [array for layer in model.get_layer("vgg16").layers for array in layer.get_weights()]
    assert len(trained) == 26
    assert all(np.array_equal(now, before) for now, before in zip(trained, weights.arrays, strict=True))
    fresh = build_head(2, run.settings.seed)
    for name in ("hidden", "probabilities"):
        assert not np.array_equal(model.get_layer(name).get_weights()[0], fresh.get_layer(name).get_weights()[0])


def test_the_heads_layers_have_their_names_and_only_the_head_is_trainable(run):
    model, _ = covid19.load_model(run.settings.model)
    assert [layer.name for layer in model.layers][-5:] == HEAD
    assert {layer.name for layer in model.layers if layer.trainable_weights} == {"hidden", "probabilities"}
    assert model.get_layer("dropout").rate == 0.5


def test_the_assembled_model_gives_what_the_head_gives_on_features(run, base):
    model, info = covid19.load_model(run.settings.model)
    dataset = read_dataset(run.settings.dataset, tuple(info["classes"]))
    views = views_of(dataset.records, 0, run.settings)
    features = extract(views, base)
    head = build_head(2, 0)
    for layer in head.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    head.get_layer("standardisation").finalize_state()
    np.testing.assert_allclose(predict(views, model, "all"), head.predict_on_batch(features), atol=1e-4)


def test_features_do_not_depend_on_order_or_company(run, base):
    dataset = read_dataset(run.settings.dataset, list_classes(run.settings.dataset))
    views = views_of(dataset.records[:3], 1, run.settings)
    forward, backward = extract(views, base), extract(views[::-1], base)
    np.testing.assert_allclose(forward, backward[::-1], rtol=1e-4, atol=1e-5)


def test_standardised_features_have_mean_0_and_variance_1():
    features = np.random.default_rng(0).normal(3, 7, size=(400, 512)).astype(np.float32)
    head = build_head(2, 0)
    standardise(head, features)
    scaled = np.asarray(head.get_layer("standardisation")(features))
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-3)


def test_a_map_that_is_silent_in_training_does_not_drown_the_others():
    features = np.random.default_rng(0).normal(size=(40, 512)).astype(np.float32)
    features[:, 5] = 0
    head = build_head(2, 0)
    standardise(head, features)
    woken = np.zeros((1, 512), np.float32)
    woken[0, 5] = 1
    assert np.abs(np.asarray(head.get_layer("standardisation")(woken))).max() < 40  # without a floor: 10 000 000


def test_the_head_learns_what_features_tell_and_its_history_is_complete(tmp_path):
    generator = np.random.default_rng(0)
    train, (x_test, y_test) = separable(40, generator), separable(20, generator)
    head = build_head(2, 0)
    standardise(head, train[0].reshape(-1, 512))
    history = fit_head(head, train, (x_test[:, 0], y_test), settings_in(tmp_path, tmp_path, epochs=30))
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy"), 30
    )
    assert history["accuracy"][-1] >= 0.95
    assert history["val_accuracy"][-1] >= 0.9
    assert history["loss"][-1] < history["loss"][0] / 3
    called = head.predict_on_batch(x_test[:, 0])
    assert history["val_accuracy"][-1] == pytest.approx((called.argmax(1) == y_test.argmax(1)).mean())
    assert history["val_loss"][-1] == pytest.approx(-np.log(called[y_test == 1]).mean(), rel=1e-4)


def test_the_learning_rate_decays_to_0_over_the_epochs(tmp_path):
    train = separable(20, np.random.default_rng(0))
    head = build_head(2, 0)
    fit_head(head, train, (train[0][:, 0], train[1]), settings_in(tmp_path, tmp_path, epochs=4, learning_rate=0.01))
    assert float(head.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)
    assert int(head.optimizer.iterations) == 4 * 3  # 20 images in batches of 8


def test_a_rare_class_weighs_as_much_as_a_common_one(tmp_path):
    """With features that tell nothing, an unbalanced loss would call every image common."""
    generator = np.random.default_rng(0)
    features = np.tile(generator.normal(size=(1, 1, 512)).astype(np.float32), (40, 1, 1))
    labels = np.eye(2, dtype=np.float32)[(np.arange(40) >= 32).astype(int)]
    head = build_head(2, 0)
    fit_head(head, (features, labels), (features[:, 0], labels), settings_in(tmp_path, tmp_path, epochs=40))
    assert head.predict_on_batch(features[:1, 0])[0, 1] == pytest.approx(0.5, abs=0.12)  # share of the rare class: 0.2


def test_a_learning_rate_that_makes_the_loss_no_number_is_named(tmp_path):
    train = separable(20, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"diverged at --learning-rate 1e\+38; expected a loss: lower the rate"):
        fit_head(build_head(2, 0), train, (train[0][:, 0], train[1]), settings_in(tmp_path, tmp_path, learning_rate=1e38))


def test_the_file_holds_all_that_prediction_needs(run):
    _, info = covid19.load_model(run.settings.model)
    assert info["classes"] == ["covid", "normal"]
    assert info["positive"] == "covid"
    assert info["base"] == {"name": "VGG16", "weights": "random", "digest": get_weights("random").digest}
    assert info["settings"]["epochs"] == 5
    assert info["versions"]["keras"] == keras.__version__
    assert info["notice"] == covid19.NOTICE
    assert "divide by 255" in info["preprocessing"]
    assert len(info["trained_on"]) == len(run.report["split"]["train"])


def test_renamed_to_keras_the_file_opens_in_plain_keras(run, tmp_path):
    renamed = tmp_path / "renamed.keras"
    renamed.write_bytes(run.settings.model.read_bytes())
    plain = keras.models.load_model(renamed, safe_mode=True)
    pixels = np.random.default_rng(0).random((2, 224, 224, 3), np.float32)
    ours, _ = covid19.load_model(run.settings.model)
    np.testing.assert_array_equal(plain.predict_on_batch(pixels), ours.predict_on_batch(pixels))


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_hdf5_is_written_when_the_path_says_so_and_read_whatever_the_name(base, tmp_path, name):
    model, info = assemble(base, build_head(2, 3)), {"classes": ["a", "b"]}
    save_model(tmp_path / name, model, info)
    assert h5py.is_hdf5(tmp_path / name)
    renamed = (tmp_path / name).rename(tmp_path / "renamed.model")
    loaded = covid19.load_model(renamed)
    assert loaded.info == info
    pixels = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
    np.testing.assert_array_equal(loaded.model.predict_on_batch(pixels), model.predict_on_batch(pixels))


def test_a_save_that_fails_leaves_the_last_good_file_and_no_half_one(base, tmp_path, monkeypatch):
    path = tmp_path / "covid19.model"
    path.write_text("the last good one")

    def half(self, *arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", half)
    with pytest.raises(OSError, match="No space left"):
        save_model(path, assemble(base, build_head(2, 0)), {})
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
            new.writestr(name, b"{}" if name == "config.json" else old.read(name))


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
    spoil(run.settings.model, tmp_path / "bad.model")
    with pytest.raises(InputError, match=rf"bad\.model' {message}"):
        covid19.load_model(tmp_path / "bad.model")


def test_from_starts_at_the_earlier_heads_weights_and_standardisation(run, weights):
    head = build_head(2, 99)
    info = load_head(run.settings.model, head, ("covid", "normal"), weights)
    earlier, _ = covid19.load_model(run.settings.model)
    for layer in head.layers:
        for ours, theirs in zip(layer.get_weights(), earlier.get_layer(layer.name).get_weights(), strict=True):
            assert np.array_equal(ours, theirs)
    assert info["classes"] == ["covid", "normal"]


def test_from_names_what_does_not_fit(run, weights):
    other = Weights(weights.arrays, "imagenet", "0123456789abcdef")
    with pytest.raises(InputError, match=r"tells covid, normal apart; expected this data set's classes a, b"):
        load_head(run.settings.model, build_head(2, 0), ("a", "b"), weights)
    with pytest.raises(InputError, match=r"weights 'random' \(digest .*expected this run's 'imagenet' \(0123456789ab\)"):
        load_head(run.settings.model, build_head(2, 0), ("covid", "normal"), other)


def test_the_information_is_plain_json_inside_the_archive(run):
    with zipfile.ZipFile(run.settings.model) as archive:
        assert json.loads(archive.read("covid19.json"))["program"] == "covid19"
