"""`covid19 audit --predictions`: the audit of a model of which only scores are known."""

import csv
import json
import stat

import cv2
import jsonschema
import numpy as np
import pytest
from helpers.commands import run_command
from helpers.folds import question
from helpers.images import write_image
from helpers.paths import PROJECT

from covid19.audit import probes
from covid19.audit.probes import probe_of_scores, ridge_scores
from covid19.data.build.phantoms import write_sample

COUNT = 20  # of each class


def edged(root):
    """Phantoms whose covid class has a bright edge."""
    write_sample(root, COUNT, 96, 3)
    for path in (root / "covid").glob("*.png"):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        image[:, :6] = 255
        write_image(path, image)
    return root


def write_scores(path, names, shift, columns="image,score", extra=lambda _: ""):
    """Scores that rank the classes as well as a shift in standard deviations makes them."""
    generator = np.random.default_rng(1)
    rows = [f"{name},{shift * ('covid/' in name) + generator.normal():.4f}{extra(name)}" for name in names]
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def names_in(root, pattern="*/*.png"):
    return sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))


def validate(path):
    schema = json.loads((PROJECT / "covid19/report/schema/audit.schema.json").read_text())
    report = json.loads(path.read_text())
    jsonschema.Draft202012Validator(schema).validate(report)
    return report


def test_a_shortcut_that_explains_the_scores_is_found_written_and_flagged(tmp_path, call_command):
    data = edged(tmp_path / "data")
    write_scores(tmp_path / "s.csv", names_in(data), 2)
    done = call_command("audit", "-d", data, "--predictions", "s.csv", "--fail-on", "explained", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "SHORTCUT: " in done.stdout
    assert "train on pictures of the lungs alone" in done.stdout
    assert "Not tested: the model on pictures with lungs hidden or lungs and mediastinum hidden" in done.stdout
    report, page = validate(tmp_path / "audit.json"), (tmp_path / "audit.html").read_text()
    assert report["audit"]["verdict"] == "explained"
    assert (report["predictions"]["images"], report["predictions"]["folds_given"]) == (2 * COUNT, False)
    assert "Not tested: the model on pictures" in page
    assert "SHORTCUT" in page
    assert stat.S_IMODE((tmp_path / "audit.html").stat().st_mode) == 0o600


def test_hidden_lungs_are_written_scored_and_weighed(tmp_path, call_command):
    data = tmp_path / "data"
    write_sample(data, COUNT, 96, 4)
    (data / "covid" / "covid-0001.png").rename(data / "covid" / "covid-0001.PNG")
    grey = cv2.imread(str(data / "normal" / "normal-0001.png"), cv2.IMREAD_GRAYSCALE)
    done = call_command("audit", "-d", data, "--write-hidden", "hidden", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    hidden = tmp_path / "hidden"
    with (hidden / "hidden.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["image"] for row in rows) == sorted(names_in(hidden, "*/*/*.[pP][nN][gG]"))
    assert {row["hidden"] for row in rows} == {"lungs hidden", "lungs and mediastinum hidden"}
    assert len(rows) == 4 * COUNT
    less = cv2.imread(str(hidden / "lungs-hidden/normal/normal-0001.png"), cv2.IMREAD_UNCHANGED)
    least = cv2.imread(str(hidden / "lungs-and-mediastinum-hidden/normal/normal-0001.png"), cv2.IMREAD_UNCHANGED)
    assert less.shape == least.shape == grey.shape
    changed = [np.mean(picture != grey) for picture in (less, least)]
    assert 0.1 < changed[0] < changed[1] < 0.9
    assert (less[:3] == grey[:3]).all()  # what is outside of the lungs stays as it is
    assert stat.S_IMODE(hidden.stat().st_mode) == 0o700

    write_scores(tmp_path / "s.csv", names_in(data, "*/*.[pP][nN][gG]"), 3)
    write_scores(tmp_path / "h.csv", [row["image"] for row in rows], 3)  # as well without the lungs as with them
    done = call_command("audit", "-d", data, "--predictions", "s.csv", "--hidden-predictions", "h.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = validate(tmp_path / "audit.json")
    assert report["audit"]["verdict"] == "explained"
    assert report["audit"]["margin"]["probe"] in ("lungs hidden", "lungs and mediastinum hidden")
    assert not any("pictures" in text for text in report["not_tested"])
    again = call_command("audit", "-d", data, "--write-hidden", "hidden", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists; expected a folder that does not exist yet" in again.stderr


def test_folds_of_the_table_are_used_and_a_patient_in_two_of_them_is_said_loudly(tmp_path, call_command):
    data = tmp_path / "data"
    write_sample(data, COUNT, 96, 5)
    names = names_in(data)[:-1]
    with (data / "metadata.csv").open(newline="") as file:
        patients = {row["filename"]: int(row["patientid"].split("-")[1]) for row in csv.DictReader(file)}
    by_patient = write_scores(
        tmp_path / "p.csv", names, 2, "image,score,fold", lambda name: f",{patients[name.split('/')[1]] % 4}"
    )
    assert call_command("audit", "-d", data, "--predictions", by_patient, "-r", "a.json", cwd=tmp_path).returncode == 0
    given = validate(tmp_path / "a.json")
    assert (given["predictions"]["folds"], given["predictions"]["folds_given"]) == (4, True)
    assert (given["predictions"]["images_shared"], given["predictions"]["images_without_score"]) == (0, 1)
    assert "1 images have no score and were left out." in given["notes"]
    by_image = write_scores(tmp_path / "i.csv", names, 2, "image,score,fold", lambda name: f",{int(name[-6:-4]) % 4}")
    done = call_command("audit", "-d", data, "--predictions", by_image, "-r", "b.json", cwd=tmp_path)
    leaking = validate(tmp_path / "b.json")
    assert (
        "warning: LEAK: 16 of 39 images were held out in folds whose training part has others of their patient" in done.stderr
    )
    assert (leaking["predictions"]["images_shared"], leaking["predictions"]["folds_given"]) == (16, False)
    assert "LEAK: 16 of 39" in (tmp_path / "b.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hidden-predictions", "s.csv"], "--hidden-predictions was given alone"),
        (["--predictions", "s.csv", "--write-hidden", "x"], "--write-hidden was given with --predictions"),
        (["--predictions", "s.csv", "--weights", "random"], "--weights was given with --predictions, which trains nothing"),
        (["--write-hidden", "x", "--epochs", "3"], "--epochs was given with --write-hidden"),
        (["--predictions", "s.csv", "--folds", "0"], "--folds 0 was given with --predictions"),
        (["--predictions", "none.csv"], "table 'none.csv' cannot be read"),
        (["--predictions", "s.csv", "-r", "s.csv"], "it is an input of this run"),
        (["--predictions", "s.csv", "--hidden-predictions", "s.csv"], "names no picture in a folder lungs-hidden"),
        (["--predictions", "s.csv", "--hidden-predictions", "s.csv", "--region", "lungs"], "given with --region lungs"),
        (["--predictions", "s.csv", "--positive", "flu"], "--positive 'flu' is no class"),
        (["--write-hidden", "data/covid/x"], "the run reads the folder"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(tmp_path, call_command, flags, message):
    data = tmp_path / "data"
    write_sample(data, 2, 48, 5)
    write_scores(tmp_path / "s.csv", names_in(data), 2)
    before = sorted(tmp_path.rglob("*"))
    done = call_command("audit", "-d", "data", *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_too_few_patients_and_odd_scores_are_said(tmp_path, call_command):
    data = tmp_path / "data"
    write_sample(data, 4, 48, 5)
    (tmp_path / "s.csv").write_text("image,score\n" + "".join(f"{name},{int('normal' in name)}\n" for name in names_in(data)))
    done = call_command("audit", "-d", data, "--predictions", "s.csv", "--fail-on", "present", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = validate(tmp_path / "audit.json")
    assert report["audit"]["verdict"] == "too-few"
    assert any("two values at most" in note for note in report["notes"])
    assert any("the wrong way round" in note for note in report["notes"])


def test_neither_tensorflow_nor_keras_is_imported(tmp_path):
    data = tmp_path / "data"
    write_sample(data, 4, 48, 5)
    write_scores(tmp_path / "s.csv", names_in(data), 2)
    program = (
        "import sys\n"
        "from covid19.cli.main import main\n"
        "if __name__ == '__main__':\n"
        "    codes = [main(['audit', '-d', 'data', *own]) for own in (['--write-hidden', 'h'], ['--predictions', 's.csv'])]\n"
        "    loaded = {'tensorflow', 'keras', 'jax', 'torch', 'ray'} & {name.partition('.')[0] for name in sys.modules}\n"
        "    sys.exit(f'{codes} {loaded}' if any(codes) or loaded else 0)\n"
    )
    (tmp_path / "program.py").write_text(program)
    done = run_command("program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_scores_of_noise_are_called_significant_as_rarely_as_they_should(monkeypatch):
    monkeypatch.setattr(probes, "PERMUTATIONS", 200)
    significant = []
    for seed in range(200):
        asked = question(25, seed)
        noise = np.random.default_rng(seed).normal(size=(50, 60))
        scores = ridge_scores(noise, asked.positive[:, None].astype(float), asked.divisions)[:, 0]
        significant.append(probe_of_scores("noise", scores, asked).p_value < 0.05)
    assert np.mean(significant) < 0.09  # 0.05 and two standard errors of 200 data sets
    asked = question(25)
    told = asked.positive * 2.0 + np.random.default_rng(0).normal(size=50)
    assert probe_of_scores("told", told, asked).p_value < 0.05 / 4  # also as one of four probes
