"""A model for other programs says what it says here."""

import json
import sys
import zipfile

import helpers.keras_start  # noqa: F401
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from helpers.images import write_image

import covid19
from covid19.cli.main import main
from covid19.model.export.run import export

PIXELS = np.random.default_rng(0).random((3, 224, 224, 3), np.float32)


@pytest.fixture(scope="module")
def expected(run):
    model, info = covid19.load_model(run.model)
    return model.predict_on_batch(PIXELS), info


def run_export(run, form, path):
    return main(["export", "-m", str(run.model), "--format", form, "-o", str(path)])


def test_onnx_says_the_same_and_carries_the_class_names(run, expected, tmp_path, capfd):
    assert run_export(run, "onnx", tmp_path / "model.onnx") == 0
    assert covid19.NOTICE in capfd.readouterr().out
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    (said,) = session.run(None, {given.name: PIXELS})
    np.testing.assert_allclose(said, expected[0], atol=1e-4)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["classes"]) == ["covid", "normal"]
    assert told["notice"] == covid19.NOTICE
    assert json.loads(told["audit"])["verdict"] == expected[1].audit.verdict


def test_a_saved_model_says_the_same_and_carries_the_class_names(run, expected, tmp_path):
    assert run_export(run, "savedmodel", tmp_path / "saved") == 0
    loaded = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_allclose(np.asarray(loaded.serve(PIXELS)), expected[0], atol=1e-4)
    assert json.loads((tmp_path / "saved/assets.extra/covid19.json").read_text())["classes"] == ["covid", "normal"]


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated.*:UserWarning")
def test_litert_says_the_same_and_carries_the_class_names(run, expected, tmp_path):
    assert run_export(run, "litert", tmp_path / "model.tflite") == 0
    interpreter = tf.lite.Interpreter(str(tmp_path / "model.tflite"))
    given, said = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(given["index"], PIXELS.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], PIXELS)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(said["index"]), expected[0], atol=1e-4)
    with zipfile.ZipFile(tmp_path / "model.tflite") as archive:
        assert json.loads(archive.read("covid19.json"))["classes"] == ["covid", "normal"]


def test_an_exported_folder_is_not_overwritten_and_no_draft_is_left(run, tmp_path, capsys):
    (tmp_path / "saved").mkdir()
    assert run_export(run, "savedmodel", tmp_path / "saved") == 2
    assert "it is a folder, expected a file's path" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_what_is_no_model_and_what_is_missing_are_named(run, tmp_path, capsys, monkeypatch):
    write_image(tmp_path / "x.png", np.zeros((9, 9), np.uint8))
    assert main(["export", "-m", str(tmp_path / "x.png"), "--format", "onnx"]) == 2
    assert "is neither a Keras archive nor HDF5" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    assert run_export(run, "onnx", tmp_path / "model.onnx") == 2
    assert "needs the package 'tf2onnx': pip install 'covid19-xray[onnx]'" in capsys.readouterr().err


def test_without_a_path_the_file_stands_beside_the_model(run, tmp_path):
    model = tmp_path / "my.model"
    model.write_bytes(run.model.read_bytes())
    assert export(model, "litert", None) == tmp_path / "my.tflite"
