"""The page and its API: what is answered, what is kept, what is refused; once in a real browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import PROJECT, read_records, write_image
from corpus import png_header
from gradio_client import Client, handle_file

import covid19
from covid19.answers import Answer
from covid19.cli import main
from covid19.reply import Reply
from covid19.worker import Worker

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Server:
    """`covid19 serve` on a free port, with a temporary folder of its own."""

    def __init__(self, model: Path, folder: Path) -> None:
        command = [sys.executable, "-m", "covid19", "serve", "-m", str(model), "--port", "0"]
        environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(PROJECT)}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.greeting = self.process.stdout.readline()
        self.url = re.search(r"http://127.0.0.1:\d+", self.greeting)[0]
        self.folder = folder

    def kept(self) -> set[str]:
        """Names of all files with something in them that the server keeps."""
        return {path.name for path in self.folder.rglob("*") if path.is_file() and path.stat().st_size}

    def stop(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        said = self.process.communicate(timeout=30)[1]
        return self.process.returncode, said


@pytest.fixture(scope="module")
def server(run, tmp_path_factory):
    started = Server(run.settings.model, tmp_path_factory.mktemp("server"))
    yield started
    code, said = started.stop(signal.SIGTERM)
    assert code == 143
    assert said == "error: terminated; outputs that were not finished are as they were\n"
    assert not list(started.folder.glob("covid19-*"))


@pytest.fixture(scope="module")
def images(run):
    return [record.path for record in read_records(run.settings.dataset)]


def ask(server, *paths):
    client = Client(server.url, verbose=False)
    return client.predict([handle_file(str(path)) for path in paths], api_name="/predict")


def test_the_documented_example_gives_what_predict_gives(server, run, images, capsys):
    page = (PROJECT / "README.md").read_text()
    example = re.search(r"```python\n(from gradio_client.*?)```", page, re.DOTALL)[1]
    example = example.replace("http://127.0.0.1:7860", server.url).replace("xray.png", str(images[0]))
    exec(example, {})
    label, share, notice = capsys.readouterr().out.splitlines()[-3:]
    assert main(["predict", "-m", str(run.settings.model), str(images[0]), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["answers"][0]
    assert label == answer["label"]
    assert float(share) == pytest.approx(answer["probabilities"]["covid"], abs=1e-5)
    assert notice == covid19.NOTICE


def test_several_files_are_answered_in_their_order_with_what_is_known_of_the_model(server, run, images, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    said = ask(server, images[0], tmp_path / "bad.png", images[1])
    assert [answer["file"] for answer in said["answers"]] == [images[0].name, "bad.png", images[1].name]
    assert [answer["label"] != "" for answer in said["answers"]] == [True, False, True]
    assert said["answers"][1]["problem"].startswith("not an image of a kind that is read")
    assert said["model"]["audit"]["verdict"] == run.report["audit"]["verdict"]


def test_nobody_gets_anothers_answer_and_no_file_is_kept(server, images):
    before = server.kept()
    wanted = [images[position % 4] for position in range(12)]  # the same file from several at the same moment
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda path: ask(server, path)["answers"][0], wanted))
    assert [answer["file"] for answer in answers] == [path.name for path in wanted]
    assert len({(answer["file"], *answer["probabilities"].values()) for answer in answers}) == 4
    assert server.kept() == before


def test_a_header_that_claims_too_much_is_refused_before_it_is_decoded(server, tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(20000, 20000))
    assert "too few bytes for the pixels" in ask(server, tmp_path / "bomb.png")["answers"][0]["problem"]


def post(server, path, content, kind):
    return urllib.request.urlopen(urllib.request.Request(f"{server.url}/{path}", content, {"Content-Type": kind}), timeout=60)


def test_too_large_an_upload_is_refused(server):
    head = b"--x\r\nContent-Disposition: form-data; name=files; filename=a.png\r\n\r\n"
    before = server.kept()
    with pytest.raises(urllib.error.URLError, match=r"413|reset by peer|Broken pipe"):  # it hangs up in the middle
        post(server, "gradio_api/upload", head + bytes(110_000_000) + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")
    assert server.kept() == before


@pytest.mark.parametrize("given", [{"path": "/etc/hostname"}, {"path": "x", "url": "http://127.0.0.1:9/x.png"}])
def test_only_what_was_sent_is_opened(server, given):
    data = json.dumps({"data": [[{**given, "meta": {"_type": "gradio.FileData"}}]]}).encode()
    with post(server, "gradio_api/call/predict", data, "application/json") as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{server.url}/gradio_api/call/predict/{event}", timeout=60) as answer:
        assert answer.read().startswith(b"event: error")


def test_health_and_headers(server):
    with urllib.request.urlopen(f"{server.url}/health", timeout=10) as answer:
        assert json.load(answer) == {"status": "ready"}
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert covid19.NOTICE in server.greeting


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
def test_in_a_browser_a_file_is_dropped_and_answered(server, images, tmp_path):
    from playwright.sync_api import sync_playwright

    (tmp_path / "bad.png").write_text("no image")
    elsewhere = []
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        page.on("request", lambda one: elsewhere.append(one.url) if one.url.startswith("http") else None)
        page.goto(server.url)
        drop = page.locator("input[type=file]")
        drop.set_input_files(images[0])
        page.wait_for_selector(".c19-label")
        assert page.locator(".c19-label").inner_text() in ("covid", "normal")
        assert page.locator(".c19-about").inner_text().startswith("Model: base with weights 'random'")
        assert page.locator(".c19-notice").inner_text() == covid19.NOTICE
        heat = page.locator(".c19-heat")
        assert heat.evaluate("element => element.complete && element.naturalWidth") == 224
        page.locator("input[type=range]").fill("0")
        assert heat.evaluate("element => getComputedStyle(element).opacity") == "0"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.reload()
        drop.set_input_files(tmp_path / "bad.png")
        page.wait_for_selector(".c19-flag")
        assert page.locator(".c19-flag").inner_text().startswith("Cannot be read: not an image of a kind that is read")
        page.reload()
        drop.set_input_files([images[0], tmp_path / "bad.png"])
        with page.expect_download() as started:
            page.locator(".c19-download").click()
        assert [line.split(",")[0] for line in started.value.path().read_text().splitlines()] == [
            "file",
            images[0].name,
            "bad.png",
        ]
        page.reload()
        page.locator(".thumbnail-item").last.click()
        page.wait_for_selector(".c19-label, .c19-flag")
        assert page.locator(".c19-file").inner_text() == "normal-0003.png"
        browser.close()
    assert {url for url in elsewhere if not url.startswith(server.url)} == set()


def test_names_are_text_in_the_page():
    from covid19.web import _renderer

    about = {"cross_validation": None, "audit": None, "base": "random", "notice": covid19.NOTICE}
    html = _renderer(["<i>a", "b"], about)([Reply(Answer("<script>.png", "", {}, None, "<b>"), b"", b"")])
    assert "<script>" not in html
    assert "&lt;script&gt;.png" in html


def test_a_file_that_ends_the_worker_costs_only_itself(run, images):
    worker = Worker(run.settings.model)
    try:
        assert worker.wait()[0] == ["covid", "normal"]
        worker._process.kill()
        assert worker.ask(images[0]).answer.problem == "it cannot be decoded"
        reply = worker.ask(images[0])
        assert reply.answer.label in ("covid", "normal")
        picture = cv2.imdecode(np.frombuffer(reply.picture, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.shape == cv2.imread(str(images[0])).shape
        assert cv2.imdecode(np.frombuffer(reply.heat, np.uint8), cv2.IMREAD_UNCHANGED).shape == (224, 224, 4)
    finally:
        worker.close()


def test_what_cannot_be_served_is_said_in_one_line(server, run, tmp_path, capsys, monkeypatch):
    port = server.url.rpartition(":")[2]
    assert main(["serve", "-m", str(run.settings.model), "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in capsys.readouterr().err
    assert main(["serve", "-m", str(tmp_path / "none"), "--port", "0"]) == 2
    assert "is no file" in capsys.readouterr().err
    write_image(tmp_path / "x.png", np.zeros((9, 9), np.uint8))
    assert main(["serve", "-m", str(tmp_path / "x.png"), "--port", "0"]) == 2
    assert "is neither a Keras archive nor HDF5" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["serve", "-m", str(run.settings.model), "--port", "0"]) == 2
    assert "pip install 'covid19[serve]'" in capsys.readouterr().err
