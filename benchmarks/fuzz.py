"""Files with random changes, for as long as wanted: `python3 -m benchmarks.fuzz --minutes 30`.

Each kind of file is fuzzed in a process of its own with a limit on memory, so that a crash of a decoder is found as well. What
leads to a finding is kept in `fuzz-findings/`. Writes `results/fuzz.md`.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from benchmarks.record import provenance, table, write
from benchmarks.run import PROJECT

MEMORY = 8 << 30  # bytes that a process may map
SLOW = 10.0  # seconds of work for one file, from which it is a finding
STUCK = 60.0  # seconds after which a file is given up


def fuzz(kind: str, seconds: float, seed: int, kept: Path, count: multiprocessing.sharedctypes.Synchronized[int]) -> None:
    """Change and use files of one kind until the time is over; end with code 1 at a finding."""
    sys.path.insert(0, str(PROJECT / "tests"))
    from helpers.fuzzing import mutate, targets

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    draw = random.Random(seed)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the decoders and the caches say of each file
    with tempfile.TemporaryDirectory() as name, kept.with_suffix(".txt").open("w") as stuck:
        folder = Path(name)
        good, file, use = targets(folder / "seed")[kind]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            faulthandler.dump_traceback_later(STUCK, exit=True, file=stuck)
            content = mutate(draw.choice(good), good, draw)
            (folder / file).write_bytes(content)
            kept.write_bytes(content)  # before it is used: a crash leaves no time after
            begin = time.process_time()
            try:
                use(folder / file)
            except BaseException:  # noqa: BLE001  # whatever it is, it is a finding
                kept.with_suffix(".txt").write_text(traceback.format_exc())
                sys.exit(1)
            if time.process_time() - begin > SLOW:
                kept.with_suffix(".txt").write_text(f"took {time.process_time() - begin:.0f} s")
                sys.exit(1)
            count.value += 1
    faulthandler.cancel_dump_traceback_later()
    kept.unlink()
    kept.with_suffix(".txt").unlink()


def main() -> None:
    """Fuzz all kinds side by side; one that ends early by a finding begins again until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    findings = Path("fuzz-findings")
    findings.mkdir(exist_ok=True)
    context = multiprocessing.get_context("spawn")
    end = time.monotonic() + 60 * arguments.minutes
    kinds = ("images", "DICOM", "metadata", "model files", "feature cache", "scan cache")
    counts = {kind: context.Value("q", 0) for kind in kinds}
    found = dict.fromkeys(kinds, 0)
    running: dict[str, multiprocessing.process.BaseProcess] = {}
    seed = 1000 * arguments.seed
    while running or time.monotonic() < end:
        for kind in kinds:
            process = running.get(kind)
            if process is not None and process.is_alive():
                continue
            if process is not None:
                found[kind] += process.exitcode != 0
                if process.exitcode:
                    print(f"finding in {kind}: exit code {process.exitcode}", flush=True)
                del running[kind]
            left = end - time.monotonic()
            if left > 1:
                seed += 1
                kept = findings / f"{kind.replace(' ', '-')}-{seed}"
                running[kind] = context.Process(target=fuzz, args=(kind, left, seed, kept, counts[kind]))  # type: ignore[attr-defined]
                running[kind].start()
        time.sleep(0.2)
    rows = [[kind, counts[kind].value, found[kind]] for kind in kinds]
    rows.append(["all", sum(count.value for count in counts.values()), sum(found.values())])
    text = (
        f"{arguments.minutes:g} minutes, all kinds side by side; a finding is an exception that nobody expects, a crash, or a "
        f"file that takes {SLOW:g} s or 8 GB."
    )
    write("fuzz.md", "\n\n".join(["# Fuzzing", provenance(), text, table(["kind of file", "executions", "findings"], rows)]))


if __name__ == "__main__":
    main()
