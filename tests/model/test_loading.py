"""A model file is not trusted: nothing in it runs, nothing is followed to elsewhere, nothing is larger than it should be."""

import io
import json
import resource
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from dataclasses import replace

import h5py
import helpers.keras_start  # noqa: F401
import keras
import msgspec
import numpy as np
import pytest
from helpers.datasets import read_records
from helpers.paths import PROJECT

import covid19
import covid19.features.backbone.network
import covid19.features.backbone.weights
import covid19.model.head
import covid19.model.load
import covid19.model.save
from covid19.cli.main import main
from covid19.core.errors import InputError
from covid19.core.hdf5 import check_index, list_arrays
from covid19.core.settings import ComputeSettings, DataSettings, LungSettings
from covid19.evaluate import evaluate_model
from covid19.features.backbone.weights import get_weights, preprocessing_arrays
from covid19.inference.predictor import Predictor
from covid19.inference.reading import read_image
from covid19.model.file import read_model
from covid19.model.info import BaseInfo, parse_info


def rewrite(source, target, changes):
    """Copy an archive with some members changed: to bytes, by a function, or left out with None; others are added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            change = changes.get(name, old.read)
            if change is not None:
                content = change if isinstance(change, bytes) else change(old.read(name) if name in changes else name)
                packed = name in changes and name != "model.weights.h5"  # packing 60 MB of weights takes seconds
                new.writestr(name, content, zipfile.ZIP_DEFLATED if packed else None, 1)
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


def with_array(change):
    """A function that changes the array in a NumPy file."""

    def rewritten(content):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, change(np.load(io.BytesIO(content))))
        return stream.getvalue()

    return rewritten


KERNEL = "layers/dense/vars/0"
BASE = "layers/functional/layers/conv2d/vars/0"
MEAN, VARIANCE = "layers/normalization/vars/0", "layers/normalization/vars/1"


def preprocessed(file):
    """Put the preprocessing of trained weights before the untrained base, as Keras would number the layers."""
    layers = file["layers/functional/layers"]
    for number in range(12, -1, -1):
        layers.move(f"conv2d_{number}" if number else "conv2d", f"conv2d_{number + 1}")
    kernel, bias = preprocessing_arrays()
    layers["conv2d/vars/0"], layers["conv2d/vars/1"] = kernel, bias


def added(file):
    file["layers/dense_2/vars/0"] = np.ones(3, np.float32)


def doubled(file):
    values = file[KERNEL][()]
    del file[KERNEL]
    file[KERNEL] = values.astype(np.float64)


def said_of_the_base(**changes):
    """A function that changes what the information says of the base."""

    def rewritten(content):
        info = json.loads(content)
        return json.dumps(info | {"base": info["base"] | changes}).encode()

    return rewritten


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"../outside.txt": b"x"}, r"it holds '../outside.txt', which this program does not write so"),
        ({"model.weights.h5": lambda content: bytes(70_000_000)}, "'model.weights.h5' would take more than the"),
        ({"covid19.json": lambda content: bytes(60_000_000)}, "'covid19.json' would take more than 100 times its bytes"),
        ({"model.weights.h5": lambda content: b"no HDF5"}, "is damaged or was tampered with"),
        ({"model.weights.h5": without(KERNEL)}, f"'{KERNEL}' is missing or too much"),
        ({"model.weights.h5": weights_with(added)}, "'layers/dense_2/vars/0' is missing or too much"),
        ({"model.weights.h5": weights_with(doubled)}, f"'{KERNEL}' is not of float32"),
        ({"model.weights.h5": replaced(KERNEL, np.nan)}, "a weight is not finite"),
        ({"model.weights.h5": replaced(KERNEL, 3e38)}, "its weights are so large that the hidden layer could give infinity"),
        ({"model.weights.h5": replaced(MEAN, -3e38)}, "its weights are so large that the standardisation could give infinity"),
        ({"model.weights.h5": replaced(VARIANCE, -1)}, "a variance of its standardisation is below"),
        ({"model.weights.h5": replaced(VARIANCE, 0)}, "a variance of its standardisation is below"),
        ({"model.weights.h5": replaced(VARIANCE, np.inf)}, "a weight is not finite"),
        ({"model.weights.h5": replaced(BASE, 0.5)}, "its preprocessing is not the one that belongs to its base"),
        ({"model.weights.h5": weights_with(preprocessed)}, "its preprocessing is not the one that belongs to its base"),
        ({"covid19.json": said_of_the_base(digest="0" * 64)}, "its base has other weights than it says"),
        (
            {"covid19.json": said_of_the_base(weights="imagenet")},
            "its base is said to have the weights 'imagenet', and has others",
        ),
        ({"covid19.json": b"{}"}, "Object missing required field `program`"),
        ({"covid19.json": None}, "has no 'covid19.json' inside"),
    ],
)
def test_an_archive_that_was_tampered_with_is_refused(run, tmp_path, changes, message):
    path = rewrite(run.model, tmp_path / "bad.model", changes)
    with pytest.raises(InputError, match=rf"bad\.model' .*{message}.*; expected a file that 'covid19 train' wrote"):
        covid19.load_model(path)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.model"]


@pytest.fixture(scope="module")
def trained_model(run, official, tmp_path_factory):
    """A model on the base of a weights file, and so with preprocessing: the run's head on that."""
    content = read_model(run.model)
    weights = get_weights(str(official))
    base = covid19.features.backbone.network.build_base(weights)
    model = covid19.model.save.assemble(base, covid19.model.head.head_model(covid19.model.load.heads_in(content)))
    path = tmp_path_factory.mktemp("trained") / "trained.model"
    info = replace(content.info, base=BaseInfo(**weights.as_json()))
    covid19.model.save.save_model(path, model, info, content.novelty_detector)
    return path


@pytest.mark.parametrize("number", [0, 1])
def test_a_changed_preprocessing_layer_is_refused_and_poisons_no_store(run, trained_model, tmp_path, number):
    assert read_model(trained_model).weights.trained

    def change(file):
        array = file[f"layers/functional/layers/conv2d/vars/{number}"]
        array[...] = array[()] * np.float32(1.0001)

    path = rewrite(trained_model, tmp_path / "bad.model", {"model.weights.h5": weights_with(change)})
    with pytest.raises(InputError, match="its preprocessing is not the one that belongs to its base"):
        evaluate_model(
            path, tmp_path / "e.json", DataSettings(run.dataset), LungSettings(), ComputeSettings(cache_dir=tmp_path / "cache")
        )
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["imagenet", "random"])
def test_a_models_origin_is_told_by_its_arrays_not_by_its_claim(trained_model, tmp_path, name):
    path = rewrite(trained_model, tmp_path / "bad.model", {"covid19.json": said_of_the_base(weights=name)})
    with pytest.raises(InputError, match=f"its base is said to have the weights '{name}', and has others"):
        read_model(path)
    path = rewrite(
        trained_model, tmp_path / "good.model", {"covid19.json": said_of_the_base(weights="mine.h5")}
    )  # as 0.1.0 did
    assert read_model(path).info.base.weights == "file mine.h5"


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("features", pickled()),
        ("features", claiming((10**9, 512))),
        ("features", claiming((2, 512))),
        ("groups", claiming((10**12,))),
        ("groups", b""),
        ("groups", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535),
        ("appearance", pickled()),
        ("appearance", with_array(lambda array: array[:, 1:])),
        ("appearance", with_array(lambda array: array[1:])),
        ("appearance", with_array(lambda array: array.astype(np.float16))),
        ("appearance", with_array(lambda array: np.where(array == array[0, 0], np.float32(np.nan), array))),
        ("appearance", with_array(lambda array: np.where(array == array[0, 0], np.float32(np.inf), array))),
    ],
)
def test_what_the_training_images_look_like_is_checked_too(run, tmp_path, member, content):
    path = rewrite(run.model, tmp_path / "bad.model", {f"familiar/{member}.npy": content})
    with pytest.raises(InputError, match=r"bad\.model' is damaged or was tampered with"):
        read_model(path)


def test_a_file_of_an_earlier_version_knows_no_appearance_and_answers(run, tmp_path):
    earlier = rewrite(run.model, tmp_path / "earlier.model", {"familiar/appearance.npy": None})
    image = read_image(read_records(run.dataset)[0].path)
    assert set(read_model(run.model).novelty_detector.arrays()) == {"features", "groups", "appearance"}
    assert set(read_model(earlier).novelty_detector.arrays()) == {"features", "groups"}
    now, then = (Predictor(path).ask(["a"], [image])[0].answer for path in (run.model, earlier))
    assert now == then


SHARE = {"value": 0.5, "low": 0.4, "high": 0.6}
NUMBERS = {"folds": 5, "repeats": 2, "grouped_by": [], "accuracy": SHARE, "sensitivity": SHARE, "specificity": SHARE}
NUMBERS |= {"roc_auc": SHARE}
AUDIT = {"verdict": "none-found", "words": "Nothing.", "model_auc": 0.5, "margin": {"probe": "border", **SHARE}}
HUGE = int("9" * 400)


def nested(depth):
    """A list in a list in a list."""
    value = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture(scope="module")
def info(run):
    """The information of a run as JSON values."""
    return json.loads(msgspec.json.encode(read_model(run.model).info))


def test_the_information_of_a_run_passes_and_fields_of_others_are_left_out(info):
    full = info | {"cross_validation": NUMBERS, "audit": AUDIT, "threshold": np.nextafter(1, 2)}
    assert json.loads(msgspec.json.encode(parse_info(json.dumps(full | {"other": 1}, indent=1).encode()))) == full


def test_the_information_of_a_large_training_set_passes(info):
    full = info | {key: [f"{number:064x}" for number in range(300_000)] for key in ("trained_on", "trained_hashes")}
    assert parse_info(json.dumps(full, indent=1).encode()).trained_on == tuple(full["trained_on"])


@pytest.mark.parametrize("key", ["notice", "classes", "positive", "preprocessing", "base", "settings", "versions", "trained_on",
    "trained_hashes", "threshold", "temperature", "cross_validation", "audit"])  # fmt: skip
@pytest.mark.parametrize("value", [..., HUGE, -1, True, [[]], {"a": {}}, "a\x1b[31m", [HUGE], {"value": HUGE}, 1e999])
def test_a_field_that_is_missing_or_of_another_kind_is_refused_by_name(info, key, value):
    changed = {name: said for name, said in info.items() if name != key} | ({} if value is ... else {key: value})
    with pytest.raises(ValueError, match=rf"\W{key}\W|is no number"):
        parse_info(json.dumps(changed).encode())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", ["covid"]),
        ("classes", ["covid", "covid"]),
        ("classes", ["covid", ""]),
        ("classes", ["covid", "a" * 300]),
        ("classes", ["covid", 1]),
        ("positive", "flu"),
        ("positive", ["covid"]),
        ("base", {"name": "VGG16"}),
        ("base", {"name": "VGG19", "weights": "random", "digest": "0" * 64}),
        ("base", {"name": "VGG16", "weights": "random", "digest": "0" * 63}),
        ("base", {"name": "VGG16", "weights": "a\nb", "digest": "0" * 64}),
        ("base", None),
        ("threshold", 2),
        ("threshold", "0.5"),
        ("threshold", float("nan")),
        ("temperature", 0),
        ("temperature", None),
        *[("cross_validation", NUMBERS | {key: HUGE}) for key in NUMBERS],
        *[("cross_validation", {other: NUMBERS[other] for other in NUMBERS if other != key}) for key in NUMBERS],
        ("cross_validation", NUMBERS | {"accuracy": SHARE | {"low": None}}),
        ("cross_validation", NUMBERS | {"accuracy": SHARE | {"low": 1.5}}),
        ("cross_validation", NUMBERS | {"folds": 2.5}),
        *[("audit", {other: AUDIT[other] for other in AUDIT if other != key}) for key in AUDIT],
        ("audit", AUDIT | {"verdict": "fine"}),
        ("audit", AUDIT | {"verdict": []}),
        ("audit", AUDIT | {"words": "two\nlines"}),
        ("audit", AUDIT | {"margin": SHARE}),
        ("audit", AUDIT | {"margin": AUDIT["margin"] | {"value": -HUGE}}),
        ("trained_on", [1]),
        ("trained_on", ["g" * 64]),
        ("trained_hashes", ["ff"]),
        ("trained_hashes", []),
        ("versions", {"keras": "a\x1b[31m"}),
        ("settings", {"a": HUGE}),
        ("settings", {"a": nested(3)}),
        ("settings", {str(number): 0 for number in range(200)}),
    ],
)
def test_information_that_this_program_does_not_write_is_refused(info, key, value):
    with pytest.raises(ValueError, match=rf"not what this program writes: .*(\W{key}\W|is no number|trained_hashes)"):
        parse_info(json.dumps(info | {key: value}).encode())


def test_every_command_refuses_bad_information_in_one_line(run, info, tmp_path, capsys):
    content = json.dumps(info | {"cross_validation": NUMBERS | {"folds": HUGE}}).encode()
    bad, data = rewrite(run.model, tmp_path / "bad.model", {"covid19.json": content}), run.dataset
    for command in (
        ["predict", "-m", bad, data],
        ["evaluate", "-m", bad, "-d", data, "-r", tmp_path / "e.json", "--no-cache"],
        ["export", "-m", bad, "--format", "savedmodel"],
        ["train", "-d", data, "--weights=random", "--no-cache", "--from", bad, "-m", tmp_path / "m", "-r", tmp_path / "r.json",
         "-p", tmp_path / "p.png"],
    ):  # fmt: skip
        assert main(list(map(str, command))) == 2
        reason = "its information is not what this program writes: Expected `int` <= 1000000 - at `$.cross_validation.folds`"
        assert reason in capsys.readouterr().err.splitlines()[-1]


def test_code_in_a_file_does_not_run(run, tmp_path):
    evil = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: 2 * x)])
    path = rewrite(run.model, tmp_path / "evil.model", {"config.json": evil.to_json().encode()})
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


def test_a_model_is_read_once_and_from_bytes_as_from_a_path(run, monkeypatch):
    images = [read_image(record.path) for record in read_records(run.dataset)[:2]]
    content = run.model.read_bytes()
    opened = []
    original = type(run.model).open
    monkeypatch.setattr(type(run.model), "open", lambda path, *mode: opened.append(path) or original(path, *mode))
    one, other = Predictor(run.model), Predictor(content, "mine")
    assert opened == [run.model]
    answers = [[prediction.answer for prediction in predictor.ask(["a", "b"], images)] for predictor in (one, other)]
    assert answers[0][0].label
    assert answers[0] == answers[1]
    with pytest.raises(InputError, match="model 'mine' is damaged"):
        Predictor(content[:-1000], "mine")


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


def named_type(file):
    file["x"] = np.dtype("<f4")


def wide_chunks(file):
    file.create_dataset("x", (10,), np.uint8, maxshape=(None,), chunks=(10**9,))


def many_chunks(file):
    file.create_dataset("x", (100_000,), np.uint8, chunks=(1,))


def lzf(file):
    file.create_dataset("x", data=np.ones(100), compression="lzf")


def checksums(file):
    file.create_dataset("x", data=np.ones(100), fletcher32=True)


def two_gzips(file):
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((100,))
    layout.set_deflate(9)
    layout.set_deflate(9)
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((100,)), layout)


def bomb(file):
    """A chunk of 100 bytes that unpacks to 50 MB."""
    item = file.create_dataset("x", (100,), np.uint8, chunks=(100,), compression="gzip")
    item.id.write_direct_chunk((0,), zlib.compress(bytes(50_000_000), 9))


def deep(file):
    group = file
    for _ in range(5000):
        group = group.create_group("g")


def wide(file):
    for number in range(5000):
        file.create_group(str(number))


def long_name(file):
    file.create_group("n" * 5000)


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
        (named_type, "'x' holds no numbers"),
        (wide_chunks, "'x' has chunks larger than itself"),
        (many_chunks, "'x' has more than 64 chunks"),
        (lzf, "'x' is packed with a filter other than gzip and shuffle"),
        (checksums, "'x' is packed with a filter other than gzip and shuffle"),
        (two_gzips, "'x' is packed with a filter other than gzip and shuffle"),
        (bomb, "a chunk of 'x' does not unpack to its size"),
        (deep, "nested more than 12 deep"),
        (wide, "more than 1000 objects"),
        (long_name, "names that are too long"),
    ],
)
def test_an_hdf5_file_that_reaches_out_or_claims_too_much_is_refused(tmp_path, spoil, message):
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w") as file:
        file["good"] = np.ones(4)
        spoil(file)
    with h5py.File(path, "r") as file, pytest.raises(ValueError, match=message):
        list_arrays(file, 1_000_000)


def test_objects_with_many_names_are_visited_once_and_good_files_pass(tmp_path):
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file["a/b"] = np.ones(10)
        file["a/again"] = file["a"]  # a cycle
        for number in range(100):
            file[f"a/{number}"] = file["/"]
        file.create_dataset("packed", data=np.arange(1000.0), chunks=(100,), compression="gzip", shuffle=True)
        arrays = list_arrays(file, 8080)
        assert sorted(name.rsplit("/")[-1] for name in arrays) == ["b", "packed"]
        assert arrays["packed"][999] == 999


def test_a_model_in_hdf5_with_a_link_is_refused(tmp_path):
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w") as file:
        file["covid19.json"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(InputError, match=r"'covid19.json' is a link to elsewhere"):
        covid19.load_model(path)


def hdf5_with(change):
    """The bytes of an HDF5 file."""
    return weights_with(change)(b"")


def nodes(content):
    """Where the nodes of indexes stand."""
    return [at for at in range(len(content)) if content.startswith(b"TREE", at)]


def child_of_itself():
    """An index of a group whose children are the index itself: HDF5 follows it until the stack is full."""
    content = bytearray(hdf5_with(lambda file: [file.create_group(f"{number}") for number in range(40)]))
    (node,) = [at for at in nodes(content) if content[at + 6] > 1]
    content[node + 5] = 1
    for number in range(content[node + 6]):
        content[node + 32 + 16 * number : node + 40 + 16 * number] = node.to_bytes(8, "little")
    return bytes(content)


def neighbour_of_itself():
    """One whose right neighbour is itself: HDF5 never ends."""
    content = bytearray(hdf5_with(lambda file: file.create_group("a")))
    node = nodes(content)[0]
    content[node + 16 : node + 24] = node.to_bytes(8, "little")
    return bytes(content)


def heap_without_end():
    """A heap whose free block is followed by itself: HDF5 takes all memory."""
    content = bytearray(hdf5_with(lambda file: file.create_group("a")))
    heap = content.index(b"HEAP")
    _, free, start = struct.unpack_from("<QQQ", content, heap + 8)
    content[start + free : start + free + 8] = free.to_bytes(8, "little")
    return bytes(content)


def newer():
    """A file of the form that HDF5 writes if it may use all that it knows."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="latest") as file:
        file["a"] = 1.0
    return stream.getvalue()


def test_good_files_of_many_groups_pass():
    check_index(hdf5_with(lambda file: [file.create_group(f"{number}/inner") for number in range(60)]))


def archive(*members, **settings):
    """A zip archive of names and contents."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **settings) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


def encrypted():
    content = bytearray(archive(("covid19.json", b"{}")))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def overlapping():
    content = bytearray(archive(("metadata.json", b"x" * 50), ("covid19.json", b"y" * 50)))
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = struct.pack("<I", 10)
    return bytes(content)


def lying():
    """A member that claims 2000 bytes and unpacks to 200 MB."""
    content = bytearray(archive(("covid19.json", bytes(200_000_000)), compression=zipfile.ZIP_DEFLATED))
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 2000)
    return bytes(content)


def information(text):
    return archive(("covid19.json", text))


HOSTILE = {
    "members of one name": (lambda: archive(*[("covid19.json", b"")] * 5000), "its list of members is not"),
    "two members of one name": (lambda: archive(*[("covid19.json", b"")] * 2), "which this program does not write so"),
    "LZMA": (lambda: archive(("covid19.json", b"{}"), compression=zipfile.ZIP_LZMA), "packed by another method than deflate"),
    "BZIP2": (lambda: archive(("covid19.json", b"{}"), compression=zipfile.ZIP_BZIP2), "packed by another method than deflate"),
    "encrypted": (encrypted, "'covid19.json' is encrypted"),
    "overlapping": (overlapping, "lies over another member"),
    "lying about its size": (lying, "damaged"),
    "a comment": (lambda: archive(("covid19.json", b"{}"))[:-2] + b"\x05\x00hello", "its list of members is not"),
    "empty lists": (lambda: information(b"[" + b"[]," * 5_000_000 + b"0]"), "more than 1000 lists and objects"),
    "numbers": (lambda: information(b"[" + b"0.5," * 5_000_000 + b"0]"), "more values than this program writes"),
    "depth": (lambda: information(b"[" * 900 + b"]" * 900), "Expected `object`, got `array`"),
    "no ASCII": (lambda: information(("\U0001f600" + " " * 10_000_000).encode()), "not in ASCII"),
    "a long number": (lambda: information(b"9" * 5_000_000), "damaged"),
    "an index below itself": (child_of_itself, "it has an index of more than one node"),
    "an index beside itself": (neighbour_of_itself, "it has an index of more than one node"),
    "a heap without end": (heap_without_end, "its free blocks refer to each other"),
    "newer HDF5": (newer, "it is no HDF5 file of the version that Keras writes"),
    "deep groups": (lambda: hdf5_with(deep), "nested more than 12 deep"),
    "wide groups": (lambda: hdf5_with(wide), "it has an index of more than one node"),
    "wide chunks": (lambda: hdf5_with(wide_chunks), "has chunks larger than itself"),
    "a packed bomb": (lambda: hdf5_with(bomb), "does not unpack to its size"),
}
READER = """
import resource, sys
from pathlib import Path
from covid19.model.file import read_model
virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (virtual + 250_000_000,) * 2)
for path in sys.argv[1:]:
    try:
        read_model(Path(path), "bad")
        print("accepted")
    except Exception as error:
        print(type(error).__name__, error)
assert "keras" not in sys.modules
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS") or sys.platform != "linux", reason="needs Linux to limit memory")
def test_hostile_files_are_refused_in_little_memory(tmp_path):
    paths = []
    for number, (make, _) in enumerate(HOSTILE.values()):
        paths.append(tmp_path / f"{number}.model")
        paths[-1].write_bytes(make())
    command = [sys.executable, "-c", READER, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=PROJECT)
    answers = dict(zip(HOSTILE, done.stdout.splitlines(), strict=True))
    for name, (_, message) in HOSTILE.items():
        assert answers[name].startswith("InputError model 'bad' "), (name, answers[name])
        assert message in answers[name], name
