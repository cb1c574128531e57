"""The page under load, and how soon it answers: `python3 -m benchmarks.serve`.

Writes `results/serve.md`.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.record import provenance, table, write
from benchmarks.run import PROJECT, phantoms, timed

CLIENTS, REQUESTS, ALONE, STARTS = 8, 400, 40, 3


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start the server; give its process and address as soon as it says so."""
    command = [sys.executable, "-m", "covid19", "serve", "-m", "covid19.model", "--port", "0", "--no-browser"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
    assert found
    return process, found[0]


def stop(process: subprocess.Popen[str]) -> None:
    """End it and wait."""
    process.terminate()
    process.communicate()


def memory(process: subprocess.Popen[str]) -> float:
    """MB in use by the server and all processes that it started."""
    found, ahead = [], [process.pid]
    while ahead:
        found.append(ahead.pop())
        for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            ahead += map(int, children.read_text().split())
    statuses = (Path(f"/proc/{number}/status").read_text() for number in found)
    return sum(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) for status in statuses) / 1024  # type: ignore[index]


def ask(client: httpx.Client, path: Path) -> tuple[float, dict[str, Any]]:
    """Seconds and the answer."""
    begin = time.perf_counter()
    said = client.post("/api/predict", files={"files": (path.name, path.read_bytes())}).raise_for_status().json()
    return time.perf_counter() - begin, said["answers"][0]


def connect(url: str) -> httpx.Client:
    """A client of the page at an address."""
    return httpx.Client(base_url=url, timeout=120)


def load(url: str, images: list[Path], expected: dict[str, dict[str, Any]]) -> tuple[list[float], int]:
    """Seconds of each request of all clients at once, and how many got another answer than their own."""

    def one(number: int) -> tuple[list[float], int]:
        client, seconds, wrong = connect(url), [], 0
        for turn in range(REQUESTS // CLIENTS):
            path = images[(number + CLIENTS * turn) % len(images)]
            took, answer = ask(client, path)
            seconds.append(took)
            right = expected[path.name]
            same = np.allclose(list(answer["probabilities"].values()), list(right["probabilities"].values()), atol=1e-4)
            wrong += answer["file"] != path.name or not same
        return seconds, wrong

    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(one, range(CLIENTS)))
    return [took for seconds, _ in results for took in seconds], sum(wrong for _, wrong in results)


def main() -> None:
    """Train a model, ask it alone, then by many at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed([str(PROJECT / "train_covid19.py"), "-d", str(PROJECT / "dataset"), "--weights", "random"], folder)
        images = sorted(phantoms(40, folder).rglob("*.png"))
        said = timed(["-m", "covid19", "predict", "-m", "covid19.model", "--json", *map(str, images)], folder).output
        expected = {Path(answer["file"]).name: answer for answer in json.loads(said)["answers"]}
        firsts = []
        for _ in range(STARTS):
            begin = time.perf_counter()
            process, url = start(folder)
            ask(connect(url), images[0])
            firsts.append(time.perf_counter() - begin)
            stop(process)
        process, url = start(folder)
        client = connect(url)
        alone = [ask(client, images[number % len(images)])[0] for number in range(ALONE)]
        before = memory(process)
        seconds, wrong = load(url, images, expected)
        after = memory(process)
        again, wrong_again = load(url, images, expected)
        later = memory(process)
        third, wrong_third = load(url, images, expected)
        last = memory(process)
        stop(process)
        inner = json.loads(timed(["-m", "benchmarks.single", "covid19.model", str(images[0])], folder).output.splitlines()[-1])
    median = statistics.median(alone)
    rows = [
        ["first answer after the start, median of three", f"{statistics.median(firsts):.1f} s"],
        ["one request alone, through the API, median", f"{1000 * median:.0f} ms"],
        ["a bare forward of one image, median", f"{1000 * inner['forward']:.0f} ms"],
        ["a prediction from the file, with heat map and novelty, over the bare forward", f"{1000 * inner['over']:.0f} ms"],
    ]
    for words, measured, mixed in (("first", seconds, wrong), ("second", again, wrong_again), ("third", third, wrong_third)):
        p95 = float(np.quantile(measured, 0.95))
        rows += [
            [f"{words} {len(measured)} requests of {CLIENTS} clients: lost, mixed up", f"{REQUESTS - len(measured)}, {mixed}"],
            [f"{words}: median, p95", f"{1000 * statistics.median(measured):.0f} ms, {1000 * p95:.0f} ms"],
            [f"{words}: p95 over the median alone", f"{p95 / median:.1f} x"],
        ]
    rows.append(["memory before and after each", ", ".join(f"{size:.0f} MB" for size in (before, after, later, last))])
    write("serve.md", "\n\n".join(["# The page under load", provenance(), table(["what", "measured"], rows)]))


if __name__ == "__main__":
    main()
