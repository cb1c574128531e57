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


def measure(dataset: Path, naive_epochs: int) -> dict[str, float]:
    """One row of the table: the floor, this program cold and warm, without and with cross-validation, and the naive way."""
    row: dict[str, float] = {"images": len([path for path in dataset.rglob("*") if path.suffix in (".png", ".jpg", ".jpeg")])}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row["forward"] = float(timed(["-m", "benchmarks.forward", "8"], folder).output.split()[-1])
        for work, flags in (("same", ["--folds", "0", "--no-audit"]), ("complete", [])):
            train = [str(PROJECT / "train_covid19.py"), "-d", str(dataset), "--weights", "random", *flags]
            for state in ("cold", "warm"):
                done = timed([*train, "--cache-dir", str(folder / work)], folder)
                report = json.loads((folder / "metrics.json").read_text())
                row |= {f"{work}_{state}": done.seconds, f"{work}_{state}_memory": done.memory}
                row |= {f"{work}_{state}_{step}": report["timing"][step] for step in ("extract", "train", "cross_validate")}
                if state == "cold":
                    row[f"{work}_views"] = report["features"]["extracted"]
        plain = naive(dataset, naive_epochs, folder)
    return row | {"naive": plain.seconds, "naive_epochs": naive_epochs, "naive_memory": plain.memory}


def main() -> None:
    """Measure every size and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes", nargs="*", type=int, default=[50, 100, 200, 400], help="phantoms in all (default %(default)s)"
    )
    parser.add_argument("--real", type=Path, help="a data set of real X-rays to measure too")
    parser.add_argument(
        "--naive-epochs", type=int, default=3, help="epochs of the naive way beyond the first set (default %(default)s)"
    )
    arguments = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        sets = {f"{arguments.real.name}": arguments.real.resolve()} if arguments.real else {}
        for size in arguments.sizes:
            sets[f"{size} phantoms"] = phantoms(size, Path(name))
        for title, dataset in sets.items():
            epochs = arguments.naive_epochs if rows else EPOCHS  # in full for the first set, each epoch being the same work
            rows[title] = measure(dataset, epochs)
            print(title, json.dumps(rows[title]), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "speed.json").write_text(json.dumps(rows, indent=1) + "\n")
    write("speed.md", describe(rows))
    draw(rows)


def describe(rows: dict[str, dict[str, float]]) -> str:
    """The tables and how to read them."""
    columns = {
        "images": lambda row: f"{row['images']:.0f}",
        "naive": lambda row: f"{'' if row['naive_epochs'] == EPOCHS else '≈ '}{row['naive']:.1f} s",
        "same work, cold": lambda row: f"{row['same_cold']:.1f} s ({row['naive'] / row['same_cold']:.1f} x)",
        "same work, warm": lambda row: f"{row['same_warm']:.1f} s ({row['naive'] / row['same_warm']:.1f} x)",
        "complete, cold": lambda row: f"{row['complete_cold']:.1f} s ({row['naive'] / row['complete_cold']:.1f} x)",
        "complete, warm": lambda row: f"{row['complete_warm']:.1f} s ({row['naive'] / row['complete_warm']:.1f} x)",
    }
    parts = {
        "bare forward": lambda row: f"{1000 * row['forward']:.0f} ms",
        "floor / same work, cold": lambda row: f"{row['same_views'] * row['forward'] / row['same_cold']:.2f}",
        "extraction / bare forward": lambda row: f"{row['same_views'] * row['forward'] / row['same_cold_extract']:.2f}",
        "head, 25 epochs": lambda row: f"{row['same_warm_train']:.2f} s",
        "cross-validation": lambda row: f"{row['complete_warm_cross_validate']:.2f} s",
        "complete / same work, cold": lambda row: f"{row['complete_cold'] / row['same_cold']:.2f}",
        "MB naive, cold, warm": lambda row: ", ".join(
            f"{row[name]:.0f}" for name in ("naive_memory", "same_cold_memory", "same_warm_memory")
        ),
    }
    text = f"""*naive*: `benchmarks/naive.py`, {EPOCHS} epochs; ≈ means measured with fewer epochs and extended, each epoch
being the same work. *same work*: `train_covid19.py --weights random --folds 0 --no-audit`, the naive way's twelve steps;
*complete*: the default, with cross-validation, audit and page. *cold*: with an empty feature cache; *warm*: the same again. (x:
times faster than the naive way.) *floor*: the forwards of the base that the run needs, at the speed of a bare batched forward
on ready arrays, measured just before. *extraction*: images per second against that bare forward. *head*: training it, in the
warm run. MB: peak memory of the process."""
    tables = (
        table(["", *shown], [[title, *(show(row) for show in shown.values())] for title, row in rows.items()])
        for shown in (columns, parts)
    )
    return "\n\n".join(["# Speed of a whole run, from process start to exit", provenance(), *tables, text])


def draw(rows: dict[str, dict[str, float]]) -> None:
    """Seconds by number of images, one line for each way."""
    sizes = [row for title, row in rows.items() if "phantoms" in title]
    figure, axes = plt.subplots(figsize=(8.2, 4), layout="constrained")
    images = [row["images"] for row in sizes]
    for name, label, style in (
        ("naive", "naive", "s-"),
        ("complete_cold", "complete, cold", "o-"),
        ("same_cold", "same work, cold", "o--"),
        ("complete_warm", "complete, warm", "^-"),
        ("same_warm", "same work, warm", "^--"),
    ):
        axes.plot(images, [row[name] for row in sizes], style, label=label)
    axes.plot(images, [row["same_views"] * row["forward"] for row in sizes], "k:", label="floor: forwards alone")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="Images (phantoms)",
        ylabel="Seconds, process start to exit",
        title="Time of a whole run",
    )
    axes.set_xticks(images, [f"{count:.0f}" for count in images])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(RESULTS / "speed.png", dpi=130)


if __name__ == "__main__":
    main()
