"""A model file is not trusted: nothing in it runs, nothing is followed to elsewhere, nothing is larger than it should be."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

import covid19
from covid19.errors import InputError
from covid19.hdf5 import check_hdf5
from covid19.loading import load_familiar, unpack


def rewrite(source, target, changes):
    """Copy an archive with some members changed: to bytes, by a function, or left out with None; others are added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            change = changes.get(name, old.read)
            if change is not None:
                content = change if isinstance(change, bytes) else change(old.read(name) if name in changes else name)
                new.writestr(name, content, zipfile.ZIP_DEFLATED if name in changes else None, 1)
        for name in changes.keys() - set(old.namelist()):
            new.writestr(name, changes[name])
    return target


def weights_with(change):
    """A function that changes the HDF5 file of the weights."""

    def rewritten(content):
        stream = io.BytesIO(content)
        with h5py.File(stream, "a") as file:
            change(file)
        return stream.getvalue()

    return rewritten


def replaced(name, value):
    def change(file):
        shape = file[name].shape
        del file[name]
        file[name] = np.full(shape, value, np.float32)

    return weights_with(change)


def without(name):
    return weights_with(lambda file: file.__delitem__(name))


def pickled():
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    return stream.getvalue()


def claiming(shape):
    """A NumPy file whose header claims a shape and that holds nothing."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f2", "fortran_order": False, "shape": shape})
    return stream.getvalue()


KERNEL = "layers/dense/vars/0"
BASE = "layers/functional/layers/conv2d/vars/0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"../outside.txt": b"x"}, r"it holds '../outside.txt', which this program does not write so"),
        ({"model.weights.h5": lambda content: bytes(70_000_000)}, "'model.weights.h5' would take more than"),
        ({"model.weights.h5": lambda content: b"no HDF5"}, "is damaged or was tampered with"),
        ({"model.weights.h5": without(KERNEL)}, "is damaged or was tampered with"),
        ({"model.weights.h5": replaced(KERNEL, np.nan)}, "a weight is not finite"),
        ({"model.weights.h5": replaced(BASE, 0.5)}, "its base has other weights than it says"),
        ({"covid19.json": b"[" * 100_000}, "is damaged or was tampered with"),
        ({"covid19.json": b"{}"}, "it does not say that this program wrote it"),
        ({"covid19.json": None}, "has no 'covid19.json' inside"),
    ],
    ids=["slip", "bomb", "no HDF5", "layer missing", "not finite", "other base", "nested", "other program", "no information"],
)
def test_an_archive_that_was_tampered_with_is_refused(run, tmp_path, changes, message):
    path = rewrite(run.settings.model, tmp_path / "bad.model", changes)
    with pytest.raises(InputError, match=rf"bad\.model' .*{message}.*; expected a file that 'covid19 train' wrote"):
        covid19.load_model(path)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.model"]


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("features", pickled()),
        ("features", claiming((10**9, 512))),
        ("features", claiming((2, 512))),
        ("groups", claiming((10**12,))),
        ("groups", b""),
    ],
)
def test_what_the_training_images_look_like_is_checked_too(run, tmp_path, member, content):
    path = rewrite(run.settings.model, tmp_path / "bad.model", {f"familiar/{member}.npy": content})
    with pytest.raises(InputError, match=r"bad\.model' is damaged or was tampered with"):
        load_familiar(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", ["covid"]),
        ("classes", ["covid", "covid"]),
        ("classes", ["covid", "a\x1b[31m"]),
        ("classes", "ab"),
        ("classes", ["covid", 1]),
        ("positive", "flu"),
        ("positive", ["covid"]),
        ("base", {"name": "VGG16"}),
        ("base", None),
        ("threshold", 2),
        ("threshold", "0.5"),
        ("threshold", float("nan")),
        ("cross_validation", {"accuracy": 1}),
        ("cross_validation", []),
        ("audit", {"verdict": "none-found"}),
        ("audit", {"verdict": "none-found", "words": "two\nlines"}),
        ("trained_on", [1]),
        ("versions", "all"),
    ],
)
def test_information_that_this_program_does_not_write_is_refused(run, tmp_path, key, value):
    with zipfile.ZipFile(run.settings.model) as archive:
        info = json.loads(archive.read("covid19.json"))
    path = rewrite(run.settings.model, tmp_path / "bad.model", {"covid19.json": json.dumps(info | {key: value}).encode()})
    (tmp_path / "unpacked").mkdir()
    with pytest.raises(InputError, match=f"its '{key}' is not what this program writes"):
        unpack(path, tmp_path / "unpacked")


def test_code_in_a_file_does_not_run(run, tmp_path):
    evil = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: 2 * x)])
    path = rewrite(run.settings.model, tmp_path / "evil.model", {"config.json": evil.to_json().encode()})
    loaded, _ = covid19.load_model(path)
    assert [layer.name for layer in loaded.layers][-1] == "probabilities"
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in loaded.layers)


def test_a_model_of_another_program_is_refused_by_name(tmp_path):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    for name in ("other.keras", "other.h5"):
        other.save(tmp_path / name)
        with pytest.raises(
            InputError, match=rf"{name}' has no 'covid19.json' inside; expected a file that 'covid19 train' wrote"
        ):
            covid19.load_model(tmp_path / name)


def external_link(file):
    file["x"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["x"] = h5py.SoftLink("/somewhere")


def external_storage(file):
    file.create_dataset("x", (4,), np.uint8, external=[("/etc/passwd", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("x", layout)


def sparse(file):
    file.create_dataset("x", (10**6, 10**6), np.float32, chunks=(1000, 1000))


def objects(file):
    file.create_dataset("x", (4,), h5py.string_dtype())


def text(file):
    file["x"] = "of variable length"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (external_link, "'x' is a link to elsewhere"),
        (soft_link, "'x' is a link to elsewhere"),
        (external_storage, "the values of 'x' lie outside of the file"),
        (virtual, "the values of 'x' lie outside of the file"),
        (sparse, "its arrays take more than the 1 MB expected"),
        (objects, "'x' holds no numbers"),
        (text, "'x' holds no numbers"),
    ],
)
def test_an_hdf5_file_that_reaches_out_or_claims_too_much_is_refused(tmp_path, spoil, message):
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w") as file:
        file["good"] = np.ones(4)
        spoil(file)
    with h5py.File(path, "r") as file, pytest.raises(ValueError, match=message):
        check_hdf5(file, 1_000_000)


def test_two_names_for_one_array_are_no_harm_and_good_files_pass(tmp_path):
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file["a/b"] = np.ones(10)
        file["c"] = file["a"]
        check_hdf5(file, 80)


def test_a_model_in_hdf5_with_a_link_is_refused(run, tmp_path):
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w") as file:
        file["covid19.json"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(InputError, match=r"'covid19.json' is a link to elsewhere"):
        covid19.load_model(path)
    with pytest.raises(InputError, match=r"'covid19.json' is a link to elsewhere"):
        load_familiar(path)
