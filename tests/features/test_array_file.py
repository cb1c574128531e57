"""Features that do not fit into memory: a file with the same index, and a run that gives the same numbers from it."""

import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from helpers.compare import assert_close
from helpers.runs import settings_in, train

from covid19.core.settings import TrainingSettings
from covid19.evaluation.metrics import one_hot
from covid19.features import array_file as matrix
from covid19.features.array_file import FeatureFile, new_matrix, put
from covid19.model.head import new_heads, probabilities_of, train_heads


@pytest.fixture
def both(tmp_path):
    """The same features as an array and as a file: 40 images, 3 views."""
    features = np.random.default_rng(0).random((40, 3, 512), np.float32)
    file = FeatureFile(40, 3, 512, tmp_path)
    order = np.random.default_rng(1).permutation(120)
    file.put(order[:70], features.reshape(120, 512)[order[:70]])
    put(file, order[70:], features.reshape(120, 512)[order[70:]])
    return features, file


def test_a_file_is_indexed_as_an_array_is(both, tmp_path):
    features, file = both
    images, views = np.array([[3, 39], [3, 0]]), np.array([[0, 2], [1, 1]])
    for index in ((images, views), (np.arange(40), 0), (5, 2), (np.array([7, 1])[:, None], np.arange(3))):
        np.testing.assert_array_equal(file[index], features[index])
    assert file.shape == features.shape
    assert not list(tmp_path.iterdir())  # it has no name


def test_a_row_that_was_never_written_is_not_taken_for_zeros(tmp_path):
    file = FeatureFile(2, 1, 512, tmp_path)
    file.put(np.array([1]), np.ones((1, 512), np.float32))
    with pytest.raises(OSError, match="row 0 of the features was never written"):
        file[np.array([0, 1]), 0]


def test_small_features_are_in_memory_and_large_ones_are_not(tmp_path):
    assert isinstance(new_matrix(1000, 3, 512, tmp_path), np.ndarray)
    assert isinstance(new_matrix(1_000_000, 3, 512, tmp_path), FeatureFile)  # 6 GB, of which nothing is written yet


def test_heads_learn_the_same_from_a_file_and_chunk_by_chunk(both, tmp_path, monkeypatch):
    features, file = both
    labels = one_hot(["a", "b"] * 20, ("a", "b"))
    members = [np.arange(30), np.arange(10, 40)]
    settings = TrainingSettings(epochs=3)
    expected, history = train_heads(new_heads(features, members, 2, 1), features, labels, members, settings, np.arange(30, 40))
    np.testing.assert_allclose(expected.mean[0], features[:30].reshape(-1, 512).mean(axis=0), rtol=1e-5)
    monkeypatch.setattr(matrix, "IMAGES_PER_CHUNK", 7)
    heads, again = train_heads(new_heads(file, members, 2, 1), file, labels, members, settings, np.arange(30, 40))
    np.testing.assert_allclose(heads.mean, expected.mean, rtol=1e-5)
    np.testing.assert_allclose(heads.variance, expected.variance, rtol=1e-5)
    assert again["val_loss"] == pytest.approx(history["val_loss"], abs=1e-4)
    said = probabilities_of(heads, file, np.arange(40))
    np.testing.assert_allclose(said, probabilities_of(expected, features, np.arange(40)), atol=1e-3)


def test_a_run_whose_features_do_not_fit_into_memory_reports_the_same(run, tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "IN_MEMORY", 0)
    report = train(settings_in(tmp_path, run.dataset))
    for key in ("test", "cross_validation", "audit"):
        assert_close(report[key], run.report[key])
