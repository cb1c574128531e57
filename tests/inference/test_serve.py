"""The page and its API: what is answered, what is shown, what is kept; once in a real browser."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import httpx
import numpy as np
import pytest
from helpers.compare import assert_close
from helpers.corpus import png_header
from helpers.datasets import read_records
from helpers.images import write_image
from helpers.paths import PROJECT
from helpers.serving import Server, Stub, ask, is_alive, serving, wait_until

import covid19
from covid19.cli.main import main
from covid19.data.images import PICTURE_SIDE_PX
from covid19.inference.reading import read_image
from covid19.inference.server.model_process import ModelProcess


@pytest.fixture(scope="module")
def images(run):
    return [record.path for record in read_records(run.dataset)]


def test_the_documented_example_gives_what_predict_gives(server, run, images, capsys):
    page = (PROJECT / "README.md").read_text()
    example = re.search(r"```python\n(import httpx.*?)```", page, re.DOTALL)[1]
    example = example.replace("http://127.0.0.1:7860", server.url).replace("xray.png", str(images[0]))
    exec(example, {})
    label, share, notice = capsys.readouterr().out.splitlines()[-3:]
    assert main(["predict", "-m", str(run.model), str(images[0]), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["answers"][0]
    assert label == answer["label"]
    assert float(share) == pytest.approx(answer["probabilities"]["covid"], abs=1e-5)
    assert notice == covid19.NOTICE


def test_several_files_are_answered_in_their_order_with_what_is_known_of_the_model(server, run, images, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    said = ask(server.url, images[0], tmp_path / "bad.png", tmp_path / "empty.png", images[1]).json()
    assert [answer["file"] for answer in said["answers"]] == [images[0].name, "bad.png", "empty.png", images[1].name]
    assert [answer["label"] != "" for answer in said["answers"]] == [True, False, False, True]
    assert said["answers"][1]["problem"].startswith("not an image of a kind that is read")
    assert said["answers"][2]["problem"] == "the file is empty"
    assert said["model"]["audit"]["verdict"] == run.report["audit"]["verdict"]
    assert said["answers"][0].keys() == {
        "file",
        "label",
        "probabilities",
        "novelty_percentile",
        "problem",
        "heat_on_lungs",
        "training_image",
    }


def test_pictures_and_the_table_come_when_they_are_asked_for(server, images, tmp_path):
    (tmp_path / "=1+1.png").write_text("no image")
    said = ask(server.url, images[0], tmp_path / "=1+1.png", params={"pictures": "true", "csv": "true"}).json()
    good, bad = said["answers"]
    pictures = []
    for name, kind in (("picture", "jpeg"), ("heat", "png")):
        prefix = f"data:image/{kind};base64,"
        assert good[name].startswith(prefix)
        content = base64.b64decode(good[name].removeprefix(prefix))
        pictures.append(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED))
    assert pictures[0].shape == cv2.imread(str(images[0])).shape
    assert pictures[1].shape == (PICTURE_SIDE_PX, PICTURE_SIDE_PX, 4)
    assert (bad["picture"], bad["heat"]) == ("", "")
    header, first, second = said["csv"].splitlines()
    assert header == (
        "file,verdict,label,probability_covid,probability_normal,novelty_percentile,problem,heat_on_lungs,training_image,"
        "threshold,model,notice"
    )
    assert first.startswith(f"{images[0].name},TOO FEW,{good['label']},")
    assert "1+1.png" in second
    assert ask(server.url, images[0], params={"pictures": "yes"}).status_code == 400


def test_nobody_gets_anothers_answer_and_nothing_is_kept(server, images):
    wanted = [images[position % 4] for position in range(12)]  # the same file from several at the same moment
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda path: ask(server.url, path).json()["answers"][0], wanted))
    assert [answer["file"] for answer in answers] == [path.name for path in wanted]
    first_of = {answer["file"]: answer for answer in reversed(answers)}
    assert len(first_of) == 4
    for answer in answers:
        assert_close(answer, first_of[answer["file"]])
    probabilities = sorted(answer["probabilities"]["covid"] for answer in first_of.values())
    assert min(np.diff(probabilities)) > 1e-3  # so that another's answer would be noticed
    assert server.files() == []


def test_the_same_bytes_under_two_names_are_answered_twice(server, images):
    content = images[0].read_bytes()
    answer = httpx.post(f"{server.url}/api/predict", files=[("files", (name, content)) for name in ("a", "b")], timeout=60)
    first, second = answer.json()["answers"]
    assert (first.pop("file"), second.pop("file")) == ("a", "b")
    assert_close(first, second)  # they may have been computed in different batches
    assert first["label"]


def test_a_header_that_claims_too_much_is_refused_before_it_is_decoded(server, tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(20000, 20000))
    assert "too few bytes for the pixels" in ask(server.url, tmp_path / "bomb.png").json()["answers"][0]["problem"]


def test_health_and_headers(server):
    answer = httpx.get(f"{server.url}/health")
    assert answer.json() == {"status": "ready"}
    assert covid19.NOTICE in server.greeting


def test_the_api_is_described_without_anything_from_outside(server):
    document = httpx.get(f"{server.url}/api/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {"/api/predict", "/health"}
    page = httpx.get(f"{server.url}/api/docs").text.replace("<wbr>", "")  # where a long name may be broken
    assert set(re.findall(r'(?:src|href)="([^"#]+)"', page)) == {"data:,", "/static/serve.css", "/", "/api/openapi.json"}
    for name, schema in document["components"]["schemas"].items():
        assert f'<h2 id="{name}">' in page
        for field in schema["properties"]:
            assert f"<code>{field}</code>" in page


def test_samples_of_ones_own_are_shown_and_a_bad_one_is_left_out(run, images, tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "a.png").write_bytes(images[0].read_bytes())
    (tmp_path / "samples" / "b.png").write_text("no image")
    (tmp_path / "folder").mkdir()
    server = Server(run.model, tmp_path / "folder", "--samples", str(tmp_path / "samples"))
    try:
        samples = httpx.get(f"{server.url}/api/model").json()["samples"]
        assert [item["name"] for item in samples["items"]] == ["a.png"]
        assert httpx.get(f"{server.url}/api/samples/0").content == images[0].read_bytes()
        assert httpx.get(f"{server.url}/api/samples/1").status_code == 404
    finally:
        code, said = server.stop(signal.SIGINT)
    assert code == 130
    assert said.startswith("warning: the sample 'b.png' is left out: not an image of a kind that is read")


@pytest.fixture
def page(server, browser):
    """The page on a small dark screen; it must ask nobody else and have nothing to complain of."""
    opened = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    asked, complaints = [], []
    opened.on("request", lambda one: asked.append(one.url) if one.url.startswith("http") else None)
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(server.url)
    opened.wait_for_selector(".sample")
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert {url for url in asked if not url.startswith(f"{server.url}/")} == set()
    assert complaints == []
    assert server.files() == []


def test_in_a_browser_a_file_is_answered_with_its_heat_map(page, run):
    trained_on = covid19.load_model(run.model).info.trained_on
    page.locator("#files").set_input_files(next(one.path for one in read_records(run.dataset) if one.digest in trained_on))
    page.wait_for_selector(".label")
    assert page.locator(".label").inner_text() in ("covid", "normal")
    assert page.locator("#about").inner_text().startswith("Model: base with weights 'random'")
    assert page.locator(".notice").first.inner_text() == covid19.NOTICE
    heat = page.locator(".heat")
    assert heat.evaluate("element => element.complete && element.naturalWidth") == PICTURE_SIDE_PX
    assert "The model was trained on this very file" in page.locator("#answer").inner_text()


def test_in_a_browser_several_files_become_a_table_whose_names_are_text(page, images, tmp_path):
    odd = "<img src=x onerror=alert(1)>.png"
    (tmp_path / odd).write_text("no image")
    page.locator("#files").set_input_files([images[0], tmp_path / odd])
    page.wait_for_selector(".answers")
    assert page.locator("td.file").all_inner_texts() == [images[0].name, odd]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    with page.expect_download() as started:
        page.locator(".download").click()
    table = started.value.path().read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["file", images[0].name, odd]


def test_in_a_browser_the_api_is_described(page, server):
    page.goto(f"{server.url}/api/docs")
    assert "POST /api/predict" in page.locator("h2").first.inner_text()


def test_in_a_browser_the_token_is_asked_for_and_kept_out_of_the_address(browser, tmp_path):
    picture = write_image(tmp_path / "x.png", np.eye(30, dtype=np.uint8))
    with serving(Stub(), api_token="a-token") as server:
        page = browser.new_page()
        page.goto(server.url)
        for given in ("another", "a-token"):
            page.get_by_label("This page was started with an API token.").fill(given)
            page.keyboard.press("Enter")
            page.wait_for_selector("#access-problem:not(:empty)" if given == "another" else "#about:not([hidden])")
        page.locator("#files").set_input_files(picture)
        page.wait_for_selector(".label")
        page.goto("about:blank")
        page.goto(f"{server.url}/#token=a-token")
        page.wait_for_selector("#about:not([hidden])")
        assert page.url == f"{server.url}/"


@pytest.mark.slow
def test_a_model_process_that_ends_or_hangs_costs_one_answer_and_the_file_is_read_once(run, images, tmp_path, monkeypatch):
    model = tmp_path / "covid19.model"
    model.write_bytes(run.model.read_bytes())
    process = ModelProcess(model)
    image = read_image(images[0])
    try:
        classes, about = process.wait()
        assert classes == ["covid", "normal"]
        first = process.ask(image).answer
        model.write_bytes(b"another model")
        process._process.kill()
        with pytest.raises(ValueError, match="the model's process ended: send it again"):
            process.ask(image)
        again, heat, _ = process.ask(image)
        assert again.label == first.label
        assert again.probabilities == pytest.approx(first.probabilities, abs=1e-5)
        assert isinstance(heat, bytes)
        monkeypatch.setattr("covid19.inference.server.model_process.ANSWER_TIMEOUT_S", 0.0)
        with pytest.raises(ValueError, match="the model took longer than 0 s to answer: send it again"):
            process.ask(image)
        monkeypatch.undo()
        assert process.ask(image).answer.probabilities == pytest.approx(first.probabilities, abs=1e-5)
    finally:
        process.close()
    assert about["positive"] == "covid"


def test_the_address_is_printed_before_the_model_is_there_and_the_browser_is_opened_when_it_is(run, tmp_path):
    (tmp_path / "folder").mkdir()
    opener = tmp_path / "opener"
    opener.write_text(f"#!/bin/sh\necho $1 > {tmp_path}/opened\n")
    opener.chmod(0o755)
    server = Server(run.model, tmp_path / "folder", BROWSER=str(opener))
    try:
        assert server.loading == "Loading the model, which takes some seconds ...\n"
        assert server.ready.startswith("Ready. TOO FEW: ")
        assert wait_until((tmp_path / "opened").exists)
        assert wait_until(lambda: (tmp_path / "opened").read_text() == f"{server.url}\n")
    finally:
        server.stop()


def test_what_cannot_be_served_is_said_in_one_line(server, run, tmp_path, capsys, monkeypatch):
    def refused(*flags, model=run.model):
        assert main(["serve", "-m", str(model), "--port", "0", *flags]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        return error

    assert f"cannot listen on 127.0.0.1:{server.port} (Address already in use)" in refused("--port", str(server.port))
    assert "is not a file" in refused(model=tmp_path / "none")
    write_image(tmp_path / "x.png", np.zeros((9, 9), np.uint8))
    assert f"model '{tmp_path / 'x.png'}' is neither a Keras archive nor HDF5" in refused(model=tmp_path / "x.png")
    assert "expected --api-token TOKEN" in refused("--host", "0.0.0.0")
    assert "expected --api-token TOKEN" in refused("--host", "::")
    assert "the API token is empty" in refused("--api-token", "")
    monkeypatch.setenv("COVID19_API_TOKEN", "two words")
    assert "the API token is empty or has other characters" in refused()
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'covid19-xray[serve]'" in refused()


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_the_page_as_cleanly_as_ctrl_c(run, tmp_path):
    server = Server(run.model, tmp_path)
    processes = server.processes()
    assert server.stop(signal.SIGHUP) == (129, "error: terminated; outputs that were not finished are as they were\n")
    assert wait_until(lambda: not any(map(is_alive, processes)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_page_starts_is_answered_in_one_line(run, tmp_path, number):
    command = [sys.executable, "-m", "covid19", "serve", "-m", str(run.model), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path)}
    for delay_s in (0.8, 1.6, 3.2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(delay_s)  # Python itself answers an earlier one with a traceback
        process.send_signal(number)
        error = process.communicate(timeout=60)[1]
        assert "Traceback" not in error, error
        assert error.count("\n") == 1
