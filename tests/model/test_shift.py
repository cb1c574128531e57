"""A batch of images against the training images: alarms where the images differ, and few where they do not."""

import numpy as np
import pytest

from covid19.data.appearance import appearance
from covid19.data.build.phantoms import draw_phantom
from covid19.inference.answer import Answer
from covid19.inference.batch import Batch
from covid19.model.info import PositiveCount
from covid19.model.shift import MAX_BATCH_IMAGES, ImageSet, _appearance_statistic, compare_batch, without_counts

NONE_PREDICTED = PositiveCount(0, 0)


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch):
    monkeypatch.setattr("covid19.model.shift.PERMUTATIONS", 199)


def draw(count, seed, images_each=1):
    """Features of patients with several images each, in which some directions matter more than others."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(16, 64))
    own = np.repeat(generator.normal(size=(-(-count // images_each), 16)), images_each, axis=0)[:count]
    return ((own + 0.1 * generator.normal(size=own.shape)) @ mixing + 0.2 * generator.normal(size=(count, 64))).astype(
        np.float32
    )


def compare(batch, predicted=NONE_PREDICTED, expected=None, training=None, groups=None):
    training = draw(100, 1) if training is None else training
    groups = np.arange(len(training)) if groups is None else groups
    return compare_batch(ImageSet(training), groups, ImageSet(batch), predicted, expected, "covid")


def test_new_images_of_the_same_source_raise_few_alarms():
    alarms = [compare(draw(25, 100 + seed)).shifted for seed in range(40)]
    assert sum(alarms) <= 5  # of 40 with 4 %, more than 5 come in 0.5 % of all such tests


def test_several_images_of_a_patient_raise_few_alarms():
    training = draw(120, 1, images_each=2)
    groups = np.arange(120) // 2
    alarms = [compare(draw(40, 300 + seed, images_each=2), training=training, groups=groups).shifted for seed in range(40)]
    assert sum(alarms) <= 5


@pytest.mark.parametrize(
    "change", [lambda x: x + 1.5 * x.std(axis=0), lambda x: 0.5 * x, lambda x: 2 * x], ids=["moved", "shrunk", "spread"]
)
def test_other_images_raise_an_alarm(change):
    result = compare(change(draw(25, 7)))
    assert result.shifted
    assert result.words.startswith("These images differ from the training images as a whole: the probabilities should not")


def test_where_labels_are_withheld_nothing_is_told_of_how_many_are_positive():
    full = compare(draw(30, 8), PositiveCount(30, 30), PositiveCount(50, 100))
    withheld = without_counts(full)
    assert "30 of 30" in full.words
    assert withheld.words == full.finding
    assert (withheld.predicted, withheld.positives_p_value, withheld.shifted) == (None, None, True)
    assert without_counts(None) is None


def test_a_batch_none_of_which_gets_a_label_is_said_so():
    result = compare(draw(30, 8), PositiveCount(0, 0), PositiveCount(50, 100))
    assert result.words.endswith("; none gets a label).")


def test_everything_positive_raises_an_alarm_although_the_features_look_alike():
    batch = draw(30, 8)
    usual = compare(batch, PositiveCount(14, 30), PositiveCount(50, 100))
    all_positive = compare(batch, PositiveCount(30, 30), PositiveCount(50, 100))
    assert not usual.shifted
    assert usual.words.startswith("As a whole, these 30 images look like the training images")
    assert all_positive.shifted
    assert "covid is predicted for 30 of 30, expected 50%" in all_positive.words
    assert all_positive.p_value == usual.p_value


@pytest.mark.parametrize(("batch", "training", "patients"), [(19, 100, 100), (25, 19, 19), (25, 100, 5)])
def test_too_few_images_are_not_compared(batch, training, patients):
    groups = np.arange(training) % patients
    assert compare(draw(batch, 2), training=draw(training, 3), groups=groups) is None


@pytest.mark.parametrize("training", [np.ones((40, 64), np.float32), np.zeros((40, 64), np.float32)])
def test_training_images_that_are_all_the_same_give_an_answer(training):
    assert 0 <= compare(draw(25, 2), training=training).p_value <= 1
    assert 0 <= compare(training[:25], training=training).p_value <= 1


def test_of_many_images_a_random_part_is_kept_and_those_of_the_training_do_not_count():
    batch = Batch("covid")
    for number in range(3 * MAX_BATCH_IMAGES):
        known = "same file" if number % 3 == 0 else ""
        label = "covid" if number % 3 == 1 else ""
        batch.add(Answer("", label, {}, 1.0, "", None, known), np.full(3, number, np.float32))
    kept = batch.features()[:, 0]
    assert len(kept) == MAX_BATCH_IMAGES
    assert not (kept % 3 == 0).any()
    assert kept.mean() == pytest.approx(1.5 * MAX_BATCH_IMAGES, rel=0.1)
    assert batch.predicted() == PositiveCount(MAX_BATCH_IMAGES, MAX_BATCH_IMAGES)


def test_the_statistic_of_appearance_is_the_largest_distance_between_distribution_functions():
    parts = np.array([[0, 0, 1, 1], [1, 0, 0, 1], [1, 0, 1, 0]], float)
    apart = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    assert _appearance_statistic(apart, parts) == pytest.approx([1, 0.5, 0.5])
    assert _appearance_statistic(np.exp(apart), parts) == pytest.approx([1, 0.5, 0.5])  # only their order counts
    assert _appearance_statistic(np.ones((4, 1), np.float32), parts) == pytest.approx([0, 0, 0])
    tied = np.array([[1.0], [1.0], [1.0], [4.0]], np.float32)
    assert _appearance_statistic(tied, parts) == pytest.approx([0.5, 0.5, 0.5])
    second = np.array([[1.0], [4.0], [2.0], [3.0]], np.float32)  # the third part is the lower half of it
    assert _appearance_statistic(np.hstack([apart, second]), parts) == pytest.approx([1, 0.5, 1])


def phantoms(count, seed, change=lambda picture: picture):
    """Phantoms of different patients, half of them sick, by random features and their appearance."""
    pictures = [
        draw_phantom(np.random.default_rng((seed, 0, number)), np.random.default_rng((seed, 1, number)), 64, number % 2 == 0)
        for number in range(count)
    ]
    looks = np.array([appearance(np.repeat(change(picture)[..., None], 3, axis=2)) for picture in pictures])
    return ImageSet(draw(count, seed), looks)


def changed(change):
    """What a change makes of grey levels in [0, 1], as one of a picture."""
    return lambda picture: np.asarray(255 * change(picture / 255).clip(0, 1), np.uint8)


@pytest.fixture(scope="module")
def known():
    return phantoms(80, 1)


@pytest.mark.parametrize(
    "change",
    [
        changed(lambda x: 0.8 * (x - x.mean()) + x.mean()),
        changed(lambda x: 1.25 * (x - x.mean()) + x.mean()),
        changed(lambda x: x**0.7),
        changed(lambda x: x**1.5),
        changed(lambda x: 1 - x),
    ],
    ids=["paler", "more contrast", "brighter", "darker", "negative"],
)
def test_another_contrast_raises_an_alarm_although_the_features_look_alike(known, change):
    batch = phantoms(20, 2, change)
    result = compare_batch(known, np.arange(80), batch, NONE_PREDICTED, None, "covid")
    assert result.shifted
    assert not compare_batch(ImageSet(known.features), np.arange(80), batch, NONE_PREDICTED, None, "covid").shifted


def test_new_images_of_the_same_appearance_raise_few_alarms():
    everything = phantoms(120, 3)
    alarms = []
    for seed in range(30):
        order = np.random.default_rng(seed).permutation(120)
        training, batch = everything.part(order[:80]), everything.part(order[80:105])
        alarms.append(compare_batch(training, np.arange(80), batch, NONE_PREDICTED, None, "covid").shifted)
    assert sum(alarms) <= 5
