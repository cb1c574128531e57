"""Training runs in processes of their own, that can be killed; for `test_crash.py` and `python3 -m benchmarks.kill`."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import covid19
from covid19.features.cache import cache_files, open_caches
from helpers.compare import assert_close
from helpers.paths import PROJECT

OUTPUTS = ("covid19.model", "metrics.json", "metrics.html", "plot.png")
QUICK = ("-e", "2", "--folds", "0", "--augmentations", "0", "--weights", "random", "--no-audit")

STARTED: list[subprocess.Popen[str]] = []  # whoever starts runs ends them


def start(dataset, folder, *flags, **options):
    """Begin a training run in a folder, with a feature cache of its own there."""
    command = [sys.executable, "-m", "covid19", "train", "-d", str(dataset), *QUICK, "--cache-dir", "cache", *flags]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    STARTED.append(process)
    return process


def run_whole(dataset, folder):
    """A run from start to end: its test numbers and losses."""
    process = start(dataset, folder)
    said = process.communicate(timeout=120)[1]
    assert (process.returncode, said) == (0, "")
    report = json.loads((folder / "metrics.json").read_text())
    return report["test"], report["training"]


def assert_whole(folder):
    """Every output that is there opens; the store does, without being set aside."""
    for name in OUTPUTS:
        if not (folder / name).exists():
            continue
        if name == "covid19.model":
            covid19.load_model(folder / name)
        elif name == "metrics.json":
            json.loads((folder / name).read_text())
        else:
            assert (folder / name).read_bytes().rstrip().endswith(b"</html>" if name.endswith("html") else b"IEND\xaeB`\x82")
    if any(path.exists() for path in cache_files(folder / "cache")):
        with open_caches(True, folder / "cache", 10**9):
            pass
        assert not list((folder / "cache").glob("*damaged*"))


def kill_at_random(dataset, folder, kills, seed):
    """Kill runs at random moments; after each, all is whole and the next run gives what an undisturbed one does.

    Returns:
        The seconds after which each was killed.
    """
    draw = random.Random(seed)
    (folder / "calm").mkdir()
    begin = time.monotonic()
    expected = run_whole(dataset, folder / "calm")
    longest = time.monotonic() - begin
    moments = []
    for number in range(kills):
        own = folder / str(number)
        own.mkdir()
        if number % 2:  # over the outputs and the store of an earlier run, half of them
            run_whole(dataset, own)
        moments.append(draw.uniform(0, longest))
        process = start(dataset, own, *(["--no-cache"] if draw.random() < 0.2 else []))
        time.sleep(moments[-1])
        process.kill()
        process.communicate()
        assert_whole(own)
        assert_close(run_whole(dataset, own), expected)  # batches of what the store lacked may be others
        assert_whole(own)
    return moments
