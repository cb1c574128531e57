"""Whatever a file holds, every command reads it right or says why it does not, and goes on."""

import json
import os
import re

import numpy as np
import pytest
from helpers.corpus import READ, cases, write_corpus
from helpers.datasets import read, reasons
from helpers.images import write_image

from covid19.data.build.phantoms import write_sample
from covid19.data.decoding import DecodingPool
from covid19.data.images import read_picture
from covid19.inference.server.uploads import read_upload

STRETCHED = ("16 bits.png", "16 bits.tiff", "float.tiff", "white is zero.tiff")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A data set whose class covid holds the corpus beside three phantoms, and what is to become of each file."""
    root = tmp_path_factory.mktemp("corpus") / "data"
    write_sample(root, count=3, size=96, seed=5)
    (root / "metadata.csv").unlink()
    return root, write_corpus(root / "covid")


@pytest.mark.parametrize("name", cases())
def test_a_file_is_read_right_or_refused_with_its_reason(tmp_path, name):
    content, expected = cases()[name]
    path = tmp_path / name
    path.write_bytes(content)
    if expected is not READ:
        with pytest.raises(ValueError, match=expected):
            read_picture(path)
        return
    pixels = read_picture(path).pixels.astype(int)
    quarters = [
        pixels[rows, columns].mean()
        for rows in (slice(0, 100), slice(124, 224))
        for columns in (slice(0, 100), slice(124, 224))
    ]
    if name == "one bit.png":
        golden = (0, 255, 0, 255)
    elif name in STRETCHED:
        golden = (0, 255, 71, 156)  # (value - 40) / 180 of 255
    else:
        golden = (40, 40, 40, 40) if name == "one pixel.png" else (40, 220, 90, 150)
    if name != "narrow.png":
        np.testing.assert_allclose(quarters, golden, atol=3)


def assert_as_expected(found, expected):
    """Each file's reason, '' for one that was read, is the expected one; nothing else was looked at."""
    assert set(found) == set(expected)
    for name, outcome in expected.items():
        assert re.search(outcome, found[name]) if outcome else not found[name], (name, outcome, found[name])


def test_the_data_sets_reader_takes_the_good_and_names_the_bad(corpus):
    root, expected = corpus
    dataset = read(root)
    found = {name.removeprefix("covid/"): reason for name, reason in reasons(dataset).items()}
    found |= {record.name.removeprefix("covid/"): "" for record in dataset.records if record.label == "covid"}
    assert_as_expected({name: reason for name, reason in found.items() if not re.match(r"covid-\d", name)}, expected)


def test_check_and_train_finish_and_name_every_bad_file(corpus, tmp_path, call_command):
    root, expected = corpus
    done = call_command("check", root, "--json", "--no-cache", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    bad = [name for name, outcome in expected.items() if outcome]
    named = {file["path"] for file in json.loads(done.stdout)["files"]}
    assert named >= {f"covid/{name}" for name in bad}
    quick = ("-e", 1, "--folds", 0, "--augmentations", 0, "--weights", "random", "--no-cache", "--no-audit")
    done = call_command("train", "-d", root, *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: skipped 'covid/")]
    assert len(warnings) == 21  # the link to a folder, and twenty of the files
    assert f"warning: ... and {len(bad) - 21} more ({len(bad) - 1} in all)" in done.stderr.splitlines()
    skipped = json.loads((tmp_path / "metrics.json").read_text())["dataset"]["skipped"]
    assert {file["path"] for file in skipped} == {f"covid/{name}" for name in bad}


def test_predict_answers_for_the_good_and_names_the_bad(corpus, run, tmp_path, call_command):
    root, expected = corpus
    done = call_command("predict", "-m", run.model, root / "covid", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"warning: '{root}/covid/round': {expected['round']}: copy its images\n"
    answers = {answer["file"].removeprefix(f"{root}/covid/"): answer for answer in json.loads(done.stdout)["answers"]}
    found = {name: answer["problem"] if answer["novelty_percentile"] is None else "" for name, answer in answers.items()}
    found = {name: reason for name, reason in found.items() if not re.match(r"covid-\d", name)}
    assert_as_expected(found | {"round": expected["round"]}, expected)


def test_a_name_cannot_write_on_the_terminal(corpus, run, tmp_path, call_command):
    root, _ = corpus
    done = call_command("predict", "-m", run.model, root / "covid", cwd=tmp_path)
    assert "\x1b" not in done.stdout
    assert "new\\nline.png" in done.stdout
    checked = call_command("check", root, "--no-cache", cwd=tmp_path)
    assert "\x1b" not in checked.stdout + checked.stderr


def test_the_page_reads_the_good_and_names_the_bad(corpus):
    root, expected = corpus
    found = {}
    with DecodingPool() as pool:
        for name in expected.keys() - {"pipe.png", "loop.png", "nowhere.png", "link.png", "round"}:  # a client sends bytes
            try:
                found[name] = "" if pool.run(read_upload, (root / "covid" / name).read_bytes()).preview else "no preview"
            except ValueError as error:
                found[name] = str(error)
    assert_as_expected(found, {name: expected[name] for name in found})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = write_image(tmp_path / "a/x.png", np.zeros((9, 9), np.uint8))
    path.chmod(0)
    with pytest.raises(PermissionError):
        read_picture(path)
