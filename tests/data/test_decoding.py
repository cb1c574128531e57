"""A file that hangs, crashes or takes too much memory costs only itself."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.corpus import png_header
from helpers.images import write_image

from covid19.core.errors import InputError
from covid19.core.executor.processes import MEMORY_BYTES
from covid19.data.build.phantoms import write_sample
from covid19.data.decoding import DecodingPool
from covid19.data.images import read_picture


@pytest.fixture(scope="module")
def pool():
    with DecodingPool(2.0, 2) as started:
        started.run(abs, 1)
        yield started


def test_a_task_returns_and_raises_as_it_would_here(pool, tmp_path):
    path = write_image(tmp_path / "a.png", np.full((9, 9), 7, np.uint8))
    assert (read_picture(path, pool.run).pixels == 7).all()
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "nowhere.png", pool.run)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="not an image of a kind that is read"):
        read_picture(tmp_path / "text.png", pool.run)


@pytest.mark.parametrize(
    ("task", "arguments", "reason"),
    [
        (time.sleep, (60,), r"it took longer than 2 s to read \(--file-timeout\)"),
        (os._exit, (1,), "the process that read it crashed"),
        (os.abort, (), "the process that read it crashed"),
        (bytearray, (MEMORY_BYTES + 1,), r"it would take more than 2\.5 GB of memory"),
    ],
    ids=["hangs", "exits", "crashes", "takes memory"],
)
def test_a_task_that_passes_a_limit_costs_itself_and_the_next_ones_go_on(pool, task, arguments, reason):
    with pytest.raises(ValueError, match=reason):
        pool.run(task, *arguments)
    assert [pool.run(abs, -number) for number in range(5)] == list(range(5))


def test_a_task_in_a_pool_that_ends_is_an_error_and_waits_for_nothing():
    pool = DecodingPool(60.0, 1)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(pool.run, time.sleep, 60)
        time.sleep(1)
        pool.close()
        with pytest.raises(InputError, match="the processes that read files cannot be used"):
            waiting.result(timeout=30)
    with pytest.raises(InputError, match="the processes that read files cannot be used"):
        pool.run(abs, 1)


@pytest.fixture(scope="module")
def with_slow_file(tmp_path_factory):
    """A data set with one image that takes more than a tenth of a second to decode: 100 million pixels in a small file."""
    root = tmp_path_factory.mktemp("slow") / "data"
    write_sample(root, count=3, size=96, seed=5)
    (root / "covid" / "slow.png").write_bytes(png_header(9990, 9990, bytes(9991 * 9990)))
    return root


def test_check_skips_and_names_a_file_that_takes_too_long(with_slow_file, tmp_path, call_command):
    done = call_command("check", with_slow_file, "--json", "--no-cache", "--file-timeout", "0.1", cwd=tmp_path)
    files = {file["path"]: file["why"] for file in json.loads(done.stdout)["files"]}
    assert files["covid/slow.png"] == "it took longer than 0.1 s to read (--file-timeout)"
    assert "Traceback" not in done.stderr


def test_predict_answers_for_the_others(with_slow_file, run, tmp_path, call_command):
    ask = ("predict", "-m", run.model, with_slow_file / "covid", "--json", "--file-timeout", "0.1")
    done = call_command(*ask, cwd=tmp_path)
    assert done.returncode == 1
    problems = {answer["file"].rpartition("/")[2]: answer["problem"] for answer in json.loads(done.stdout)["answers"]}
    assert problems.pop("slow.png") == "it took longer than 0.1 s to read (--file-timeout)"
    assert len(problems) == 3


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_limit_is_a_number_of_seconds(value, tmp_path, call_command):
    done = call_command("check", tmp_path, "--file-timeout", value, cwd=tmp_path)
    assert done.returncode == 2
    assert f"received '{value}', expected a number of seconds above 0 and below a million, such as 60" in done.stderr
