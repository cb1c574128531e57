"""Outputs: together or not at all, never over an input, readable for the right people."""

import json
import os
import socket
import stat
from pathlib import Path

import numpy as np
import pytest
from helpers.images import write_image
from helpers.runs import settings_in, train

from covid19.cli.main import main
from covid19.core import outputs
from covid19.core.errors import InputError
from covid19.core.outputs import OutputTransaction, atomic_write, check_outputs, json_text
from covid19.core.settings import OutputSettings
from covid19.data.dataset import inputs_in


def write_all(folder, names, text="new"):
    with OutputTransaction() as transaction:
        for name in names:
            transaction.draft(folder / name).write_text(text)


def contents(folder):
    """What lies in a folder, hidden files included."""
    return {path.name: str(path.readlink()) if path.is_symlink() else path.read_text() for path in folder.iterdir()}


@pytest.fixture
def earlier(tmp_path):
    """Outputs of an earlier run: two files and a link; the fourth was never written."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a").write_text("old a")
    (folder / "b").write_text("old b")
    (folder / "e").write_text("old e")
    (folder / "c").symlink_to("e")
    return folder


NAMES = ("a", "b", "c", "d")


def test_all_outputs_appear_at_the_end_and_nothing_else_is_left(earlier):
    with OutputTransaction() as transaction:
        before = contents_of_visible(earlier)
        for name in NAMES:
            transaction.draft(earlier / name).write_text("new")
        assert contents_of_visible(earlier) == before
    assert contents(earlier) == dict.fromkeys((*NAMES, "e"), "new") | {"c": "e"}  # the link stays


def contents_of_visible(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("a bug")])
@pytest.mark.parametrize("written", range(5))
def test_an_error_between_two_drafts_leaves_all_outputs_as_they_were(earlier, error, written):
    before = contents(earlier)
    with pytest.raises(type(error)), OutputTransaction() as transaction:
        for name in NAMES[:written]:
            transaction.draft(earlier / name).write_text("new")
        raise error
    assert contents(earlier) == before


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("failing", NAMES)
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("links", [True, False])
def test_an_error_between_two_moves_puts_back_what_was_moved(earlier, monkeypatch, failing, error, after, links):
    before, replace, done = contents(earlier), Path.replace, []

    def fail_once(path, target):
        if target == (earlier / failing).resolve() and not done:
            done.append(target)
            if after:
                replace(path, target)
            raise error
        return replace(path, target)

    if not links:
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, "no hard links here")))
    monkeypatch.setattr(Path, "replace", fail_once)
    with pytest.raises(type(error)):
        write_all(earlier, NAMES)
    assert contents(earlier) == before


def test_a_folder_is_an_output_too_and_goes_with_the_others(tmp_path, monkeypatch):
    with atomic_write(tmp_path / "saved", private=True) as draft:
        (draft / "deep").mkdir(parents=True)
        (draft / "deep" / "x").write_text("x")
    assert (tmp_path / "saved/deep/x").read_text() == "x"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "saved", *tmp_path.rglob("*"))}
    assert modes == {"saved": 0o700, "deep": 0o700, "x": 0o600}
    with pytest.raises(OSError, match="disk"), OutputTransaction() as transaction:  # the error is in the block
        transaction.draft(tmp_path / "other").mkdir()
        raise OSError("disk")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.mark.parametrize(
    ("private", "existing", "expected"),
    [(True, None, 0o600), (False, None, 0o640), (True, 0o644, 0o644), (True, 0o400, 0o400), (False, 0o600, 0o600)],
)
def test_who_may_read_an_output(tmp_path, private, existing, expected):
    path = tmp_path / "x"
    if existing is not None:
        path.touch(existing)
        path.chmod(existing)
    mask = os.umask(0o027)
    try:
        with atomic_write(path, private) as draft:
            draft.write_text("x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == expected


def test_a_run_writes_all_outputs_or_none_and_those_with_patients_for_the_user_alone(run, tmp_path, monkeypatch):
    written = {path.name: stat.S_IMODE(path.stat().st_mode) for path in run.settings.output.files()}
    mask = os.umask(0)
    os.umask(mask)
    assert written == {
        "covid19.model": 0o600, "metrics.json": 0o600, "metrics.html": 0o600, "plot.png": 0o666 & ~mask,
    }  # fmt: skip
    for name in written:
        (tmp_path / name).write_text("old")
    moved = []
    replace = Path.replace

    def full(path, target):
        moved.append(target)
        if len(moved) == 4:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    settings = settings_in(tmp_path, run.dataset, epochs=1, augmentations=0, folds=0)
    monkeypatch.setattr("covid19.model.save.Path.replace", replace)
    monkeypatch.setattr(outputs.Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        train(settings)
    assert contents(tmp_path) == dict.fromkeys(written, "old")


@pytest.fixture
def data(tmp_path):
    """A data set with a table, a model and weights beside it, and links to some of them."""
    root = tmp_path / "data"
    for label in ("covid", "normal"):
        for number in range(2):
            write_image(root / label / f"{number}.png", np.full((30, 30), 10 * number + len(label), np.uint8))
    (root / "metadata.csv").write_text("filename,view\n0.png,PA\n")
    for name in ("weights.h5", "earlier.model", "table.csv"):
        (tmp_path / name).write_text(name)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "0_mask.png").write_text("x")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features.sqlite").write_text("x")
    (tmp_path / "cache" / "scans.sqlite").write_text("x")
    (tmp_path / "symbolic").symlink_to(root / "covid" / "0.png")
    (tmp_path / "hard").hardlink_to(root / "covid" / "1.png")
    (tmp_path / "linked").symlink_to(root)
    (tmp_path / "else.png").write_text("x")
    (root / "normal" / "link.png").symlink_to(tmp_path / "else.png")
    (tmp_path / "far").mkdir()
    write_image(tmp_path / "far" / "y.png", np.zeros((9, 9), np.uint8))
    (root / "third").symlink_to(tmp_path / "far")
    return tmp_path


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "flags",
    [
        ("-p", "data/covid/0.png"), ("-m", "data/covid/../normal/1.png"), ("-r", "data/metadata.csv"), ("-p", "symbolic"),
        ("-p", "hard"), ("-m", "linked/covid/0.png"), ("-p", "else.png"), ("-r", "far/y.png"), ("-m", "weights.h5"),
        ("-m", "earlier.model"), ("-r", "table.csv"), ("-m", "cache/features.sqlite"),
        ("-m", "cache/scans.sqlite"),
    ],
)  # fmt: skip
def test_a_training_run_refuses_an_output_that_is_an_input(data, monkeypatch, capsys, flags):
    monkeypatch.chdir(data)
    before = everything(data)
    given = (
        "-d",
        "data",
        "--weights",
        "weights.h5",
        "--from",
        "earlier.model",
        "--metadata",
        "table.csv",
        "--cache-dir",
        "cache",
    )
    assert main(["train", *given, *flags]) == 2
    assert "it is an input of this run" in capsys.readouterr().err
    assert everything(data) == before


def test_a_run_that_was_started_in_its_data_set_may_write_over_its_earlier_outputs(data, monkeypatch):
    monkeypatch.chdir(data / "data")
    for name in ("covid19.model", "plot.png", "metrics.json"):
        Path(name).write_text("earlier")
    check_outputs(OutputSettings().files(), inputs_in(Path()))
    with pytest.raises(InputError, match="it is an input of this run"):
        check_outputs([Path("metadata.csv")], inputs_in(Path()))


@pytest.mark.parametrize(
    "command",
    [
        ("audit", "-d", "data", "-r", "data/covid/0.png"),
        ("audit", "-d", "data", "-r", "a.json", "--lung-masks", "masks", "-r", "masks/0_mask.png"),
        ("evaluate", "-m", "earlier.model", "-d", "data", "-r", "earlier.model"),
        ("evaluate", "-m", "earlier.model", "-d", "data", "-r", "symbolic"),
        ("evaluate", "-m", "earlier.model", "-d", "data", "--metadata", "table.csv", "-r", "table.csv"),
        ("export", "-m", "earlier.model", "--format", "onnx", "-o", "earlier.model"),
        ("export", "-m", "earlier.model", "--format", "litert", "-o", "far/../earlier.model"),
    ],
)
def test_every_command_refuses_an_output_that_is_an_input(data, monkeypatch, capsys, command):
    monkeypatch.chdir(data)
    before = everything(data)
    assert main(list(command)) == 2
    assert "it is an input of this run" in capsys.readouterr().err
    assert everything(data) == before


@pytest.mark.parametrize("name", ["new", "old", "before", "draft", "x" * 255, ".hidden", "\udcff\n", "a b.\u00e9"])
def test_an_output_may_have_any_name(tmp_path, name):
    for text in ("first", "second"):
        with atomic_write(tmp_path / name) as draft:
            draft.write_text(text)
        assert contents(tmp_path) == {name: text}


def test_an_input_that_is_a_circle_of_links_is_left_to_whoever_reads_it(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "out").touch()
    check_outputs([tmp_path / "out"], [tmp_path / "circle"])
    with pytest.raises(InputError, match="Too many levels of symbolic links"):
        check_outputs([tmp_path / "circle"])


def test_an_address_of_this_machine_is_an_input_like_its_path(data, capsys):
    before = everything(data)
    for prefix in ("file://", "local://"):
        assert main(["train", "-d", f"{prefix}{data}/data", "-p", str(data / "data/covid/0.png")]) == 2
        assert "it is an input of this run" in capsys.readouterr().err
    assert everything(data) == before


def test_a_new_file_among_the_images_is_refused_since_the_next_run_would_read_it(data):
    with pytest.raises(
        InputError, match=r"cannot write '.*new\.png': the run reads the folder '.*covid'; expected a path outside"
    ):
        check_outputs([data / "data" / "covid" / "new.png"], inputs_in(data / "data"))


def test_new_files_beside_the_class_folders_and_files_outside_are_no_inputs(data):
    check_outputs([data / "data" / "new.png", data / "masks" / "0_mask.png"], [*inputs_in(data / "data"), data / "missing"])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("socket", "it is a disk or a socket"),
        ("x" * 300, "File name too long"),
        ("file/x", "Not a directory"),
        (".", "it is a folder"),
        ("", "it is a folder"),
    ],
)
def test_what_cannot_become_a_file_is_refused_before_the_work(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as own:
        own.bind("socket")
    Path("file").touch()
    with pytest.raises(InputError, match=message):
        check_outputs([Path(path)])


def test_a_device_and_a_pipe_are_written_through_and_stay_what_they_are(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    check_outputs([Path("/dev/null"), pipe, link, tmp_path / "file"])
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with OutputTransaction() as transaction:
        for target in (Path("/dev/null"), pipe, link, tmp_path / "file"):
            transaction.draft(target).write_text("new")
    assert os.read(reader, 100) == b"new"
    os.close(reader)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe"]


def test_an_error_while_a_device_is_written_leaves_the_files_as_they_were(earlier):
    before = contents(earlier)
    with pytest.raises(OSError, match="No space left"), OutputTransaction() as transaction:
        transaction.draft(earlier / "a").write_text("new")
        transaction.draft(Path("/dev/full")).write_text("new")
    assert contents(earlier) == before


def test_a_link_to_a_new_file_and_to_another_folder_is_followed(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far/new")
    check_outputs([tmp_path / "link"])
    with atomic_write(tmp_path / "link") as draft:
        draft.write_text("new")
    assert (tmp_path / "far" / "new").read_text() == "new"
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["new"]


def test_a_report_for_a_device_has_no_page_beside_it(tmp_path):
    assert OutputSettings(report=Path("/dev/null")).page is None
    assert OutputSettings(report=tmp_path / "a.json").page == tmp_path / "a.html"


def test_json_is_ascii_reads_back_and_has_no_word_for_nan():
    value = {"Zoë \udcff \x1b\x9b\x7f": [1.5, None, "\u2028"]}
    text = json_text(value)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"x": float("nan")})


def test_names_that_are_no_text_pass_through_a_whole_run(tmp_path, call_command):
    root = tmp_path / os.fsdecode(b"data\xff\x1b")
    generator = np.random.default_rng(0)
    odd = os.fsdecode(b"Zo\xeb \x1b[31m.png")
    for label in ("covid", "normal"):
        for number in range(3):
            path = write_image(tmp_path / "x.png", generator.integers(0, 256, (30, 30), np.uint8))
            (root / label).mkdir(parents=True, exist_ok=True)
            path.rename(root / label / f"{number}{odd}")
        (root / label / "bad\n.png").touch()
    flags = ("--weights", "random", "-e", "1", "--augmentations", "0", "--repeats", "1", "--no-cache", "-d", root)
    done = call_command("train", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    report = json.loads((tmp_path / "metrics.json").read_bytes().decode())
    assert report["dataset"]["root"] == str(root)
    assert all((root / name).is_file() for name in report["split"]["train"])
    assert (tmp_path / "metrics.html").read_bytes().decode().rstrip().endswith("</html>")
    done = call_command("predict", "-m", "covid19.model", root, "--json", "--heatmaps", "maps", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    answers = json.loads(done.stdout)["answers"]
    assert {answer["file"] for answer in answers} == {str(path) for path in root.rglob("*.png")}
    with_label = sum(bool(answer["label"]) for answer in answers)
    assert len(list((tmp_path / "maps").iterdir())) == with_label > 0
