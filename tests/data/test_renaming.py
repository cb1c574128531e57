"""Other names for a data set's classes."""

import pytest

from covid19.core.errors import InputError
from covid19.data.renaming import name_here, new_names

KNOWN = ("covid", "normal")


@pytest.mark.parametrize(
    ("pairs", "classes", "expected"),
    [
        ([], ("covid", "normal"), {"covid": "covid", "normal": "normal"}),
        ([], ("covid",), {"covid": "covid"}),
        (["a=normal", "b=normal"], ("a", "b"), {"a": "normal", "b": "normal"}),
        (["covid=normal", "normal=covid"], ("covid", "normal"), {"covid": "normal", "normal": "covid"}),
        (["x=y=normal", "x=covid"], ("x", "x=y"), {"x": "covid", "x=y": "normal"}),  # names may hold the sign themselves
        (["a=normal", "a=normal"], ("a",), {"a": "normal"}),
    ],
)
def test_each_class_gets_the_models_name(pairs, classes, expected):
    assert new_names(pairs, classes, KNOWN) == expected


def test_a_class_that_the_model_does_not_know_is_named_with_what_to_give():
    with pytest.raises(InputError, match=r"knows no other; expected its classes, covid, normal.*--map 'other=normal'"):
        new_names([], ("covid", "other"), KNOWN)


def test_the_positive_class_may_have_another_name_in_a_table():
    assert name_here(["a=normal", "COVID-19=covid"], "covid") == "COVID-19"
    assert name_here(["a=normal"], "covid") == "covid"
