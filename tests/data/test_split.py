"""The stratified and grouped split."""

import numpy as np
import pytest
from helpers.datasets import read
from helpers.paths import SHARED

from covid19.data.split import stratified_split


def test_fifty_images_give_forty_and_ten_with_five_of_each_class():
    labels = ["covid"] * 25 + ["normal"] * 25
    train, test = stratified_split(labels, range(50), 0.2, 42)
    assert sorted(train + test) == list(range(50))
    assert (len(train), len(test)) == (40, 10)
    assert sum(position < 25 for position in test) == 5


def test_the_seed_alone_decides_the_members():
    labels = ["a"] * 10 + ["b"] * 30
    assert stratified_split(labels, range(40), 0.25, 3) == stratified_split(labels, range(40), 0.25, 3)
    assert stratified_split(labels, range(40), 0.25, 3) != stratified_split(labels, range(40), 0.25, 4)


def test_every_image_is_held_out_equally_often():
    labels = ["a"] * 10 + ["b"] * 10
    counts = np.zeros(20)
    for seed in range(1000):
        counts[stratified_split(labels, range(20), 0.2, seed).test] += 1
    assert counts.sum() == 4000
    assert np.abs(counts - 200).max() < 50  # deviation 13


def test_the_smallest_class_stands_on_both_sides():
    labels = ["a"] * 2 + ["b"] * 100
    for share, held_out in ((0.01, 1), (0.2, 20), (0.99, 99)):
        train, test = stratified_split(labels, range(102), share, 0)
        assert {labels[position] for position in train} == {labels[position] for position in test} == {"a", "b"}
        assert [sum(labels[position] == name for position in test) for name in "ab"] == [1, held_out]


def test_each_class_gives_its_own_share():
    labels = ["a"] * 40 + ["b"] * 10 + ["c"] * 20
    test = stratified_split(labels, range(70), 0.3, 1).test
    assert [sum(labels[position] == name for position in test) for name in "abc"] == [12, 3, 6]


def test_groups_stay_whole_and_the_share_is_as_near_as_they_allow():
    labels = ["a"] * 12 + ["b"] * 8
    groups = [0] * 5 + [1] * 4 + [2] * 2 + [3] + [4] * 3 + [5] * 3 + [6] * 2  # a: 5, 4, 2, 1; b: 3, 3, 2
    for seed in range(50):
        train, test = stratified_split(labels, groups, 0.25, seed)
        assert not {groups[i] for i in train} & {groups[i] for i in test}
        assert sum(i < 12 for i in test) == 3  # 2 + 1 is the only way
        assert sum(i >= 12 for i in test) == 2


def test_of_several_divisions_the_nearest_is_taken_not_the_smallest():
    labels = ["a"] * 20 + ["b"] * 4
    groups = [0] * 4 + [1] * 5 + [2] * 11 + [3, 4, 5, 6]
    for seed in range(20):
        test = stratified_split(labels, groups, 0.25, seed).test
        assert sum(i < 20 for i in test) == 5


def test_an_order_that_leads_nowhere_is_not_the_last_that_is_tried():
    labels, groups = list("abbccdda"), [0, 0, 1, 1, 2, 2, 3, 3]  # two neighbours in the ring must stay, or two opposite go
    for seed in range(50):
        train, test = stratified_split(labels, groups, 0.5, seed)
        assert {labels[i] for i in train} == {labels[i] for i in test} == set("abcd")


def test_a_group_may_hold_two_classes():
    labels = ["a", "b"] * 10
    groups = [i // 2 for i in range(20)]
    train, test = stratified_split(labels, groups, 0.2, 0)
    assert len(test) == 4
    assert not {groups[i] for i in train} & {groups[i] for i in test}


def test_a_class_of_one_group_cannot_be_split():
    with pytest.raises(ValueError, match="all images of class 'a' are of one group"):
        stratified_split(["a"] * 5 + ["b"] * 5, [0] * 5 + [1, 2, 3, 4, 5], 0.2, 0)


@pytest.mark.skipif(not (SHARED / "seed50").is_dir(), reason="the 50 real images are not here")
def test_no_patient_of_the_50_real_images_stands_on_both_sides():
    dataset = read(SHARED / "seed50", metadata=SHARED / "ieee8023" / "metadata.csv")
    covid = [record for record in dataset.records if record.label == "covid"]
    assert sum(record.rule == "metadata" for record in covid) == 24
    assert len({record.patient for record in covid if record.rule == "metadata"}) == 11
    labels, groups = ([getattr(record, name) for record in dataset.records] for name in ("label", "group"))
    for seed in range(100):
        train, test = stratified_split(labels, groups, 0.2, seed)
        assert not {dataset.records[i].patient for i in train} & {dataset.records[i].patient for i in test}
        assert [sum(labels[i] == name for i in test) for name in ("covid", "normal")] == [5, 5]


@pytest.mark.parametrize("test_size", [0.1, 0.2, 0.5])
def test_a_class_of_two_large_groups_still_stands_on_both_sides(test_size):
    labels = ["covid"] * 100 + ["normal"] * 30
    groups = [0] * 50 + [1] * 50 + list(range(10, 40))
    split = stratified_split(labels, groups, test_size, seed=0)
    assert sum(labels[i] == "covid" for i in split.test) == 50
    assert 0 < sum(labels[i] == "normal" for i in split.test) < 30


def test_groups_that_no_division_can_part_are_refused():
    # a is in groups 1 and 2, b in 2 and 3, c in 1 and 3: whatever is held out, one class is on one side alone
    with pytest.raises(ValueError, match="no division of the groups leaves every class on both sides"):
        stratified_split(list("aabbcc"), [1, 2, 2, 3, 1, 3], 0.3, seed=0)
