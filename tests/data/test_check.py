"""Looking a data set over without training."""

import json
import shutil

import cv2
import numpy as np
import pytest
from helpers.images import write_image
from helpers.paths import SHARED
from sklearn.datasets import load_sample_images

from covid19.check import check
from covid19.cli.main import main
from covid19.data.build.phantoms import draw_phantom
from covid19.data.check import guess_by_source
from covid19.data.check_findings import ProbeFinding, SourceGuess, describe
from covid19.data.columns import Entry
from covid19.data.dataset import ImageStats, Record
from covid19.data.gathering import gather
from covid19.data.images import colourfulness
from covid19.data.reader import Filter
from covid19.features.cache import open_caches


def phantom(seed, size=256):
    return draw_phantom(np.random.default_rng(seed), np.random.default_rng(seed), size, sick=False)


def data_of(root, sizes=(3, 3)):
    for label, count in zip(("covid", "normal"), sizes, strict=True):
        for number in range(count):
            write_image(root / label / f"{label}{number}.png", phantom(number + 100 * (label == "normal")))
    return root


def findings_of(root, **wanted):
    with open_caches(cache=False, cache_dir=None, cache_size=10**9) as caches:
        return check(gather(root), Filter(**wanted), caches)


def records_of(*rows):
    """Records of (label, source, group)."""
    stats = ImageStats(300, 300, "0", 50.0, 0.0)
    return [
        Record(None, str(number), label, str(number), str(group), "none", "", Entry(source=source), stats, group)
        for number, (label, source, group) in enumerate(rows)
    ]


def test_a_sound_data_set_passes_and_the_table_shows_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["check", str(data_of(tmp_path / "data"))]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "PASS with 4 warnings: no problem was found."
    row = next(line for line in said.splitlines() if line.startswith("images"))
    assert row.split() == ["images", "3", "3"]
    assert "warning: 6 of 6 images have no known patient: each counts as a patient of its own" in said
    assert "warning: fewer than 20 patients of class 'covid' (3) and 'normal' (3): little can be concluded" in said


def test_json_holds_the_counts_and_every_odd_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = data_of(tmp_path / "data")
    shutil.copyfile(root / "covid/covid0.png", root / "covid/copy.png")
    cv2.imwrite(str(root / "covid" / "resaved.jpg"), phantom(1), [cv2.IMWRITE_JPEG_QUALITY, 60])
    (root / "covid" / "broken.png").write_bytes(b"\x89PNG")
    write_image(root / "covid" / "lateral.png", phantom(50))
    write_image(root / "normal" / "small.png", phantom(60, 100))
    write_image(root / "normal" / "black.png", np.zeros((300, 300), np.uint8))
    write_image(root / "normal" / "photograph.png", load_sample_images().images[0])
    (root / "metadata.csv").write_text("filename,view,license\nlateral.png,L,\ncovid0.png,PA,CC BY\n")
    assert main(["check", str(root), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    covid, normal = findings["classes"]["covid"], findings["classes"]["normal"]
    expected = {"files": 7, "unreadable": 1, "other projection": 1, "images": 5, "exact duplicates": 2, "near duplicates": 2,
                "projection unknown": 4, "licence stated": 1, "small": 0}  # fmt: skip
    assert {name: covid[name] for name in expected} == expected
    assert (normal["images"], normal["small"], normal["flat"], normal["colourful"]) == (6, 1, 1, 1)
    assert {file["path"]: file["why"] for file in findings["files"]}.keys() == {
        "covid/broken.png", "covid/lateral.png", "normal/small.png", "normal/black.png", "normal/photograph.png",
    }  # fmt: skip
    assert findings["sound"]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda root: shutil.copyfile(root / "covid/covid0.png", root / "normal/x.png"), "the same image under two classes"),
        (lambda root: [(root / f"covid/covid{n}.png").write_text("") for n in (0, 1)], "class 'covid' has 1 usable images"),
        (
            lambda root: (root / "metadata.csv").write_text(
                "filename,patientid\n" + "".join(f"covid{n},7\n" for n in range(2))
            ),
            "all images of class 'covid' are of one patient",
        ),
        (
            lambda root: (root / "metadata.csv").write_text(
                "filename,source\n"
                + "".join(f"{label}{n},{label}-archive\n" for label in ("covid", "normal") for n in range(8))
            ),
            "the source alone tells the class with accuracy 1.000",
        ),
    ],
)
def test_what_would_make_a_run_unsound_gives_exit_code_1(tmp_path, capsys, monkeypatch, spoil, problem):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    count = 8 if "source" in problem else 2 if "patient" in problem else 3
    root = data_of(tmp_path / "data", sizes=(count, count))
    spoil(root)
    assert main(["check", str(root)]) == 1
    said = capsys.readouterr().out
    assert f"problem: {problem}" in said or problem in said
    assert said.splitlines()[0] == "FAIL: not ready for training. Mend the problems below."


def test_of_many_problems_of_a_kind_twenty_are_named_and_the_rest_counted(tmp_path):
    for number in range(23):
        for label in ("covid", "normal"):
            write_image(tmp_path / label / f"{number:02d}.png", np.full((30, 30), number, np.uint8))
    findings = findings_of(tmp_path)
    conflicts = [text for text in findings.problems if "two classes" in text]
    assert conflicts[0] == "'covid/00.png' and 'normal/00.png' are the same image under two classes"
    assert conflicts[20:] == ["... and 3 more images under two classes"]
    assert len(findings.files) == len({file.path for file in findings.files}) == 46
    assert sum(line.startswith("  covid/") for line in describe(findings).splitlines()) == 20


@pytest.mark.parametrize(
    ("age", "expected"),
    [("9" * 400, None), ("1e400", None), ("nan", None), ("-3", None), ("17", True), ("18", False), ("", None), ("0.5", True)],
)
def test_an_age_that_no_patient_has_is_unknown(tmp_path, age, expected):
    root = data_of(tmp_path / "data", sizes=(2, 2))
    (root / "metadata.csv").write_text(f"filename,age\ncovid0.png,{age}\n")
    counts = findings_of(root).classes["covid"]
    assert (counts["of children"], counts["of adults"]) == (int(expected is True), int(expected is False))


def test_a_folder_that_is_no_data_set_is_bad_input(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none")]) == 2
    assert "does not exist; expected a folder" in capsys.readouterr().err


def test_two_archives_one_for_each_class_give_the_class_away():
    # COVIDx 8B's test set: 200 positives of one archive, 200 negatives of another
    guess = guess_by_source(records_of(*(("covid" if n < 200 else "normal", "a" if n < 200 else "b", n) for n in range(400))))
    assert guess.accuracy == 1
    assert 0.5 < guess.chance < 0.55
    assert guess.p_value < 0.002
    assert guess.images == 400


def test_controls_of_the_same_collection_are_not_advised_where_they_are_used(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = data_of(tmp_path / "data", sizes=(8, 8))
    rows = [f"{label}{n},{label}-journal,archive\n" for label in ("covid", "normal") for n in range(8)]
    (root / "metadata.csv").write_text("filename,source,collection\n" + "".join(rows))
    assert main(["check", str(root)]) == 1
    output = capsys.readouterr().out
    assert "the source alone tells the class with accuracy 1.000" in output
    assert "leave out the sources that have images of one class alone" in output
    assert "covid19 prepare" not in output


def test_sources_of_one_patient_each_are_right_by_themselves_and_chance_says_so():
    guess = guess_by_source(records_of(*(("covid" if n < 6 else "normal", f"case {n}", n) for n in range(12))))
    assert guess == SourceGuess(accuracy=1.0, chance=1.0, p_value=1.0, images=12)


def test_the_guess_by_hand():
    # source a: 3 covid, 1 normal; source b: 1 covid, 3 normal: 6 of 8 are right
    rows = [("covid", "a"), ("covid", "a"), ("covid", "a"), ("normal", "a"), ("covid", "b"), *[("normal", "b")] * 3]
    guess = guess_by_source(records_of(*((*row, n) for n, row in enumerate(rows))))
    assert guess.accuracy == 0.75
    assert guess_by_source(records_of(("covid", "a", 0), ("covid", "b", 1))) is None
    assert guess_by_source(records_of(("covid", "a", 0), ("normal", "a", 1))) is None


def test_children_on_one_side_alone_are_a_problem(tmp_path):
    for number in range(3):
        write_image(tmp_path / "covid" / f"c{number}.png", phantom(number))
        write_image(tmp_path / "normal" / f"person{number}_virus_{number}.jpeg", phantom(10 + number))
    (tmp_path / "metadata.csv").write_text("filename,age\n" + "".join(f"c{number}.png,5{number}\n" for number in range(3)))
    findings = findings_of(tmp_path)
    assert any("class 'normal' is of children and class 'covid' is not" in text for text in findings.problems)
    assert findings.classes["covid"]["of adults"] == 3
    assert findings.classes["normal"]["of children"] == 3
    assert findings.sources.table == {"kaggle chest-xray-pneumonia": {"covid": 0, "normal": 3}}


def test_colour_is_a_varying_hue_not_an_even_tint():
    grey = np.repeat(phantom(1)[..., None], 3, axis=2)
    assert colourfulness(grey) == 0
    assert colourfulness(np.clip(grey.astype(int) // 2 + (40, 0, 0), 0, 255).astype(np.uint8)) == 0
    assert min(colourfulness(photograph) for photograph in load_sample_images().images) > 20


@pytest.mark.skipif(not (SHARED / "ieee8023").is_dir(), reason="the real images are not here")
def test_the_real_50_images_are_children_against_adults_told_by_their_source():
    findings = findings_of(SHARED / "seed50", metadata=SHARED / "ieee8023" / "metadata.csv")
    assert not findings.sound
    assert "the source alone tells the class with accuracy 1.000" in findings.problems[0]
    assert any("class 'normal' is of children" in text for text in findings.problems)
    assert findings.classes["covid"]["patients"] == 12
    assert findings.metadata["matched"] == 24
    assert not any(findings.classes[label]["colourful"] for label in ("covid", "normal"))


@pytest.mark.skipif(not (SHARED / "seed50").is_dir(), reason="the real images are not here")
def test_the_real_50_images_fail_without_any_table():
    findings = findings_of(SHARED / "seed50")
    assert findings.status.startswith("FAIL: ")
    assert any(text.startswith("by border ring alone the classes are told apart") for text in findings.problems)


def test_what_sees_no_lung_and_tells_the_class_is_a_problem_and_a_hint_a_warning(tmp_path):
    for label in ("covid", "normal"):
        for number in range(12):
            pixels = phantom(number + 100 * (label == "normal"))
            if label == "covid":
                pixels[:12] = 255
            write_image(tmp_path / label / f"{label}{number}.png", pixels)
    findings = findings_of(tmp_path)
    (probe,) = (probe for probe in findings.probes if probe.name == "border ring")
    assert probe.tells_class
    assert f"by border ring alone the classes are told apart with an AUC of {probe.auc:.2f}" in " ".join(findings.problems)
    hint = ProbeFinding("border ring", 0.75, 0.01)
    assert (hint.is_significant, hint.tells_class) == (True, False)
    assert not ProbeFinding("border ring", 0.95, 0.2).tells_class


def test_images_without_lungs_are_counted_and_named(tmp_path):
    root = data_of(tmp_path / "data")
    write_image(root / "covid" / "noise.png", np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8))
    findings = findings_of(root)
    assert findings.classes["covid"]["not like a frontal chest X-ray"] == 1
    assert findings.classes["normal"]["not like a frontal chest X-ray"] == 0
    assert "1 image(s) are not like a frontal chest X-ray: no lungs were found" in findings.warnings
    (note,) = findings.files
    assert note.path == "covid/noise.png"
    assert note.why.startswith("not like a frontal chest X-ray: ")


def test_the_positive_class_may_be_named_as_for_a_run(tmp_path, capsys):
    root, table = data_of(tmp_path / "data"), tmp_path / "labels.csv"
    rows = [f"covid{number}.png,Mass|Effusion" for number in range(3)] + [f"normal{number}.png,Normal" for number in range(3)]
    table.write_text("\n".join(["image,label", *rows]))

    def said(positive):
        main(["check", str(root), "--labels", str(table), "--no-cache", "--positive", positive])
        printed = capsys.readouterr()
        return printed.out + printed.err

    assert "Mass  Normal" in said("mass")
    assert "gives one class, 'Normal'" in said("Nodule")
    assert main(["check", str(root), "--no-cache", "--positive", "normal"]) == 0
    assert "the positive class is 'normal'" in capsys.readouterr().out
