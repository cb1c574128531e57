"""Heads on stored features."""

import helpers.keras_start  # noqa: F401
import numpy as np
import pytest

from covid19.core.errors import InputError
from covid19.core.settings import TrainingSettings
from covid19.model.head import Heads, head_model, heads_of, new_heads, train_heads


def separable(count, strength=1.0, seed=0):
    """Features (count, 2 views, 512) of which the first hundred tell the class, and one-hot labels."""
    labels = np.eye(2, dtype=np.float32)[np.arange(count) % 2]
    features = np.random.default_rng(seed).normal(size=(count, 2, 512)).astype(np.float32)
    features[:, :, :100] += strength * labels[:, None, 1:]
    return features, labels


def train(features, labels, members, settings, test=None):
    return train_heads(new_heads(features, members, 2, settings.seed), features, labels, members, settings, test)


def test_standardised_features_have_mean_0_and_variance_1_on_the_training_images_only():
    features = np.random.default_rng(0).normal(3, 7, size=(400, 1, 512)).astype(np.float32)
    features[300:] += 1000  # held out
    heads = new_heads(features, [np.arange(300), np.arange(100)], 2, 0)
    seen = heads.standardised(features[:, 0])
    assert seen.shape == (400, 2, 512)
    for head, count in ((0, 300), (1, 100)):
        np.testing.assert_allclose(seen[:count, head].mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(seen[:count, head].std(axis=0), 1, atol=1e-3)


def test_a_map_that_is_silent_in_training_does_not_drown_the_others():
    features = np.random.default_rng(0).normal(size=(40, 1, 512)).astype(np.float32)
    features[:, :, 5] = 0
    heads = new_heads(features, [np.arange(40)], 2, 0)
    woken = np.zeros((1, 512), np.float32)
    woken[0, 5] = 1
    assert np.abs(heads.standardised(woken)).max() < 40  # without a floor: infinite


def test_probabilities_worked_out_by_hand():
    given = {
        "mean": [[1, 1]],
        "variance": [[4, 4]],
        "hidden": [[[1, -1], [1, 1]]],
        "hidden_bias": [[0, 1]],
        "output": [[[1, 0], [0, 1]]],
        "output_bias": [[0, 0]],
    }
    heads = Heads(**{name: np.array(values, np.float32) for name, values in given.items()})
    # (3, 5) is (1, 2) standardised; hidden units ReLU(3) and ReLU(-1 + 2 + 1) = 2; logits 3 and 2
    np.testing.assert_allclose(heads.probabilities(np.array([[3, 5]], np.float32))[0, 0, 0], 1 / (1 + np.exp(-1)), rtol=1e-5)


def test_the_head_learns_what_features_tell_and_its_history_is_complete(tmp_path):
    features, labels = separable(60)
    members, test = [np.arange(40)], np.arange(40, 60)
    heads, history = train(features, labels, members, TrainingSettings(epochs=30), test)
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy"), 30
    )
    assert history["accuracy"][-1] >= 0.95
    assert history["val_accuracy"][-1] >= 0.9
    assert history["loss"][-1] < history["loss"][0] / 3
    said = head_model(heads).predict_on_batch(features[test, 0])
    assert history["val_accuracy"][-1] == pytest.approx((said.argmax(1) == labels[test].argmax(1)).mean())
    assert history["val_loss"][-1] == pytest.approx(-np.log(said[labels[test] == 1]).mean(), rel=1e-3)


def test_a_head_learns_the_same_in_company_as_alone(tmp_path):
    """Without dropout's chance and with one order of training, the second head's company must not matter."""
    features, labels = separable(24)
    settings = TrainingSettings(epochs=8, batch_size=24)  # one batch: order plays no part
    members = [np.arange(24), np.arange(24)]
    alone = new_heads(features[:, :1], members[:1], 2, 0)
    pair = Heads(*(np.concatenate([array, array]) for array in vars(alone).values()))
    dropout = pytest.MonkeyPatch()
    dropout.setattr("covid19.model.head.DROPOUT", 0.0)
    with dropout.context():
        one, _ = train_heads(alone, features[:, :1], labels, members[:1], settings)
        two, _ = train_heads(pair, features[:, :1], labels, members, settings)
    dropout.undo()
    np.testing.assert_allclose(two.hidden[0], one.hidden[0], atol=1e-5)
    np.testing.assert_allclose(two.hidden[1], one.hidden[0], atol=1e-5)


def test_the_same_seed_gives_the_same_head_to_the_bit(tmp_path):
    features, labels = separable(20)
    settings = TrainingSettings(epochs=5)
    first, _ = train(features, labels, [np.arange(20)], settings)
    second, _ = train(features, labels, [np.arange(20)], settings)
    assert np.array_equal(first.hidden, second.hidden)


def test_a_rare_class_weighs_as_much_as_a_common_one(tmp_path):
    """With features that tell nothing, an unbalanced loss would call every image common."""
    features = np.tile(np.random.default_rng(0).normal(size=(1, 1, 512)).astype(np.float32), (40, 1, 1))
    labels = np.eye(2, dtype=np.float32)[(np.arange(40) >= 32).astype(int)]
    heads, _ = train(features, labels, [np.arange(40)], TrainingSettings(epochs=40))
    assert heads.probabilities(features[:1, 0])[0, 0, 1] == pytest.approx(0.5, abs=0.12)  # the rare class's share: 0.2


def test_the_rate_decays_so_that_the_last_epochs_hardly_move(tmp_path, monkeypatch):
    features, labels = separable(24)
    rates = []
    from covid19.model import head as module

    build = module._stack

    def spy(*arguments):
        rates.append(build(*arguments))
        return rates[-1]

    monkeypatch.setattr(module, "_stack", spy)
    train(features, labels, [np.arange(20)], TrainingSettings(epochs=4, learning_rate=0.01))
    optimizer = rates[0].optimizer
    assert int(optimizer.iterations) == 4 * 3  # 20 images in batches of 8
    assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-9)


def test_a_learning_rate_that_makes_the_loss_no_number_is_named(tmp_path):
    features, labels = separable(20)
    with pytest.raises(InputError, match=r"diverged at --learning-rate 1e\+38; expected a loss: lower the rate"):
        train(features, labels, [np.arange(20)], TrainingSettings(epochs=5, learning_rate=1e38))


def test_a_keras_head_and_back_is_the_same_head():
    features, _ = separable(10)
    heads = new_heads(features, [np.arange(10)], 3, 1)
    model = head_model(heads)
    assert [layer.name for layer in model.layers] == ["standardisation", "hidden", "dropout", "probabilities"]
    np.testing.assert_allclose(model.predict_on_batch(features[:, 0]), heads.probabilities(features[:, 0])[:, 0], atol=1e-5)
    for ours, theirs in zip(vars(heads_of(model)).values(), vars(heads).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
