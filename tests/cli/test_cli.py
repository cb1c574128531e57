"""The command line as a user meets it."""

import os
import re
import signal
import subprocess
import sys
import time

import cv2
import pytest
from helpers.commands import run_command
from helpers.images import write_noise
from helpers.paths import PROJECT

import covid19
from covid19.cli.main import main, main_train
from covid19.cli.registry import COMMANDS

SCRIPT = PROJECT / "train_covid19.py"


@pytest.fixture
def data(tmp_path):
    return write_noise(tmp_path / "data", {"covid": 2, "normal": 2})


def one_line(text):
    """The single line of an error: no traceback, no second line."""
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_help_and_usage_errors_import_only_the_standard_library(tmp_path):
    lines = [
        ["--help"],
        ["--version"],
        ["train"],
        ["train", "-d", "x", "--epochs", "0"],
        *([name, "--help"] for name in COMMANDS),
    ]
    program = (
        "import contextlib, io, sys\n"
        "before = {name.partition('.')[0] for name in sys.modules}\n"  # what the environment imports at each start
        "from covid19.cli.main import main\n"
        f"for line in {lines}:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main(line)\n"
        "imported = {name.partition('.')[0] for name in sys.modules} - before\n"
        "sys.exit(' '.join(imported - sys.stdlib_module_names - {'covid19'}) or None)"
    )
    done = run_command("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_command_file_is_registered():
    files = (PROJECT / "covid19" / "cli" / "commands").glob("[!_]*.py")
    assert sorted(COMMANDS) == sorted(file.stem for file in files)


def test_help_names_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        main_train(["--help"])
    assert stop.value.code == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for flag in (
        "-d DIR, --dataset DIR", "-m FILE, --model FILE", "-p FILE, --plot FILE", "-r FILE, --report FILE",
        "--learning-rate RATE", "--learning RATE", "--epochs N", "--epoch N", "--batch-size N", "--batchsize N",
        "--test-size FRACTION", "--seed N", "--augmentations N", "--rotation DEG", "--weights",
        "--positive CLASS", "--from MODEL",
        "--folds N", "--repeats N", "--threshold RULE", "--prevalence FRACTION", "--metadata FILE", "--projection {PA,any}",
        "--no-groups", "--allow-conflicts", "--cache-dir DIR", "--cache-size GB", "--no-cache", "--no-audit",
        "--fail-on {explained,present}",
    ):  # fmt: skip
        assert flag in text
    for default in (
        "covid19.model",
        "plot.png",
        "metrics.json",
        "0.001",
        "25",
        "(default 8)",
        "0.2",
        "42",
        "15.0",
        "auto",
    ):
        assert default in text
    assert covid19.NOTICE in text


def test_the_three_ways_to_call_it_are_one(tmp_path):
    for entry in ([SCRIPT], ["-m", "covid19", "train"]):
        done = run_command(*entry, "-d", "nowhere", cwd=tmp_path)
        assert done.returncode == 2
        assert one_line(done.stderr) == (
            "error: --dataset 'nowhere' does not exist; expected a folder with one folder of images for each class\n"
        )
    done = run_command("-m", "covid19", "--version", cwd=tmp_path)
    assert done.stdout == f"covid19 {covid19.__version__}\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--epochs 0", "argument -e/--epochs/--epoch: received '0', expected a whole number, 1 to 1000000"),
        ("--epochs ten", "received 'ten', expected a whole number"),
        ("-bs -3", "argument -bs/--batch-size/--batchsize: received '-3', expected a whole number, 1 to 1000000"),
        ("-lr 0", "argument -lr/--learning-rate/--learning: received '0', expected a number above 0"),
        ("-lr nan", "received 'nan', expected a number above 0"),
        ("-lr inf", "received 'inf', expected a number above 0"),
        ("--test-size 1", "argument --test-size: received '1', expected a fraction between 0 and 1"),
        ("--test-size 20%", "received '20%', expected a fraction"),
        ("--seed -1", "argument --seed: received '-1', expected a whole number, 0 to 4294967294"),
        ("--augmentations -1", "argument --augmentations/--views: received '-1', expected a whole number, 0 to 1000"),
        ("--rotation 181", "argument --rotation: received '181', expected degrees from 0 to 180"),
        ("--rotation -1", "received '-1', expected degrees"),
        ("--folds 1", "argument --folds: received '1', expected 0 or a whole number, 2 to 1000"),
        ("--folds -1", "argument --folds: received '-1', expected a whole number"),
        ("--repeats 0", "argument --repeats: received '0', expected a whole number, 1 to 1000"),
        ("--threshold half", "argument --threshold: received 'half', expected argmax, youden, sens=0.95 or spec=0.95"),
        ("--threshold sens=2", "received '2', expected a fraction between 0 and 1"),
        ("--prevalence 0", "argument --prevalence: received '0', expected a fraction between 0 and 1"),
        *(
            (f"{flag} {number}", f"received '{number[:60]}")
            for flag in (
                "-e",
                "-bs",
                "-lr",
                "--test-size",
                "--seed",
                "--augmentations",
                "--rotation",
                "--folds",
                "--repeats",
                "--prevalence",
                "--cache-size",
                "--threshold",
            )
            for number in ("9" * 400, "-" + "9" * 400, "9" * 5000, "1e999", "3-", "0x10", "\u00b2")
        ),
        ("--nonsense", "unrecognized arguments: --nonsense"),
        ("--epo 3", "unrecognized arguments: --epo 3"),
    ],
)
def test_a_bad_flag_is_answered_in_one_line(flags, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main_train(["-d", "data", *flags.split()])
    assert stop.value.code == 2
    assert message in one_line(capsys.readouterr().err)


def test_a_missing_dataset_flag_is_answered_in_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert stop.value.code == 2
    assert one_line(capsys.readouterr().err).startswith(
        "covid19 train: error: the following arguments are required: -d/--dataset (see covid19 train --help)"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-m", "missing/covid19.model"], "cannot write 'missing/covid19.model': No such file or directory"),
        (["-p", "data"], "cannot write 'data': it is a folder"),
        (["-r", "covid19.model"], "two outputs are the same file"),
        (["--positive", "tb"], "--positive 'tb' is no class; expected one of: covid, normal"),
        (["--from", "no.model"], "--from 'no.model' is no file"),
        (["--weights", "no.h5"], "--weights 'no.h5' is no file"),
    ],
)
def test_a_path_that_cannot_be_used_is_found_before_training(data, flags, message, monkeypatch, capsys):
    monkeypatch.chdir(data.parent)
    assert main_train(["-d", "data", *flags]) == 2
    captured = capsys.readouterr()
    assert message in one_line(captured.err)
    assert "Extracting" not in captured.out
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_an_output_folder_that_cannot_be_written_is_found_before_training(data, monkeypatch, capsys):
    assert main_train(["-d", str(data), "-m", "/proc/covid19.model"]) == 2
    assert "cannot write '/proc/covid19.model'" in one_line(capsys.readouterr().err)


def test_a_disk_that_fails_is_a_failure_not_bad_input(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("covid19.train.train", lambda settings: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert main_train(["-d", str(data)]) == 1
    assert "failed: [Errno 28] No space left on device" in one_line(capsys.readouterr().err)


def test_a_missing_package_is_answered_with_the_command_that_installs_it(data, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "covid19.train", None)
    assert main_train(["-d", str(data)]) == 1
    assert "pip install -r requirements.txt" in one_line(capsys.readouterr().err)


def test_an_interrupt_is_answered_in_one_line_and_130(data, tmp_path):
    command = [sys.executable, SCRIPT, "-d", data, "--weights", "random", "--augmentations", "200"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("Reading")
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted" in one_line(errors)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_failure_and_no_file_takes_their_place(tmp_path, closed):
    command = f"{sys.executable} -m covid19 sample drawn --count 1 --size 64 {closed}"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert cv2.imread(str(tmp_path / "drawn/covid/covid-0001.png")) is not None


@pytest.mark.parametrize(("stream", "code"), [(">", 1), ("2>", 2)])
def test_a_full_standard_stream_is_no_traceback(tmp_path, stream, code):
    folder = "drawn" if stream == ">" else "/proc"  # the second is refused, and nobody can be told
    command = f"{sys.executable} -m covid19 sample {folder} --count 1 --size 64 {stream} /dev/full"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    advice = "; outputs are as they were: make room, or write to another disk"
    assert done.stderr == (f"error: failed: [Errno 28] No space left on device{advice}\n" if code == 1 else "")


@pytest.mark.slow
def test_a_user_without_a_home_folder_gets_a_passing_one_and_is_told(tmp_path):
    data = write_noise(tmp_path / "data", {"covid": 4, "normal": 4})
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pwd\n"
        "def nobody(*_):\n    raise KeyError('uid not found')\n"
        "pwd.getpwuid = pwd.getpwnam = nobody\n"
        "for name in ('HOME', 'XDG_CACHE_HOME', 'KERAS_HOME', 'MPLCONFIGDIR'):\n    os.environ.pop(name, None)\n"
    )
    flags = ("--weights", "random", "-e", "1", "--folds", "0", "--augmentations", "0")
    done = run_command(
        "-m", "covid19", "train", "-d", data, *flags, cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{PROJECT}", TMPDIR=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert one_line(done.stderr).startswith("warning: this user has no home folder")
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {
        "data", "sitecustomize.py", "covid19.model", "metrics.json", "metrics.html", "plot.png",
    }  # fmt: skip


def test_sample_draws_a_data_set_and_refuses_a_full_folder(tmp_path, capsys):
    assert main(["sample", str(tmp_path / "x"), "--count", "2", "--size", "64"]) == 0
    assert "They are no patients" in capsys.readouterr().out
    assert main(["sample", str(tmp_path / "x")]) == 2
    assert "is not empty" in one_line(capsys.readouterr().err)
