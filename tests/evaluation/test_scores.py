"""Tables of a model's scores: what is read, what is refused, and which image gets which score."""

import numpy as np
import pytest

from covid19.audit.hidden import hidden_name, match_hidden
from covid19.audit.inputs import LUNGS_HIDDEN, MEDIASTINUM_HIDDEN
from covid19.core.errors import InputError
from covid19.evaluation.folds import Fold
from covid19.evaluation.score_table import read_scores
from covid19.evaluation.scores import given_divisions, match_scores, shared_across

CLASSES = ("covid", "normal")
NAMES = ["covid/a.png", "covid/b.jpg", "normal/c.dcm", "normal/d.png"]


def table(tmp_path, text, classes=CLASSES, positive="covid"):
    path = tmp_path / "scores.csv"
    path.write_text(text)
    return read_scores(path, classes, positive, "--predictions")


def scores(tmp_path, text, names=NAMES):
    return match_scores(table(tmp_path, text), names, "--predictions")


def refused(tmp_path, text, message, names=NAMES):
    with pytest.raises(InputError, match=message) as error:
        scores(tmp_path, text, names)
    assert "expected" in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "image,score\ncovid/a.png,3\ncovid/b.jpg,-1.5\nnormal/c.dcm,0\nnormal/d.png,1e3\n",
        "Score;File Name\n3;A.PNG\n-1,5;b.jpg\n0;c.dcm\n1000;d\n",
        "path\tcovid\n/data/set/covid/a.png\t3\n/data/set/covid/b.jpg\t-1.5\n/data/set/normal/c.dcm\t0\n/data/set/normal/d.png\t1000",
        "image,probability,comment\nd.png,1000,x\nc.dcm,0,\n\nb.jpg,-1.5,\na.png,3,\n",
    ],
)
def test_scores_are_found_by_path_or_name_in_any_order_and_may_be_any_number(tmp_path, text):
    found = scores(tmp_path, text)
    assert found.at.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found.values, [3, -1.5, 0, 1000])
    assert (found.repeats, found.unmatched_rows, found.folds) == (1, 0, ())


def test_of_a_column_for_each_class_probabilities_count_as_they_are_and_logits_by_their_softmax(tmp_path):
    head = "file,probability_normal,probability_covid\n"
    assert table(tmp_path, f"{head}a,0.9,0.1\nb,0.2,0.6\n").columns == ("probability_covid", "probability_normal")
    assert [row.score for row in table(tmp_path, f"{head}a,0.9,0.1\nb,0.2,0.6\n").rows] == [0.1, 0.6]
    logits = [row.score for row in table(tmp_path, "image,covid,normal\na,5,9\nb,2,1\n").rows]
    np.testing.assert_allclose(logits, [-4, 1])
    three = table(tmp_path, "image,covid,normal,other\na,2,1,1\n", ("covid", "normal", "other")).rows[0].score
    np.testing.assert_allclose(three, 2 - np.log(2 * np.e))


def test_the_mean_is_taken_over_repeats_and_their_folds_are_kept(tmp_path):
    rows = ["image,score,fold,repeat"]
    rows += [f"{name},{n + 10 * repeat},{(n + repeat) % 2},{repeat}" for repeat in (1, 2) for n, name in enumerate(NAMES)]
    found = scores(tmp_path, "\n".join(rows))
    np.testing.assert_allclose(found.values, [15, 16, 17, 18])
    assert found.repeats == 2
    assert found.folds == (("1", "0", "1", "0"), ("0", "1", "0", "1"))
    # An image that was left out of one repeat has the mean of the others; the folds are then no division of all images.
    fewer = scores(tmp_path, "\n".join(rows[:-1]))
    np.testing.assert_allclose(fewer.values, [15, 16, 17, 13])
    assert fewer.folds == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,score\na.png,1\nb.jpg,nan\n", "row 3 has 'nan' as a score"),
        ("image,score\na.png,inf\nb.jpg,1\n", "row 2 has 'inf' as a score"),
        ("image,score\na.png,\nb.jpg,high\n", r"row 2 has '' as a score \(2 such rows in all\)"),
        ("image,score\n,1\nb.jpg,1\n", "row 2 names no image"),
        ("image,score\n", "has no rows"),
        ("", "no column that names the image"),
        ("score,fold\n1,2\n", "no column that names the image"),
        ("image,normal\na.png,1\n", "no score that is known .* higher for 'covid'"),
        ("image,COVID-19,pneumonia\na.png,1,0\n", "no score that is known"),
        ("image,score,Score\na.png,1,0\n", "the column 'score' twice"),
        ("image,score\na.png,1\na.png,2\nb.jpg,0\nc.dcm,0\n", "'a.png' has two scores in the table, 1 and 2"),
        ("image,score,repeat\na.png,1,7\na.png,2,7\nb.jpg,0,7\n", "'a.png' has two scores in repeat '7'"),
        ("image,score\nx.png,1\ny.png,1\n", "has scores of 0 of 4 images"),
        ("image,score\na.png,1\ny.png,1\n", "has scores of 1 of 4 images"),
    ],
)
def test_what_cannot_be_scores_of_these_images_is_refused_with_what_to_do(tmp_path, text, message):
    refused(tmp_path, text, message)


def test_a_row_that_is_the_same_twice_counts_once_and_one_that_two_images_could_be_is_of_none(tmp_path):
    assert scores(tmp_path, "image,score\n" + 2 * "a.png,1\nb.jpg,2\nc.dcm,3\n").at.tolist() == [0, 1, 2]
    rows, names = "image,score\nc/a.png,1\nb.png,2\nc.png,3\n", ["x/c/a.png", "y/c/a.png", "x/b.png", "y/c.png"]
    found = scores(tmp_path, rows, names)
    assert (found.at.tolist(), found.values.tolist(), found.unmatched_rows) == ([2, 3], [2, 3], 1)
    refused(tmp_path, "image,score\na.png,1\n", "has scores of 0 of 2 images", ["covid/a.png", "normal/a.png"])


def test_images_without_a_score_and_rows_of_other_images_are_counted(tmp_path):
    found = scores(tmp_path, "image,score\na.png,1\nb.jpg,2\nd.png,3\nelsewhere.png,4\n")
    assert (found.at.tolist(), found.unmatched_rows) == ([0, 1, 3], 1)


def test_folds_serve_if_each_trains_on_both_sides_and_a_patient_on_both_sides_is_counted():
    positive = np.array([True, True, False, False])
    (division,) = given_divisions([("a", "b", "a", "b")], positive)
    assert [(fold.train.tolist(), fold.held_out.tolist()) for fold in division] == [([1, 3], [0, 2]), ([0, 2], [1, 3])]
    assert given_divisions([("a", "a", "b", "b")], positive) == []  # each fold trains on one side
    assert given_divisions([("a", "a", "a", "a")], positive) == []
    assert given_divisions([[str(n) for n in range(60)]], np.arange(60) < 30) == []  # too many to train probes in
    assert shared_across([division], [0, 1, 2, 3]) == 0
    assert shared_across([division], [0, 0, 2, 3]) == 2
    assert shared_across([[Fold(np.array([0]), np.array([1, 2, 3]))]], [0, 0, 0, 3]) == 2


def test_scores_of_hidden_lungs_are_told_apart_by_their_folder(tmp_path):
    names = ["covid/a.png", "normal/b.jpg"]
    assert hidden_name(LUNGS_HIDDEN, "normal/b.jpg") == "lungs-hidden/normal/b.jpg.png"
    one = "lungs-hidden/covid/a.png,1\nout/lungs-hidden/normal/b.jpg.png,2\n"
    found = match_hidden(table(tmp_path, f"image,score\n{one}"), names, "--hidden-predictions")
    assert {probe: values.tolist() for probe, values in found.items()} == {LUNGS_HIDDEN: [1, 2]}
    both = f"image,score\n{one}lungs-and-mediastinum-hidden/covid/a.png,3\nlungs-and-mediastinum-hidden/normal/b.jpg.png,4\n"
    found = match_hidden(table(tmp_path, both), names, "--hidden-predictions")
    assert found[MEDIASTINUM_HIDDEN].tolist() == [3, 4]
    for text, message in (
        ("covid/a.png,1\n", "names no picture in a folder lungs-hidden or"),
        ("lungs-hidden/covid/a.png,1\n", "no score of 1 of 2 pictures, such as 'lungs-hidden/normal/b.jpg.png'"),
    ):
        with pytest.raises(InputError, match=message):
            match_hidden(table(tmp_path, f"image,score\n{text}"), names, "--hidden-predictions")
