"""Where the base's weights come from. No test here reaches beyond this machine."""

import contextlib
import hashlib
import http.server
import socket
import threading
import zlib
from dataclasses import replace

import h5py
import numpy as np
import pytest
from helpers.paths import SHARED

from covid19.core.errors import InputError
from covid19.features.backbone import weights as module
from covid19.features.backbone.description import BACKBONE
from covid19.features.backbone.weights import FILE_NAME, get_weights, untrained_arrays, weights_of


@pytest.fixture
def server(official, tmp_path, monkeypatch):
    """Serve the official file's folder from loopback, as the place where the ImageNet weights are had."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(official.parent))

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{serving.server_port}/{FILE_NAME}")
        monkeypatch.setattr(module, "MD5", hashlib.md5(official.read_bytes()).hexdigest())
        monkeypatch.setattr(module, "IMAGENET_DIGEST", get_weights(str(official)).digest)
        yield serving
        serving.shutdown()


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No cached file, and an address where nobody listens."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{port}/{FILE_NAME}")
    return tmp_path / "keras" / "models" / FILE_NAME


def test_the_shapes_are_those_of_vgg16():
    assert BACKBONE.kernel_shapes[0] == (3, 3, 3, 64)
    assert BACKBONE.kernel_shapes[-1] == (3, 3, 512, 512)
    assert (
        sum(int(np.prod(shape)) + shape[3] for shape in BACKBONE.kernel_shapes) == 14_714_688
    )  # as keras.applications documents


def test_untrained_weights_are_he_normal_and_always_the_same():
    first, second = get_weights("random"), get_weights("random")
    assert first.digest == second.digest
    assert first.origin == "random"
    kernel, bias = first.arrays[4], first.arrays[5]  # block2_conv1: 3x3x64 inputs
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.01)
    assert kernel.mean() == pytest.approx(0, abs=1e-3)
    assert not bias.any()


def test_a_file_in_the_official_layout_is_read_and_named(official):
    weights = get_weights(str(official))
    assert weights.origin == f"file {FILE_NAME}"
    assert weights.title == f"weights of file {FILE_NAME}"
    assert weights.trained
    assert np.array_equal(weights.arrays[0], 2 * untrained_arrays()[0])
    assert weights.digest != get_weights("random").digest


def test_imagenet_is_downloaded_once_and_kept_where_keras_keeps_it(server, tmp_path):
    assert get_weights("auto").origin == "imagenet"
    assert (tmp_path / "keras" / "models" / FILE_NAME).is_file()
    server.shutdown()
    assert get_weights("imagenet").warning is None  # from the cache


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, tmp_path):
    cached = tmp_path / "keras" / "models" / FILE_NAME
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a file")
    assert get_weights("imagenet").origin == "imagenet"
    assert cached.stat().st_size > 50_000_000


def test_a_download_with_the_wrong_checksum_is_refused_and_not_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MD5", "0" * 32)
    with pytest.raises(InputError, match=r"checksum is wrong.*put it at"):
        get_weights("imagenet")
    assert not list((tmp_path / "keras" / "models").iterdir())


def test_without_a_network_strict_imagenet_fails_with_the_remedy(offline):
    with pytest.raises(InputError, match=f"no ImageNet weights .*refused.*put it at '{offline}'"):
        get_weights("imagenet")


def test_without_a_network_auto_is_untrained_and_says_so(offline, capsys):
    weights = get_weights("auto")
    assert weights.digest == get_weights("random").digest
    assert weights.title == "untrained, random weights"
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert "the base is UNTRAINED" in warning
    assert FILE_NAME in warning
    assert weights.warning in warning


def test_a_server_that_never_answers_is_given_up(offline, monkeypatch):
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{silent.getsockname()[1]}/x.h5")
        with pytest.raises(InputError, match="no ImageNet weights"):
            get_weights("imagenet")


def test_a_server_that_drips_is_given_up_and_nothing_is_kept(offline, monkeypatch):
    class Dripping(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "60000000")
            self.end_headers()
            with contextlib.suppress(OSError):  # that the client has gone
                while not done.wait(0.02):
                    self.wfile.write(b"x")

        def log_message(self, *arguments):
            pass

    done = threading.Event()
    monkeypatch.setattr(module, "STALL_TIMEOUT_S", 0.2)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{serving.server_port}/{FILE_NAME}")
        with pytest.raises(InputError, match=r"the server sent only \d+ bytes in 0\.2 s"):
            get_weights("imagenet")
        done.set()
        serving.shutdown()
    assert not list(offline.parent.iterdir())


def test_a_name_server_that_never_answers_is_given_up(offline, monkeypatch):
    done = threading.Event()

    def look_up(*arguments, **named):
        done.wait(30)
        raise OSError("no name server")

    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(InputError, match=r"no answer within 0\.2 s"):
        get_weights("imagenet")
    done.set()


def _truncate(path):
    path.write_bytes(path.read_bytes()[:1_000_000])


def _drop_layer(path):
    with h5py.File(path, "a") as file:
        del file["block5_conv3"]


def _reshape_layer(path):
    with h5py.File(path, "a") as file:
        del file["block1_conv1"]["block1_conv1_W_1:0"]
        file["block1_conv1"]["block1_conv1_W_1:0"] = np.zeros((3, 3, 1, 64), np.float32)


def _no_hdf5(path):
    path.write_text("<html>Not found</html>")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_truncate, "truncated"),
        (_drop_layer, "block5_conv3"),
        (_reshape_layer, r"block1_conv1 has shapes \[\(3, 3, 1, 64\), \(64,\)\]"),
        (_no_hdf5, "it is no HDF5 file of the version that Keras writes"),
    ],
)
def test_a_wrong_or_truncated_file_is_refused_by_name(official, tmp_path, spoil, reason):
    path = tmp_path / "mine.h5"
    path.write_bytes(official.read_bytes())
    spoil(path)
    with pytest.raises(InputError, match=rf"mine\.h5' cannot be used \(.*{reason}.*expected a whole file in the official"):
        get_weights(str(path))


def write_layout(path, arrays, **storage):
    """Write arrays in the layout of the official file."""
    with h5py.File(path, "w") as file:
        for layer, kernel, bias in zip(BACKBONE.convolutions, arrays[::2], arrays[1::2], strict=True):
            for name, array in (("kernel", kernel), ("bias", bias)):
                file.create_dataset(f"{layer}/{name}", data=array, chunks=array.shape if storage else None, **storage)
    return path


@pytest.mark.parametrize("name", ["imagenet", "random", "auto", "ImageNet weights"])
def test_a_files_name_says_nothing_of_its_origin(official, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(official.read_bytes())
    weights = get_weights(f"./{name}")
    assert (weights.origin, weights.title) == (f"file {name}", f"weights of file {name}")
    assert weights.trained


def test_the_untrained_draw_and_the_official_arrays_are_known_under_any_name(official, tmp_path, monkeypatch):
    drawn = get_weights(str(write_layout(tmp_path / "imagenet", untrained_arrays())))
    assert drawn == replace(get_weights("random"), arrays=drawn.arrays)
    assert not drawn.trained
    monkeypatch.setattr(module, "IMAGENET_DIGEST", get_weights(str(official)).digest)
    assert get_weights(str(official)).origin == "imagenet"


def test_a_draw_that_another_c_library_rounds_otherwise_is_known_on_its_own_machine(monkeypatch):
    monkeypatch.setattr(module, "UNTRAINED_DIGEST", "0" * 64)
    assert weights_of(untrained_arrays(), "x").origin == "random"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the official weights")
def test_the_official_file_is_known_by_its_arrays():
    weights = get_weights(str(SHARED / "vgg16" / FILE_NAME))
    assert (weights.origin, weights.digest) == ("imagenet", module.IMAGENET_DIGEST)


def test_a_file_name_that_a_terminal_would_obey_is_escaped(official, tmp_path):
    path = tmp_path / "a\x1b[31m\nb.h5"
    path.write_bytes(official.read_bytes())
    assert get_weights(str(path)).origin == "file a\\x1b[31m\\nb.h5"


@pytest.fixture(scope="module")
def drawn():
    """The untrained arrays, not to be changed."""
    return tuple(untrained_arrays())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "a weight is not finite"),
        (-np.inf, "a weight is not finite"),
        (3e38, "its weights are so large that the base could give infinity"),
        (-1e31, "its weights are so large that the base could give infinity"),
        (1e300, "a weight is not finite"),
    ],
)
@pytest.mark.parametrize("number", [0, 12, 25])
def test_weights_that_could_give_infinity_are_refused(tmp_path, drawn, value, reason, number):
    arrays = list(drawn)
    arrays[number] = arrays[number].astype(np.float64)
    arrays[number].flat[7] = value
    with pytest.raises(InputError, match=rf"mine\.h5' cannot be used \({reason}\); expected a whole file"):
        get_weights(str(write_layout(tmp_path / "mine.h5", arrays)))


def test_a_file_packed_by_h5repack_is_read_and_a_packed_bomb_is_not(tmp_path):
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    path = write_layout(tmp_path / "mine.h5", [np.zeros_like(array) for array in untrained_arrays()], **packed)
    assert not any(array.any() for array in get_weights(str(path)).arrays)
    with h5py.File(path, "a") as file:
        file["block1_conv1/bias"].id.write_direct_chunk((0,), zlib.compress(bytes(50_000_000), 9))
    with pytest.raises(InputError, match="a chunk of 'block1_conv1/bias' does not unpack to its size"):
        get_weights(str(path))


def test_an_index_that_refers_to_itself_is_refused_before_hdf5_follows_it(official, tmp_path):
    content = bytearray(official.read_bytes())
    node = content.index(b"TREE")
    content[node + 16 : node + 24] = node.to_bytes(8, "little")  # its right neighbour
    (tmp_path / "mine.h5").write_bytes(content)
    with pytest.raises(InputError, match="it has an index of more than one node"):
        get_weights(str(tmp_path / "mine.h5"))


def test_a_missing_file_is_refused_by_name():
    with pytest.raises(InputError, match=r"--weights 'imagnet' is no file; expected auto, imagenet, random or a file"):
        get_weights("imagnet")
