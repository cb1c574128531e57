"""`--config FILE`, and completion in the shell."""

import json
import os
import subprocess
import sys

import pytest
from helpers.paths import PROJECT

from covid19.api.flags import parsed_flags
from covid19.cli.main import main
from covid19.core.errors import InputError


@pytest.fixture
def given(monkeypatch):
    """What the train command is given for a command line."""
    from covid19.cli.commands import train

    calls = []
    monkeypatch.setattr(train, "run", lambda **flags: calls.append(flags))

    def call(*argv):
        assert main(["train", *map(str, argv)]) == 0
        return calls.pop()

    return call


def write(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_a_file_gives_flags_and_the_command_line_wins(tmp_path, given):
    path = write(
        tmp_path,
        'dataset = "films"\nepochs = 50\nregion = "lungs"\nno-cache = true\nlabels = ["a.csv", "b.csv"]\n'
        "lung-box = [0.1, 0.2, 0.9, 0.8]\nheatmaps = 'only of predict'\n[train]\nepochs = 60\n[audit]\nepochs = 70\n",
    )
    flags = given("--config", path)
    assert (str(flags["dataset"]), flags["epochs"], flags["region"], flags["cache"]) == ("films", 60, "lungs", False)
    assert [str(table) for table in flags["labels"]] == ["a.csv", "b.csv"]
    assert flags["lung_box"] == (0.1, 0.2, 0.9, 0.8)
    flags = given("-d", "others", "--epochs", 3, f"--config={path}", "--labels", "c.csv")
    assert (str(flags["dataset"]), flags["epochs"], flags["region"]) == ("others", 3, "lungs")
    assert [str(table) for table in flags["labels"]] == ["c.csv"]
    assert "config" not in flags
    assert given("-d", "films")["epochs"] == 25  # nothing stays of the file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 0", "epochs: received '0', expected a whole number"),
        ('epochs = "many"', "epochs: received 'many'"),
        ("epochs = [1, 2]", "epochs: received '1,2'"),
        ("epochs = true", "epochs: received 'True'"),
        ('no-cache = "yes"', "no_cache is 'yes'; expected true or false"),
        ('region = "heart"', "region is 'heart'; expected one of: image, lungs"),
        ("nonsense = 1", "'nonsense' is no flag of covid19 train"),
        ("[train]\nheatmaps = 'x'", "'heatmaps' is no flag of covid19 train"),
        ("[nonsense]\nepochs = 1", "has a table 'nonsense'; expected tables of commands"),
        ("config = 'again.toml'", "'config' is no flag"),
        ("epochs =", "cannot be read"),
        ("x = " + "[" * 5000, "cannot be read"),
        ("#" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_what_a_file_may_not_say_is_refused_in_one_line(tmp_path, capsys, text, message):
    path = write(tmp_path, text)
    assert main(["train", "-d", "x", "--config", str(path)]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_file_that_is_not_there_and_a_flag_without_one_are_refused(tmp_path, capsys):
    assert main(["train", "-d", "x", "--config", str(tmp_path / "none.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "-d", "x", "--config"])
    assert "--config: expected one argument" in capsys.readouterr().err


def test_the_settings_in_effect_are_in_the_report(run):
    settings = json.loads(run.settings.output.report.read_text())["settings"]
    assert settings == json.loads(json.dumps(run.settings.as_json()))
    assert (settings["epochs"], settings["region"], settings["folds"]) == (5, "image", 5)


def test_a_list_is_no_value_of_a_flag_that_takes_one():
    assert parsed_flags("train", {"lung_box": (0.1, 0.2, 0.9, 0.8)}, defaults=False) == {"lung_box": (0.1, 0.2, 0.9, 0.8)}
    assert list(parsed_flags("evaluate", {"map": ["other=normal"]}, defaults=False)["class_pairs"]) == ["other=normal"]
    with pytest.raises(InputError, match="region is 'image,lungs'"):
        parsed_flags("train", {"region": ["image", "lungs"]})


@pytest.mark.parametrize(("line", "word"), [("covid19 tra", "train"), ("covid19 train --learn", "--learning-rate")])
def test_the_shell_completes_commands_and_flags(tmp_path, line, word):
    pytest.importorskip("argcomplete")
    output = tmp_path / "words"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": str(output)}
    environment = {**os.environ, **asked, "PYTHONPATH": str(PROJECT), "_ARGCOMPLETE_IFS": "\n"}
    subprocess.run(
        [sys.executable, "-m", "covid19"], env=environment, cwd=tmp_path, check=False, capture_output=True, timeout=100
    )
    assert word in {own.strip() for own in output.read_text().split("\n")}
