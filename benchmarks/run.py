"""The whole job, the naive way and this program's, cold and warm: `python3 -m benchmarks.run`.

Writes `results/speed.md`, `results/speed.json` and `results/speed.png`. Each way is a process of its own, timed from its start
to its exit; one after the other, so that they meet the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

from benchmarks.record import RESULTS, provenance, table, write

mpl.use("Agg")
import matplotlib.pyplot as plt

PROJECT = Path(__file__).parent.parent
EPOCHS = 25


class Timed(NamedTuple):
    """Wall-clock seconds of a process from start to exit, its peak memory in MB, what it printed."""

    seconds: float
    memory: float
    output: str


def timed(arguments: list[str], folder: Path) -> Timed:
    """Run `python3 ARGUMENTS...` in a folder.

    Raises:
        RuntimeError: the process failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    log = folder / "log"
    start = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} failed: {log.read_text()[-2000:]}")
    return Timed(seconds, usage.ru_maxrss / 1024, log.read_text())


def naive(dataset: Path, epochs: int, folder: Path) -> Timed:
    """The naive way; fewer epochs than 25 are extended to 25, since each epoch is the same work."""
    done = timed(["-m", "benchmarks.naive", str(dataset), str(epochs)], folder)
    if epochs == EPOCHS:
        return done
    few = timed(["-m", "benchmarks.naive", str(dataset), "1"], folder)
    each = (done.seconds - few.seconds) / (epochs - 1)
    return done._replace(seconds=done.seconds + (EPOCHS - epochs) * each)


def phantoms(size: int, folder: Path) -> Path:
    """A data set of phantoms, drawn if it is not there."""
    dataset = folder / str(size)
    if not dataset.is_dir():
        timed(["-m", "covid19", "sample", str(dataset), "--count", str(size // 2)], folder)
    return dataset


def peak_memory(size: int, folder: Path) -> float:
    """MB at the peak of a cold run over so many phantoms, one view each."""
    dataset = phantoms(size, folder)
    flags = ["-d", str(dataset), "--weights", "random", "--views", "0", "--cache-dir", str(folder / f"cache{size}")]
    return timed([str(PROJECT / "train_covid19.py"), *flags], folder).memory


def measure(dataset: Path, naive_epochs: int) -> dict[str, float]:
    """One row of the table: the naive way, cold, warm, the floor."""
    images = len([path for path in dataset.rglob("*") if path.suffix in (".png", ".jpg", ".jpeg")])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train = [
            str(PROJECT / "train_covid19.py"),
            "-d",
            str(dataset),
            "--weights",
            "random",
            "--cache-dir",
            str(folder / "cache"),
        ]
        forward = float(timed(["-m", "benchmarks.forward", "8"], folder).output.split()[-1])
        cold = timed(train, folder)
        report = json.loads((folder / "metrics.json").read_text())
        warm = timed(train, folder)
        warm_report = json.loads((folder / "metrics.json").read_text())
        plain = naive(dataset, naive_epochs, folder)
    views = report["features"]["extracted"]
    return {
        "images": images,
        "naive": plain.seconds,
        "naive_epochs": naive_epochs,
        "cold": cold.seconds,
        "warm": warm.seconds,
        "forward": forward,
        "views": views,
        "extract": report["timing"]["extract"],
        "train": warm_report["timing"]["train"],
        "memory_naive": plain.memory,
        "memory_cold": cold.memory,
        "memory_warm": warm.memory,
    }


def main() -> None:
    """Measure every size and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes", nargs="*", type=int, default=[50, 100, 200, 400], help="phantoms in all (default %(default)s)"
    )
    parser.add_argument("--real", type=Path, help="a data set of real X-rays to measure too")
    parser.add_argument(
        "--naive-epochs", type=int, default=3, help="epochs of the naive way beyond 50 images (default %(default)s)"
    )
    parser.add_argument("--memory-sizes", nargs="*", type=int, default=[50, 800], help="phantoms in all (default %(default)s)")
    arguments = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        sets = {f"{arguments.real.name}": arguments.real.resolve()} if arguments.real else {}
        for size in arguments.sizes:
            sets[f"{size} phantoms"] = phantoms(size, Path(name))
        for title, dataset in sets.items():
            epochs = EPOCHS if len(list(dataset.rglob("*.*"))) <= 52 else arguments.naive_epochs
            rows[title] = measure(dataset, epochs)
            print(title, json.dumps(rows[title]), flush=True)
        memory = {size: peak_memory(size, Path(name)) for size in arguments.memory_sizes}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "speed.json").write_text(json.dumps(rows, indent=1) + "\n")
    write("speed.md", describe(rows, memory))
    draw(rows)


def describe(rows: dict[str, dict[str, float]], memory: dict[int, float]) -> str:
    """The table and how to read it."""
    head = [
        "images",
        "naive",
        "cold",
        "warm",
        "naive / cold",
        "naive / warm",
        "floor / cold",
        "extraction",
        "head",
        "MB naive, cold, warm",
    ]
    lines = [
        [
            title,
            f"{'' if row['naive_epochs'] == EPOCHS else '≈ '}{row['naive']:.1f} s",
            f"{row['cold']:.1f} s",
            f"{row['warm']:.1f} s",
            f"{row['naive'] / row['cold']:.1f}",
            f"{row['naive'] / row['warm']:.1f}",
            f"{row['views'] * row['forward'] / row['cold']:.2f}",
            f"{row['views'] * row['forward'] / row['extract']:.2f}" if row["views"] else "",
            f"{row['train']:.2f} s",
            f"{row['memory_naive']:.0f}, {row['memory_cold']:.0f}, {row['memory_warm']:.0f}",
        ]
        for title, row in rows.items()
    ]
    forward = ", ".join(f"{1000 * row['forward']:.0f}" for row in rows.values())
    text = f"""*naive*: `benchmarks/naive.py`, {EPOCHS} epochs; ≈ means measured with fewer epochs and extended, each epoch
being the same work. *cold*: `train_covid19.py --weights random` with an empty feature store; *warm*: the same again. *floor*:
the forwards of the base that a cold run needs, at the speed of a bare batched forward on ready arrays ({forward} ms an image in
the rows' order). *extraction*: images per second against that bare forward. *head*: training the head for 25 epochs, in the
warm run. The last column is peak memory."""
    more = ", ".join(f"{images} images {megabytes:.0f} MB" for images, megabytes in memory.items())
    memory_text = f"Peak memory of a cold run with `--views 0`: {more}."
    return "\n\n".join(
        ["# Speed of a whole run, from process start to exit", provenance(), table(head, lines), text, memory_text]
    )


def draw(rows: dict[str, dict[str, float]]) -> None:
    """Seconds by number of images, one line for each way."""
    sizes = [row for title, row in rows.items() if "phantoms" in title]
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for name, style in (("naive", "s-"), ("cold", "o-"), ("warm", "^-")):
        axes.plot([row["images"] for row in sizes], [row[name] for row in sizes], style, label=name)
    axes.plot(
        [row["images"] for row in sizes], [row["views"] * row["forward"] for row in sizes], "k:", label="floor: forwards alone"
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="Images (phantoms)",
        ylabel="Seconds, process start to exit",
        title="Time of a whole run",
    )
    axes.set_xticks([row["images"] for row in sizes], [f"{row['images']:.0f}" for row in sizes])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(RESULTS / "speed.png", dpi=130)


if __name__ == "__main__":
    main()
