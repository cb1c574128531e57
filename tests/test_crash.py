"""A run that is killed, stopped, starved of disk or doubled loses no result and leaves no half one."""

import resource
import signal
import time

import pytest
from helpers.killing import OUTPUTS, STARTED, assert_whole, kill_at_random, start


@pytest.fixture(autouse=True)
def no_run_is_left_behind():
    yield
    while STARTED:
        STARTED.pop().kill()


@pytest.mark.slow
def test_after_a_kill_all_is_whole_and_the_next_run_gives_the_same(phantoms, tmp_path):
    assert len(kill_at_random(phantoms, tmp_path, 2, seed=0)) == 2


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "terminated"),
    ],
)
@pytest.mark.slow
def test_a_signal_ends_a_run_with_one_line_and_keeps_what_was_extracted(phantoms, tmp_path, number, code, word):
    (tmp_path / "metrics.json").write_text("{}")
    process = start(phantoms, tmp_path, "-e", "1000000")
    while "Extracting features: 12/12" not in (line := process.stdout.readline()) and line:
        pass
    time.sleep(1)  # into the training
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (code, f"error: {word}; outputs that were not finished are as they were\n")
    assert (tmp_path / "metrics.json").read_text() == "{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "metrics.json"]
    process = start(phantoms, tmp_path)
    assert "12 of 12 images are in the feature cache" in process.communicate(timeout=120)[0]


@pytest.mark.parametrize("name", ["covid19.model", pytest.param("covid19.h5", marks=pytest.mark.slow)])
def test_a_full_disk_is_one_line_and_outputs_stay(phantoms, tmp_path, name):
    (tmp_path / name).write_text("the last good one")

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, 20_000_000))  # what a full disk does, for the large file alone

    process = start(phantoms, tmp_path, "-m", name, preexec_fn=small_files)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert said.startswith("error: failed: ")
    assert len(said.splitlines()) == 1
    assert (tmp_path / name).read_text() == "the last good one"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_two_runs_at_once_in_one_folder_both_finish(phantoms, tmp_path):
    both = [start(phantoms, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["", ""]
    assert_whole(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", *sorted(OUTPUTS)]
