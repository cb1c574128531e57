"""Whether both sides of a data set come from the same places: by the collection where one is stated, else by the source."""

import numpy as np
import pytest

from covid19.data.columns import Entry
from covid19.data.dataset import Record
from covid19.data.same_sources import have_both_sides

MANY = [Entry(source=f"hospital {number}", collection="archive") for number in range(10)]


def shared(positives, negatives):
    entries = [*positives, *negatives]
    records = [Record(None, str(n), "", str(n), str(n), "none", "", entry, None, n) for n, entry in enumerate(entries)]
    return have_both_sides(records, np.arange(len(entries)) < len(positives))


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [
        ([Entry(source="a")] * 3, [Entry(source="a")] * 3, True),
        ([Entry(source="a")] * 3, [Entry(source="b")] * 3, False),
        ([Entry()] * 3, [Entry()] * 3, False),  # of nothing is known where it comes from
        (MANY[:5], MANY[5:], True),  # one collection of many hospitals, each with one side alone
        (MANY, [Entry(source="kaggle", collection="kaggle")] * 10, False),
        # A control of the collection among many of another does not make these controls of the same source.
        (MANY * 10, [MANY[0], *[Entry(source="kaggle", collection="kaggle")] * 5], False),
        (MANY, [*MANY, Entry()], True),
        (MANY, [], False),
    ],
)
def test_both_sides_must_be_of_shared_places(positives, negatives, expected):
    assert shared(positives, negatives) is expected
