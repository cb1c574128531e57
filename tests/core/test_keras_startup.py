"""Keras is started as this program needs it, whatever the user's settings say."""

import sys

import pytest
from helpers.commands import run_command

from covid19.core.errors import InputError
from covid19.core.keras_startup import import_keras

SHOW = (
    "from covid19.core.keras_startup import import_keras; import_keras(); import keras; "
    "print(keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy().name, keras.backend.backend())"
)


@pytest.mark.parametrize(
    "settings", ['{"image_data_format": "channels_first", "floatx": "float16", "backend": "theano"}', '{"floatx": "half"}', "{"]
)
def test_the_users_settings_file_is_neither_asked_nor_changed(tmp_path, settings):
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text(settings)
    done = run_command("-c", SHOW, cwd=tmp_path, HOME=str(home), KERAS_BACKEND="")
    assert done.stdout.split() == ["channels_last", "float32", "float32", "tensorflow"], done.stderr
    assert (home / ".keras" / "keras.json").read_text() == settings


@pytest.mark.parametrize(
    ("backend", "message"),
    [("theano", "KERAS_BACKEND is 'theano'; expected tensorflow"), ("jax", "'jax', and that package is not installed")],
)
def test_a_backend_that_is_not_there_is_named(monkeypatch, backend, message):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=message):
        import_keras()
