"""The stratified split."""

from covid19.split import stratified_split


def test_fifty_images_give_forty_and_ten_with_five_of_each_class():
    labels = ["covid"] * 25 + ["normal"] * 25
    train, test = stratified_split(labels, 0.2, 42)
    assert sorted(train + test) == list(range(50))
    assert (len(train), len(test)) == (40, 10)
    assert sum(position < 25 for position in test) == 5


def test_the_seed_alone_decides_the_members():
    labels = ["a"] * 10 + ["b"] * 30
    assert stratified_split(labels, 0.25, 3) == stratified_split(labels, 0.25, 3)
    assert stratified_split(labels, 0.25, 3) != stratified_split(labels, 0.25, 4)


def test_the_smallest_class_stands_on_both_sides():
    labels = ["a"] * 2 + ["b"] * 100
    for share in (0.01, 0.2, 0.99):
        train, test = stratified_split(labels, share, 0)
        assert {labels[position] for position in train} == {labels[position] for position in test} == {"a", "b"}


def test_each_class_gives_its_own_share():
    labels = ["a"] * 40 + ["b"] * 10 + ["c"] * 20
    test = stratified_split(labels, 0.3, 1).test
    assert [sum(labels[position] == name for position in test) for name in "abc"] == [12, 3, 6]
