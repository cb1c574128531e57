"""The commands as functions of the package."""

import inspect
import json
import stat

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.images import write_image

import covid19
from covid19.core.errors import InputError
from covid19.core.settings import EvaluationSettings, TrainingSettings
from covid19.data.build.phantoms import write_sample

NAMES = {"audit", "check", "evaluate", "load_model", "predict", "train", "write_hidden"}


def records(count=20, side=48):
    """Noise as arrays, of which the covid class has a bright edge."""
    generator = np.random.default_rng(0)
    labels = ["covid", "normal"] * count
    images = [generator.integers(0, 200, (side, side), np.uint8) for _ in labels]
    for image, label in zip(images, labels, strict=True):
        image[:, :6] = 255 if label == "covid" else image[:, :6]
    return {"image": images, "label": labels, "patient": list(range(2 * count))}


def scores_of(labels):
    return np.random.default_rng(1).normal(size=len(labels)) + [label == "covid" for label in labels]


class Frame:
    """Columns as a DataFrame has them."""

    def __init__(self, **columns):
        self._columns, self.columns = columns, list(columns)

    def __getitem__(self, name):
        return self._columns[name]


def test_the_package_shows_its_functions_and_imports_nothing_for_that(tmp_path):
    program = (
        "import sys\n"
        "before = {name.partition('.')[0] for name in sys.modules}\n"
        "import covid19\n"
        f"assert {NAMES} <= set(dir(covid19)), dir(covid19)\n"
        "imported = {name.partition('.')[0] for name in sys.modules} - before\n"
        "sys.exit(' '.join(imported - sys.stdlib_module_names - {'covid19'}) or None)"
    )
    done = run_command("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_script_without_a_guard_audits_arrays(tmp_path):
    (tmp_path / "script.py").write_text(
        "import covid19, numpy as np, sys\n"
        "print('started')\n"
        "images = list(np.random.default_rng(0).integers(0, 256, (24, 32, 32), np.uint8))\n"
        "found = covid19.audit({'image': images, 'label': ['covid', 'normal'] * 12}, predictions=range(24), no_cache=True)\n"
        "print(found.verdict, 'keras' in sys.modules)\n"
    )
    done = run_command("script.py", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["started", "too-few", "False"]), done.stderr


def test_a_model_is_audited_by_the_scores_of_records_and_the_result_is_saved_and_shown(tmp_path):
    data = records()
    found = covid19.audit(data, predictions=scores_of(data["label"]), no_cache=True)
    assert found.verdict == found.report.audit.verdict == found.audit.verdict == "explained"
    assert found.text.startswith("SHORTCUT: ")
    assert found.dataset.patients == 40
    assert "audit" in dir(found)
    assert found._repr_html_().startswith("<iframe sandbox srcdoc=")
    assert "<script" not in found._repr_html_()
    paths = found.save(tmp_path / "new" / "results")
    assert [path.name for path in paths] == ["audit.json", "audit.html"]
    assert json.loads(paths[0].read_text()) == json.loads(json.dumps(found.to_dict()))
    assert stat.S_IMODE(paths[1].stat().st_mode) == 0o600
    for _ in range(2):  # the second time everything is known, and no progress comes before the results
        cached = covid19.audit(data, predictions=scores_of(data["label"]), cache_dir=tmp_path / "cache")
        assert cached.text == found.text.replace(str(found.files["report"].parent), str(cached.files["report"].parent))
    with pytest.raises(AttributeError):
        found.nothing_of_the_kind  # noqa: B018


def test_a_table_of_paths_is_checked_whatever_has_columns(tmp_path):
    data = records(6)
    paths = [
        write_image(tmp_path / "films" / f"{patient % 3}" / f"{patient}.png", image)
        for patient, image in zip(data["patient"], data["image"], strict=True)
    ]
    frame = Frame(Path=paths, Label=data["label"], Subject=[number // 2 for number in data["patient"]])
    findings = covid19.check(frame, no_cache=True)
    assert {label: own["images"] for label, own in findings.to_dict()["classes"].items()} == {"covid": 6, "normal": 6}
    assert findings.patients_by_rule == {"metadata": 12}
    assert "<pre>" in findings._repr_html_()
    pandas = pytest.importorskip("pandas")
    again = covid19.check(pandas.DataFrame({name: frame[name] for name in frame.columns}), no_cache=True)
    assert again.classes == findings.classes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"image": [], "label": []}, "0 images and 0 labels"),
        ({"image": [np.zeros((4, 4), np.uint8)], "label": []}, "1 images and 0 labels"),
        ({"picture": [1], "label": ["a"]}, "the records have the columns picture, label; expected 'image'"),
        ({"image": ["/no/such.png"], "label": ["a"]}, "'/no/such.png', which is no file"),
        ({"image": [np.zeros((4, 4, 2), np.uint8)], "label": ["a"]}, r"shape \(4, 4, 2\) and type uint8; expected"),
        ({"image": [np.zeros((4, 4), np.int64)], "label": ["a"]}, "type int64; expected"),
        ({"image": [None], "label": ["a"]}, "type object; expected"),
    ],
)
def test_records_that_are_none_are_refused_with_what_to_do(data, message):
    with pytest.raises(InputError, match=message):
        covid19.check(data, no_cache=True)


def test_keywords_are_the_flags_and_take_what_these_take(tmp_path):
    signature = inspect.signature(covid19.train)
    assert signature.parameters["epochs"].default == TrainingSettings.epochs
    assert signature.parameters["folds"].default == EvaluationSettings.folds
    data = records(3)
    with pytest.raises(TypeError, match=r"check\(\) got an unexpected keyword argument 'nonsense'"):
        covid19.check(data, nonsense=1)
    with pytest.raises(InputError, match="epochs: received '0', expected a whole number"):
        covid19.train(data, epochs=0)
    with pytest.raises(InputError, match="region is 'heart'; expected one of: image, lungs"):
        covid19.train(data, region="heart")
    with pytest.raises(InputError, match="labels was given with records"):
        covid19.train(data, labels=["x.csv"])
    with pytest.raises(InputError, match="--weights was given with predictions"):
        covid19.audit(data, predictions=range(6), weights="random")
    with pytest.raises(InputError, match=r"scores of shape \(5,\) for 6 records"):
        covid19.audit(data, predictions=range(5))
    with pytest.raises(InputError, match="for a folder; expected"):
        covid19.audit(tmp_path, predictions=range(5))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        covid19.nothing  # noqa: B018


def test_deep_and_coloured_arrays_keep_what_they_show(tmp_path):
    from covid19.api.data import write_records
    from covid19.data.images import decode

    ramp = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    colours = np.stack([np.full((8, 8), value, np.uint8) for value in (10, 20, 30)], axis=2)
    images = [ramp, (4095 * ramp).astype(np.uint16), colours]
    written = write_records({"image": images, "label": ["a", "b", "b"]}, tmp_path)
    grey, deep, coloured = (decode(written.folder / name)[0] for name in written.names)
    assert (grey[0, 0, 0], grey[-1, -1, 0]) == (0, 255)
    assert np.abs(grey.astype(int) - deep).max() <= 1
    np.testing.assert_array_equal(coloured, colours)


def test_a_model_is_trained_saved_evaluated_and_asked(tmp_path, phantoms):
    import helpers.keras_start  # noqa: F401  # seconds that only this test has to pay

    small = {"weights": "random", "epochs": 2, "repeats": 1, "augmentations": 0, "no_cache": True}
    trained = covid19.train(phantoms, **small)
    assert set(trained.files) == {"report", "page", "model", "plot"}
    assert 0 <= trained.test.accuracy.value <= 1
    trained.save(tmp_path / "run")
    model = tmp_path / "run" / "covid19.model"
    assert covid19.load_model(model).info.classes == ("covid", "normal")
    write_sample(tmp_path / "other", 6, 96, 2)
    external = covid19.evaluate(model, tmp_path / "other", no_cache=True)
    assert len(external.predictions) == 12
    assert external.to_dict()["conclusion"] == external.conclusion
    answers = covid19.predict(model, [tmp_path / "other" / "covid"])
    assert len(answers.answers) == 6
    assert answers.save(tmp_path / "answers") == [tmp_path / "answers" / "report.json"]


def test_a_module_of_a_functions_name_stays_a_module():
    from covid19.check import probe_classes
    from covid19.data import check as another

    assert covid19.check.probe_classes is probe_classes
    assert not callable(another)
