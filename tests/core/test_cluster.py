"""A Ray cluster of two nodes on the loopback interface: the same results as without, also if a node or a worker dies."""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import cv2
import helpers.keras_start  # noqa: F401
import numpy as np
import pytest
from helpers.commands import run_command
from helpers.compare import assert_close
from helpers.datasets import read_records
from helpers.paths import PROJECT

from covid19.core.errors import InputError
from covid19.core.executor.executor import Failed, Task
from covid19.core.executor.local import LocalExecutor
from covid19.core.executor.ray_actors import run_each
from covid19.core.executor.ray_cluster import RayExecutor, open_cluster, plan
from covid19.core.executor.ray_stream import Pool
from covid19.data.build.phantoms import write_sample
from covid19.data.images import read_picture
from covid19.data.shared_files import SharedFiles
from covid19.features.augmentation import View
from covid19.features.backbone.network import base_arrays, base_of, build_base
from covid19.features.backbone.weights import get_weights
from covid19.features.batches import load_batches
from covid19.features.cache import FeatureCache
from covid19.features.tasks import PrecisionTask, build, forward, portable

# Ray leaves files, sockets and processes to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RUN = ("--weights", "random", "-e", "5", "--repeats", "2", "--augmentations", "5")
NUMBERS = ("dataset", "split", "test", "cross_validation", "audit")
POISON = """
import os, sys

def kill_the_worker(event, arguments):
    \"\"\"Of a Ray worker whose decoding process opens the poisoned image: the fork server stands between the two.\"\"\"
    if event == "open" and str(arguments[0]).endswith("poison.png"):
        with open(f"/proc/{os.getppid()}/stat") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        with open(f"/proc/{parent}/cmdline") as file:
            if "ray::" in file.read():
                os.kill(parent, 9)

if any("forkserver" in argument for argument in sys.orig_argv):
    sys.addaudithook(kill_the_worker)
"""


@pytest.mark.parametrize(
    ("nodes", "pool"),
    [
        ([{"CPU": 2}], Pool(1, 2, 0)),
        ([{"CPU": 64}, {"CPU": 16}], Pool(10, 8, 0)),
        ([{"CPU": 1}, {"CPU": 64}], Pool(8, 8, 0)),  # the single core is not worth 65 small actors
        ([{"CPU": 1}, {"CPU": 4}, {}], Pool(5, 1, 0)),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 6, "GPU": 1}, {"CPU": 64}], Pool(5, 4, 1)),
    ],
)
def test_actors_by_cores_or_gpus(nodes, pool):
    assert plan(nodes) == pool


def test_a_cluster_without_cores_is_refused():
    with pytest.raises(InputError, match="neither cores nor GPUs to offer"):
        plan([{"memory": 1}])


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.2", 0))
        return one.getsockname()[1]


@pytest.fixture
def two_nodes(monkeypatch):
    """A head and another node of one core each, and the address for clients; 127.0.0.1 would become the machine's own."""
    from ray.cluster_utils import Cluster as Nodes

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))  # the nodes run this code, whatever is installed
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    port = free_port()
    head = {"node_ip_address": "127.0.0.2", "ray_client_server_port": port, "include_dashboard": False, "num_cpus": 1}
    nodes = Nodes(initialize_head=True, head_node_args=head)
    try:
        nodes.other = nodes.add_node(num_cpus=1, node_ip_address="127.0.0.3")
        nodes.wait_for_nodes()
        nodes.client = f"ray://127.0.0.2:{port}"
        yield nodes
    finally:
        nodes.shutdown()


def start(dataset, folder, *flags, **environment):
    """Begin a run with a feature cache of its own in a folder, and wait until features are being extracted."""
    command = [sys.executable, "-m", "covid19", "train", "-d", dataset, *RUN, "--cache-dir", folder / "cache", *flags]
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        list(map(str, command)), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
    )  # fmt: skip
    while "Extracting features" not in (line := process.stdout.readline()) and line:
        pass
    return process


def features_in(folder):
    """All features of a cache, float32, by key."""
    with contextlib.closing(sqlite3.connect(folder / "cache" / FeatureCache.FILE_NAME)) as database:
        return {
            key: np.frombuffer(value, "<f4") for key, value in database.execute(f"SELECT key, value FROM {FeatureCache.TABLE}")
        }


@pytest.mark.slow
def test_a_node_that_dies_in_the_middle_costs_time_and_nothing_else(two_nodes, tmp_path):
    data, here, there = tmp_path / "data", tmp_path / "here", tmp_path / "there"
    write_sample(data, count=12, size=96, seed=2)
    archive = f"zip://data::{shutil.make_archive(tmp_path / 'data', 'zip', tmp_path, 'data')}"  # read where the actor runs
    assert start(data, here).communicate(timeout=300)[1] == ""

    stopped = start(archive, there, "--cluster", "auto", RAY_ADDRESS=two_nodes.address)
    stopped.send_signal(signal.SIGINT)
    assert "interrupted" in stopped.communicate(timeout=300)[1]
    assert stopped.returncode == 130
    kept = len(features_in(there))
    assert kept > 0  # goes on from there

    process = start(archive, there, "--cluster", "auto", RAY_ADDRESS=two_nodes.address)
    assert process.poll() is None
    two_nodes.remove_node(two_nodes.other, allow_graceful=False)
    said = process.communicate(timeout=300)
    assert process.returncode == 0, said[1]
    found, expected = features_in(there), features_in(here)
    assert found.keys() == expected.keys()
    assert kept < len(found)
    for key, feature in expected.items():
        np.testing.assert_allclose(found[key], feature, rtol=1e-4, atol=1e-6)
    reports = [json.loads((folder / "metrics.json").read_text()) for folder in (there, here)]
    hidden = len(read_records(data))  # views with the lungs hidden, which the report does not count
    assert reports[0]["features"]["extracted"] == len(found) - hidden - kept
    for report in reports:
        del report["dataset"]["root"], report["dataset"]["metadata"]["path"]
    for key in NUMBERS:
        assert_close(*(report[key] for report in reports))


@pytest.mark.slow
def test_a_client_from_outside_trains_and_predicts_as_one_machine_does(two_nodes, run, tmp_path):
    data, model = run.dataset, run.model
    flags = ("--weights", "random", "-e", "5", "--repeats", "2", "--no-cache", "--cluster", two_nodes.client)
    done = run_command("-m", "covid19", "train", "-d", data, *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "warning: cross-validation with 4 folds, not 5: a class has 4 patients\n")
    assert f"Ray cluster at {two_nodes.client}: 2 nodes, 2 cores, 0 GPUs; 2 hold the base" in done.stdout
    assert "Extracting features: 22/22 images" in done.stdout
    report = json.loads((tmp_path / "metrics.json").read_text())
    for key in NUMBERS:
        assert_close(report[key], run.report[key])

    ask = ("-m", "covid19", "predict", "-m", model, "--json", "--heatmaps", "maps", data)
    here = run_command(*ask, cwd=tmp_path)
    maps = heat_maps(tmp_path / "maps")
    there = run_command(*ask, "--cluster", "auto", cwd=tmp_path, RAY_ADDRESS=two_nodes.address)
    assert (there.returncode, there.stderr) == (0, "")
    answers = [json.loads(done.stdout)["answers"] for done in (there, here)]
    for answer in (*answers[0], *answers[1]):
        del answer["novelty_percentile"]  # it moves in steps of one image, however small the difference
    assert_close(*answers)
    found = heat_maps(tmp_path / "maps")
    assert found.keys() == maps.keys()
    for name, pixels in maps.items():
        np.testing.assert_allclose(found[name], pixels, atol=2)  # grey levels


def heat_maps(folder):
    """The pictures in a folder, as whole numbers that can be subtracted, by name."""
    return {path.name: cv2.imread(str(path)).astype(int) for path in folder.iterdir()}


@pytest.mark.slow
def test_an_image_that_ends_its_worker_costs_itself_not_the_job(phantoms, tmp_path):
    data = tmp_path / "data"
    write_sample(data, count=6, size=96, seed=1)
    (data / "covid" / "poison.png").write_bytes(b"anything")
    (data / "covid" / "empty.png").touch()
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(POISON)
    paths = os.pathsep.join((str(tmp_path / "hook"), os.environ.get("PYTHONPATH", ""), str(PROJECT)))
    flags = ("--weights", "random", "-e", "2", "--folds", "0", "--augmentations", "0", "--no-cache", "--cluster", "local")
    (tmp_path / "run").mkdir()
    done = run_command("-m", "covid19", "train", "-d", data, *flags, cwd=tmp_path / "run", PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    assert "warning: skipped 'covid/empty.png': the file is empty" in done.stderr
    assert "warning: skipped 'covid/poison.png': each worker of the cluster that read it died" in done.stderr
    report = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert report["dataset"]["counts"] == {"covid": 6, "normal": 6}


class Divide(Task):
    """Divides 1 by each item."""

    def set_up(self, resources):
        pass

    def run(self, items):
        yield from enumerate([1 / item for item in items])


def test_what_a_task_raises_costs_the_one_item_and_is_told():
    assert run_each(Divide(), [1, 0, 4]) == [1, Failed("ZeroDivisionError: division by zero"), 0.25]


def test_a_file_that_only_a_node_cannot_read_ends_the_run(phantoms, tmp_path):
    shared = SharedFiles(RayExecutor(Pool(1, 1, 0), 1, 60.0), read_picture)
    shared.check(tmp_path / "nowhere.png", "cannot be opened: No such file or directory")  # nor can this machine
    with pytest.raises(InputError, match=r"a node of the cluster cannot read .* which can be read here; expected every node"):
        shared.check(read_records(phantoms)[0].path, "cannot be opened: No such file or directory")


def test_mixed_precision_is_taken_where_it_changes_little(phantoms):
    base = build_base(get_weights("random"))
    arrays = base_arrays(base)
    items = [portable(View(record)) for record in read_records(phantoms)[:2]]

    def choose(arrays):
        ((_, chosen),) = LocalExecutor().map(PrecisionTask(base_of(arrays, False)), [items])
        return chosen

    assert choose(arrays) == "mixed_float16"
    (batch,) = load_batches([View(record) for record in read_records(phantoms)[:2]], read_picture)
    full, mixed = (forward(build(arrays, False, name), batch.as_floats()) for name in ("float32", "mixed_float16"))
    difference = np.linalg.norm(mixed - full, axis=1) / np.linalg.norm(full, axis=1)
    assert (difference > 0).all()
    assert (difference < 1e-2).all()
    assert choose([array * 3 if array.ndim == 4 else array for array in arrays]) == "float32"  # beyond 65504, the largest half


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--cluster", "ray://127.0.0.1:1"), "--cluster ray://127.0.0.1:1 does not answer"),
        (("--cluster", "there"), "argument --cluster: received 'there', expected auto, local or ray://host:port"),
        (("--cluster", "ray://"), "argument --cluster: received 'ray://', expected auto, local or ray://host:port"),
    ],
)
def test_a_cluster_that_cannot_be_had_is_one_line_at_once(phantoms, tmp_path, flags, message):
    begin = time.monotonic()
    done = run_command("-m", "covid19", "train", "-d", phantoms, "--weights", "random", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - begin < 30


def test_without_ray_the_flag_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    match = r"--cluster needs Ray, .* pip install 'covid19-xray\[cluster\]'"
    with pytest.raises(InputError, match=match), open_cluster("local", 60.0):
        pass
