"""Attacks on the page: from web sites that its user visits, from programs, and from bad luck."""

import asyncio
import os
import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from helpers.compare import assert_close
from helpers.datasets import read_records
from helpers.hanging import read_or_hang
from helpers.images import write_image
from helpers.serving import Server, Stub, ask, is_alive, serving, token_of, wait_until

from covid19.data.decoding import DecodingPool
from covid19.inference.server.guard import RESPONSE_HEADERS, Access, Guard

KIND = {"Content-Type": "multipart/form-data; boundary=x"}
REPLY = Stub().ask(None)
HEAD = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
PART = 'Content-Disposition: form-data; name="files"; filename="{}"\r\n\r\n'


@pytest.fixture(scope="module")
def image(run):
    return read_records(run.dataset)[0].path


@pytest.fixture(scope="module")
def stub_page():
    with serving(Stub()) as page:
        yield page


@pytest.fixture
def stub(stub_page):
    """A page whose model counts what it is asked."""
    stub_page.model.asked = 0
    return stub_page


@pytest.fixture
def small(tmp_path):
    return write_image(tmp_path / "small.png", np.random.default_rng(0).integers(0, 256, (30, 30), np.uint8))


def talk(port, sent, seconds=10.0, end=False):
    """Send bytes to a port; what comes back until the other side closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(sent)
        if end:
            connection.shutdown(socket.SHUT_WR)
        try:
            while chunk := connection.recv(1 << 16):
                received += chunk
        except ConnectionResetError:
            pass
    return received


def status(answer):
    return int(answer.split(b" ", 2)[1])


def multipart(*contents, boundary="x"):
    parts = [f"--{boundary}\r\n{PART.format(name)}".encode() + content + b"\r\n" for name, content in contents]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


# Names that lead here: DNS rebinding.


@pytest.mark.parametrize(
    "host",
    [
        "evil.test", "evil.test:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil.test", "127.0.0.1.evil.test:{port}",
        "localhost.evil.test:{port}", "user@127.0.0.1:{port}", "127.0.0.1:{port}@evil.test", "", "[::ffff:127.0.0.1]:{port}",
        "2130706433:{port}", "127.1:{port}", "localhost.:{port}", " ", "127.0.0.1:{port}/", "10.0.0.1:{port}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/health", "/api/openapi.json", "/static/serve.js", "/nothing"])
def test_a_foreign_host_gets_nothing(stub, host, path):
    given = host.format(port=stub.port)
    answer = talk(stub.port, f"GET {path} HTTP/1.1\r\nHost: {given}\r\nConnection: close\r\n\r\n".encode())
    assert status(answer) in (400, 421)
    assert stub.access.page_token.encode() not in answer


def test_a_missing_or_doubled_host_gets_nothing(stub):
    assert status(talk(stub.port, b"GET / HTTP/1.0\r\n\r\n")) == 421
    assert status(talk(stub.port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")) == 400
    own = f"127.0.0.1:{stub.port}"
    assert status(talk(stub.port, f"GET / HTTP/1.1\r\nHost: {own}\r\nHost: evil.test\r\n\r\n".encode())) == 400
    absolute = f"GET http://evil.test/ HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n"
    assert status(talk(stub.port, absolute.encode())) == 404


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_its_own_names_are_answered(stub, host):
    assert httpx.get(f"{stub.url}/health", headers={"Host": host.format(port=stub.port)}).status_code == 200


def test_a_forwarded_host_is_not_believed(stub):
    headers = {"Host": "evil.test", "X-Forwarded-Host": f"127.0.0.1:{stub.port}", "X-Forwarded-For": "127.0.0.1"}
    assert httpx.get(f"{stub.url}/health", headers=headers).status_code == 421


def test_a_name_that_was_allowed_is_answered(small):
    with serving(Stub(), names=("xray.example",)) as page:
        headers = {"Host": "xray.example", "Origin": "https://xray.example", "X-Covid19-Token": page.access.page_token}
        assert ask(page.url, small, headers=headers).status_code == 200
        assert ask(page.url, small, headers={**headers, "Origin": "https://127.0.0.1"}).status_code == 403
        assert httpx.get(f"{page.url}/health", headers={"Host": "example"}).status_code == 421


# Requests that other sites make the browser send.


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:{port}.evil.test"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://localhost:{port}"},  # the page was asked as 127.0.0.1
        {"Origin": "http://127.0.0.1:{port}", "X-Covid19-Token": ""},
        {"Origin": "http://127.0.0.1:{port}", "X-Covid19-Token": "0" * 64},
        {"Origin": "http://127.0.0.1:{port}", "X-Covid19-Token": "é"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "http://evil.test", "X-Covid19-Token": "{token}"},
        {"Referer": "http://127.0.0.1:{port}/"},
        {"Referer": "http://127.0.0.1:{port}/", "X-Covid19-Token": "{token}"},
        {"Sec-Fetch-Site": "none", "X-Covid19-Token": "{token}"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:{port}", "X-Covid19-Token": "{token}"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:{port}", "X-Covid19-Token": "{token}"},
    ],
)
def test_what_a_browser_sends_for_another_site_is_refused(stub, small, headers):
    given = {name: value.format(port=stub.port, token=stub.access.page_token).encode() for name, value in headers.items()}
    answer = ask(stub.url, small, headers=given)
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert stub.model.asked == 0


def test_the_page_itself_is_answered_and_a_program_too(stub, small):
    own = {"Origin": stub.url, "Sec-Fetch-Site": "same-origin", "X-Covid19-Token": token_of(stub.url)}
    assert ask(stub.url, small, headers=own).json()["answers"][0]["label"] == "covid"
    assert ask(stub.url, small).json()["answers"][0]["label"] == "covid"
    assert stub.model.asked == 2


@pytest.mark.parametrize("path", ["/api/predict", "/", "/api/model", "/nothing"])
def test_a_preflight_is_refused(stub, path):
    headers = {
        "Origin": "http://evil.test",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-covid19-token",
    }
    answer = httpx.options(f"{stub.url}{path}", headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/api/model", "/api/openapi.json", "/static/serve.js", "/health", "/api/samples/0", "/api/docs"]
)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new"])
def test_another_site_may_not_even_load_parts(stub, path, site):
    assert httpx.get(f"{stub.url}{path}", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "image"}).status_code == 403


def test_another_site_may_link_to_the_page_but_not_frame_it(stub):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert httpx.get(stub.url, headers={**headers, "Sec-Fetch-Dest": "document"}).status_code == 200
    assert httpx.get(stub.url, headers={**headers, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert httpx.get(f"{stub.url}/api/docs", headers={**headers, "Sec-Fetch-Dest": "document"}).status_code == 403


def test_every_response_carries_the_headers_that_protect_it(stub, small):
    answers = [
        httpx.get(stub.url), httpx.get(f"{stub.url}/nothing"), httpx.get(f"{stub.url}/static/serve.css"), ask(stub.url, small),
        httpx.put(f"{stub.url}/api/predict"), httpx.get(stub.url, headers={"Host": "evil.test"}),
        httpx.post(f"{stub.url}/api/predict", content=b"x"), httpx.options(stub.url),
    ]  # fmt: skip
    heads = [{name.lower(): value for name, value in answer.headers.items()} for answer in answers]
    broken = talk(stub.port, b"no HTTP\r\n\r\n").decode().split("\r\n\r\n")[0].splitlines()[1:]
    heads.append({name.lower(): value for name, _, value in (line.partition(": ") for line in broken)})
    assert [answer.status_code for answer in answers] == [200, 404, 200, 200, 405, 421, 415, 405]
    for head in heads:
        assert {name.lower(): value for name, value in RESPONSE_HEADERS}.items() <= head.items()
        assert not [name for name in head if name.startswith("access-control") or name == "server"]
    policy = heads[0]["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_the_page_has_no_inline_script_and_no_inline_style(stub):
    for path in ("/", "/api/docs"):
        page = httpx.get(f"{stub.url}{path}").text
        assert " style=" not in page
        assert "<style" not in page
        assert "<script>" not in page
        assert " on" + "click" not in page


# Paths and addresses instead of bytes.


@pytest.mark.parametrize(
    "path",
    [
        "/static/../web.py", "/static/%2e%2e/web.py", "/static//etc/passwd", "/static/..%2f..%2fetc%2fpasswd", "/static/",
        "/gradio_api/file=/etc/passwd", "/gradio_api/upload", "/file=/etc/passwd", "/api/samples/../../etc/passwd",
        "/api/samples/-1", "/api/samples/99999999999999999999", "/api/samples/0%2e", "//etc/passwd", "/covid19.model", "/docs",
        "/openapi.json", "/static", "/static/serve.js%00", "/%00",
    ],
)  # fmt: skip
def test_no_path_leads_to_a_file(stub, path):
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{stub.port}\r\nConnection: close\r\n\r\n"
    assert status(talk(stub.port, head.encode())) in (400, 404)


@pytest.mark.parametrize(
    "named", ["/etc/hostname", "/dev/zero", "file:///etc/hostname", "http://127.0.0.1:9/x.png", "../x.png"]
)
def test_a_path_or_an_address_in_a_request_is_never_opened(stub, named, tmp_path):
    data = {"data": [[{"path": named, "url": named, "meta": {"_type": "gradio.FileData"}}]], "files": [named]}
    address = f"{stub.url}/api/predict"
    assert httpx.post(address, json=data).status_code == 415
    assert httpx.post(address, data={"files": named}).status_code == 415
    assert httpx.post(address, content=multipart(("x", b"")).replace(b'; filename="x"', b""), headers=KIND).status_code == 400
    # As the name of a file it is a name alone, and the content is what was sent.
    answer = httpx.post(address, content=multipart((named, b"content")), headers=KIND).json()["answers"][0]
    assert answer["file"] == named.rpartition("/")[2]
    assert answer["problem"].startswith("not an image of a kind that is read")
    assert stub.model.asked == 0


def test_a_fifo_of_the_name_that_is_sent_is_not_opened(stub, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "fifo.png")
    answer = httpx.post(f"{stub.url}/api/predict", files={"files": ("fifo.png", small.read_bytes())}, timeout=10)
    assert answer.json()["answers"][0]["label"] == "covid"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=", b""),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        ("multipart/form-data; boundary=x", b"garbage"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + PART.format("a").encode() + b"never ends"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\ncontent\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"a" * 20000 + b": b\r\n\r\n\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"a: b\r\n" * 5000 + b"\r\n\r\n--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 5000, b""),
        ("multipart/mixed; boundary=x", multipart(("a", b"b"))),
        ("text/plain", multipart(("a", b"b"))),
        ("", b"x"),
    ],
)
def test_a_malformed_body_is_refused_with_a_reason(stub, kind, body):
    answer = httpx.post(f"{stub.url}/api/predict", content=body, headers={"Content-Type": kind})
    assert answer.status_code in (400, 415)
    assert answer.json()["error"]


@pytest.mark.parametrize("name", ["../../x.png", "C:\\users\\x.png", "/etc/x.png", "a/b\\x.png"])
def test_of_a_name_only_the_last_part_is_kept(stub, name):
    escaped = name.replace("\\", "\\\\")
    answer = httpx.post(f"{stub.url}/api/predict", content=multipart((escaped, b"")), headers=KIND)
    assert answer.json()["answers"][0] == {
        "file": "x.png", "label": "", "probabilities": {}, "novelty_percentile": None, "problem": "the file is empty",
        "heat_on_lungs": None, "training_image": "",
    }  # fmt: skip


@pytest.mark.parametrize("name", [b"\xff\xfe.png", "\u202egnp.exe".encode(), b"a\x00b", b"<script>", b"x" * 3000, b""])
def test_any_name_is_answered_as_text(stub, name):
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + name + b'"\r\n\r\n\r\n--x--\r\n'
    answer = httpx.post(f"{stub.url}/api/predict", content=body, headers=KIND)
    assert answer.headers["Content-Type"] == "application/json"
    assert len(answer.json()["answers"][0]["file"]) <= 255


# Too much, too many, too slow.


@pytest.fixture
def low_limits(monkeypatch):
    for name, value in {
        "multipart.MAX_FILE_BYTES": 100_000, "multipart.MAX_REQUEST_BYTES": 300_000, "multipart.MAX_HELD_BYTES": 500_000,
        "multipart.MAX_FILES": 3, "multipart.BODY_TIMEOUT_S": 0.6, "connection.BODY_TIMEOUT_S": 0.6,
        "connection.HEADER_TIMEOUT_S": 0.5, "connection.SEND_TIMEOUT_S": 0.5, "connection.MAX_CONNECTIONS": 20,
        "app.MAX_REQUESTS": 4,
    }.items():  # fmt: skip
        monkeypatch.setattr(f"covid19.inference.server.{name}", value)


def test_too_large_a_file_and_too_large_a_request_are_refused(low_limits, stub):
    address = f"{stub.url}/api/predict"
    assert httpx.post(address, content=multipart(("a", bytes(100_001))), headers=KIND).status_code == 413
    assert httpx.post(address, content=multipart(*[("a", bytes(99_999))] * 3), headers=KIND).status_code == 413
    assert httpx.post(address, content=multipart(*[("a", b"")] * 4), headers=KIND).status_code == 413
    assert httpx.post(address, content=multipart(*[("a", b"")] * 3), headers=KIND).status_code == 200


def chunked(body, piece):
    for at in range(0, len(body), piece):
        yield body[at : at + piece]


def test_a_body_without_a_length_is_counted_as_it_comes(low_limits, stub):
    body = multipart(*[("a", bytes(99_000))] * 4)
    sent = 0

    def pieces():
        nonlocal sent
        for piece in chunked(body * 100, 10_000):
            sent += len(piece)
            yield piece

    try:
        assert httpx.post(f"{stub.url}/api/predict", content=pieces(), headers=KIND).status_code == 413
    except httpx.TransportError:  # it hung up in the middle
        assert sent < len(body) * 100
    assert stub.model.asked == 0


@pytest.mark.parametrize("length", [b"300001", b"99999999999999999", b"1", b"-1", b"1e3", b"0x10", b"5, 5000"])
def test_a_length_that_lies_gets_no_answer(low_limits, stub, length):
    body = multipart(("a", b"b"))
    head = f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{stub.port}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    answer = talk(stub.port, head.encode() + b"Content-Length: " + length + b"\r\n\r\n" + body)
    assert status(answer) in (400, 413)
    assert stub.model.asked == 0


def test_a_length_and_chunks_at_once_are_no_way_to_smuggle(stub):
    head = (
        f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{stub.port}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    hidden = f"0\r\n\r\nGET / HTTP/1.1\r\nHost: 127.0.0.1:{stub.port}\r\nConnection: close\r\n\r\n"
    assert status(talk(stub.port, (head + hidden).encode(), 10)) in (400, 415)


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"GET", b"GET / HTTP/1.1\r\nHost: 127.0.0.1",
        b"POST /api/predict HTTP/1.1\r\nHost: {own}\r\nContent-Length: 9\r\n\r\n",
        b"POST /nothing HTTP/1.1\r\nHost: {own}\r\nContent-Length: 9\r\n\r\nx",
        b"POST /api/predict HTTP/1.1\r\nHost: {own}\r\nContent-Length: 99\r\n" + HEAD + b"--x",
        b"GET /health HTTP/1.1\r\nHost: {own}\r\n\r\nGET /hea",
    ],
)  # fmt: skip
def test_a_request_that_is_never_finished_is_closed(low_limits, stub, sent):
    talk(stub.port, sent.replace(b"{own}", f"127.0.0.1:{stub.port}".encode()), seconds=8)  # a time-out would be an error
    assert wait_until(lambda: not stub.server.server_state.connections)


def test_a_request_that_comes_drop_by_drop_is_closed_all_the_same(low_limits, stub):
    head = f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{stub.port}\r\nContent-Length: 9999\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", stub.port), 8) as connection:
        begin = time.monotonic()
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            connection.sendall(head)
            while time.monotonic() < begin + 8:
                connection.sendall(b"x")
                time.sleep(0.1)
    assert wait_until(lambda: not stub.server.server_state.connections)


def test_an_answer_that_nobody_takes_is_given_up(low_limits, stub, small, monkeypatch):
    monkeypatch.setattr(Stub, "ask", lambda *_: REPLY._replace(heat_map=bytes(30_000_000)))
    body = multipart(("a", small.read_bytes()))
    head = f"POST /api/predict?pictures=true HTTP/1.1\r\nHost: 127.0.0.1:{stub.port}\r\n"
    head += f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", stub.port))
        connection.sendall(head.encode() + body)
        assert wait_until(lambda: stub.server.server_state.connections)
        assert wait_until(lambda: not stub.server.server_state.connections)


def test_many_connections_do_not_keep_others_out_for_long(low_limits, stub):
    idle = [socket.create_connection(("127.0.0.1", stub.port)) for _ in range(40)]
    assert wait_until(lambda: is_ready(stub.url))
    for connection in idle:
        connection.close()


def is_ready(url):
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_more_requests_than_can_wait_are_refused_and_the_places_are_given_back(low_limits, stub, small, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(Stub, "ask", lambda *_: (go_on.wait(20), REPLY)[1])
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, stub.url, small) for _ in range(8)]
        assert wait_until(lambda: sum(one.done() for one in asked) == 4)
        go_on.set()
        assert sorted(one.result().status_code for one in asked) == [200] * 4 + [503] * 4
    assert ask(stub.url, small).status_code == 200


def test_all_requests_together_hold_no_more_than_a_limit_and_give_it_back(low_limits, stub, monkeypatch):
    head = f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{stub.port}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    body = multipart(*[("a", bytes(95_000))] * 3)
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stub.port)) as first:
        first.sendall(head.encode() + body[:-10])
        time.sleep(0.2)
        assert httpx.post(f"{stub.url}/api/predict", content=body, headers=KIND).status_code == 503
    assert wait_until(lambda: httpx.post(f"{stub.url}/api/predict", content=body, headers=KIND).status_code == 200)


def test_a_file_that_hangs_or_crashes_a_decoder_costs_only_itself(small, monkeypatch):
    monkeypatch.setattr("covid19.inference.server.app.read_upload", read_or_hang)
    contents = [small.read_bytes(), b"hang", small.read_bytes(), b"crash", small.read_bytes()]
    with DecodingPool(2.0, processes=2) as pool, serving(Stub(), pool) as page:
        said = httpx.post(f"{page.url}/api/predict", files=[("files", ("x", one)) for one in contents], timeout=60).json()
    problems = [answer["problem"] for answer in said["answers"]]
    assert [answer["label"] for answer in said["answers"]] == ["covid", "", "covid", "", "covid"]
    assert problems[1].startswith("it took longer than 2 s to read")
    assert problems[3].startswith("the process that read it crashed")


# With a token, and on other addresses than the loopback.


@pytest.fixture(scope="module")
def token_page():
    """A page that asks for a token; its model counts what it is asked."""
    with serving(Stub(), api_token="a-token") as page:
        yield page


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer another", "Basic a-token", "a-token", "Bearer a-token x"])
@pytest.mark.parametrize("path", ["/api/model", "/api/samples/0", "/api/predict", "/api/nothing"])
def test_with_a_token_every_request_of_the_api_needs_it(token_page, small, given, path):
    before = token_page.model.asked
    headers = {} if given is None else {"Authorization": given}
    method = "POST" if path == "/api/predict" else "GET"
    answer = httpx.request(method, f"{token_page.url}{path}", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert token_page.model.asked == before
    assert ask(token_page.url, small, headers={"Authorization": "Bearer a-token"}).status_code == 200
    own = {"Authorization": "Bearer a-token", "Origin": "http://evil.test"}
    assert ask(token_page.url, small, headers=own).status_code == 403


def test_on_all_addresses_it_answers_to_its_own_names_only(run, image, tmp_path):
    server = Server(run.model, tmp_path, "--host", "0.0.0.0", COVID19_API_TOKEN="a-token")
    try:
        url = f"http://127.0.0.1:{server.port}"
        assert ask(url, image).status_code == 401
        assert ask(url, image, headers={"Authorization": "Bearer a-token"}).json()["answers"][0]["label"]
        for host, code in ((socket.gethostname(), 200), ("evil.test", 421)):
            assert httpx.get(f"{url}/health", headers={"Host": f"{host}:{server.port}"}).status_code == code
    finally:
        server.stop()


@pytest.mark.parametrize(("address", "expected"), [("192.168.1.5", 200), ("10.9.9.9", 421)])
def test_the_address_of_a_connection_is_one_of_its_names(address, expected):
    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    said = []

    async def send(message):
        said.append(message)

    guard = Guard(answer, Access("0.0.0.0", 7860, (), None, "token"))
    scope = {
        "type": "http", "method": "GET", "path": "/", "server": ("192.168.1.5", 7860),
        "headers": [(b"host", f"{address}:7860".encode())],
    }  # fmt: skip
    asyncio.run(guard(scope, None, send))
    assert said[0]["status"] == expected


# What stays behind, and where names go.


def test_an_upload_that_is_broken_off_leaves_nothing(server, image):
    body = multipart(*[("a", image.read_bytes() * 50)] * 3)
    head = f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    for share in (0.1, 0.5, 0.99):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[: int(len(body) * share)])
            assert server.files() == []
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
    assert ask(server.url, image).status_code == 200
    assert server.files() == []


@pytest.mark.slow
def test_a_kill_leaves_no_process_and_no_file(run, image, tmp_path):
    server = Server(run.model, tmp_path)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, server.url, *[image] * 20) for _ in range(4)]
        time.sleep(1)
        processes = server.processes()
        assert len(processes) > 2
        code, said = server.stop(signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert image.name not in said
        assert all(isinstance(one.exception(), httpx.TransportError) for one in asked)
    assert wait_until(lambda: not any(map(is_alive, processes)))
    assert server.files() == []
    assert not list(tmp_path.glob("covid19-*"))


@pytest.mark.slow
def test_a_model_that_is_swapped_on_the_disk_changes_nothing(run, image, tmp_path):
    (tmp_path / "tmp").mkdir()
    model = tmp_path / "covid19.model"
    model.write_bytes(run.model.read_bytes())
    server = Server(model, tmp_path / "tmp")
    try:
        before = ask(server.url, image).json()
        model.write_bytes(b"another model")
        assert_close(ask(server.url, image).json(), before)
        os.kill(max(server.processes(), key=memory), signal.SIGKILL)  # the process that holds the model
        assert ask(server.url, image).json()["answers"][0]["problem"] == "the model's process ended: send it again"
        assert_close(ask(server.url, image).json(), before)
    finally:
        server.stop()


def memory(process):
    """Pages that a process has in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1])


def test_no_name_of_a_file_is_written_anywhere(run, image, tmp_path):
    server = Server(run.model, tmp_path)
    name = "DOE^JOHN-19700101"
    for content in (
        image.read_bytes(),
        b"no image",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0" + bytes(50),
        bytes(128) + b"DICM" + bytes(50),
    ):
        httpx.post(f"{server.url}/api/predict", files={"files": (f"{name}.png", content)}, timeout=60)
    httpx.get(f"{server.url}/{name}")
    after = multipart((name, b"")) + b"--x\r\n" + name.encode()
    httpx.post(f"{server.url}/api/predict", content=after, headers=KIND)
    talk(server.port, b"GET /" + name.encode() + b" no HTTP\r\n\r\n")
    server.process.send_signal(signal.SIGTERM)
    said = server.process.communicate(timeout=30)
    assert said == ("", "error: terminated; outputs that were not finished are as they were\n")
    assert not [path for path in tmp_path.rglob("*") if name in path.name]


# A real browser, in which the user also has a hostile page open.

HOSTILE = """async ({ url, rounds }) => {
  const results = {};
  const body = () => { const form = new FormData(); form.append("files", new File(["x"], "upload")); return form; };
  const outcome = async (name, work) => {
    try { results[name] = await work(); } catch (error) { results[name] = `failed: ${error.name}`; }
  };
  const read = (path, options) => async () => {
    const response = await fetch(url + path, options);
    return `${response.type} ${response.status} ${(await response.text()).length}`;
  };
  for (const mode of ["cors", "no-cors"]) {
    for (const path of ["/", "/health", "/api/openapi.json", "/api/docs", "/api/model", "/api/samples/0", "/static/serve.js"]) {
      await outcome(`read ${path} ${mode}`, read(path, { mode }));
    }
    for (const credentials of ["omit", "include"]) {
      await outcome(`upload ${mode} ${credentials}`, read("/api/predict", { mode, method: "POST", body: body(), credentials }));
    }
  }
  const guess = { "X-Covid19-Token": "guess" };
  await outcome("upload with a token", read("/api/predict", { method: "POST", body: body(), headers: guess }));
  await outcome("upload by XMLHttpRequest", () => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${url}/api/predict`);
    request.onload = () => resolve(request.responseText);
    request.onerror = () => reject(new TypeError());
    request.send(body());
  }));
  await outcome("upload by beacon", async () => { navigator.sendBeacon(`${url}/api/predict`, body()); return "sent"; });
  const loads = (tag, attribute, path) => () => new Promise((resolve, reject) => {
    const element = document.createElement(tag);
    element.onload = () => resolve("loaded");
    element.onerror = () => reject(new TypeError());
    element[attribute] = url + path;
    if (tag === "link") element.rel = "stylesheet";
    document.body.append(element);
  });
  await outcome("script", loads("script", "src", "/static/serve.js"));
  await outcome("style", loads("link", "href", "/static/serve.css"));
  await outcome("picture", loads("img", "src", "/api/samples/0"));
  await outcome("socket", () => new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace("http", "ws") + "/api/predict");
    socket.onopen = () => resolve("open");
    socket.onerror = () => reject(new TypeError());
  }));
  const frame = document.createElement("iframe");
  frame.name = "frame";
  document.body.append(frame);
  const form = document.createElement("form");
  Object.assign(form, { method: "POST", enctype: "multipart/form-data", action: `${url}/api/predict`, target: "frame" });
  const field = document.createElement("input");
  Object.assign(field, { type: "file", name: "files" });
  const transfer = new DataTransfer();
  transfer.items.add(new File(["x"], "upload"));
  field.files = transfer.files;
  form.append(field);
  document.body.append(form);
  const sent = new Promise((resolve) => { frame.onload = resolve; });
  form.submit();
  await sent;
  await outcome("read the answer of a form", async () => frame.contentWindow.document.body.textContent);
  const framed = document.createElement("iframe");
  const shown = new Promise((resolve) => { framed.onload = resolve; });
  framed.src = `${url}/`;
  document.body.append(framed);
  await shown;
  await outcome("read a frame", async () => framed.contentWindow.document.body.textContent);
  return results;
}"""


class HostileSite(BaseHTTPRequestHandler):
    """The hostile site's server: an empty page, whatever is asked."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><body>hostile")

    def log_message(self, *_):
        pass


@pytest.fixture
def hostile():
    """Port of a hostile site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), HostileSite) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield site.server_port
        site.shutdown()
        thread.join()


@pytest.mark.parametrize("site", ["127.0.0.1", "localhost", "evil.test"])
def test_in_a_browser_a_hostile_page_gets_and_does_nothing(server, browser, hostile, site):
    before = len(server.requests())
    page = browser.new_page()
    page.goto(f"http://{site}:{hostile}/")
    results = page.evaluate(HOSTILE, {"url": server.url})
    sent = results.pop("upload by beacon")  # which never tells the page what became of it
    assert sent == "sent"
    got = {name: result for name, result in results.items() if not result.startswith("failed: ")}
    assert got == {}
    assert len(results) == 26
    frames = [frame.url for frame in page.frames[1:]]
    assert len(frames) == 2
    assert not [frame for frame in page.frames[1:] if frame.locator("#drop").count()]
    with page.expect_popup() as opened:
        page.evaluate("url => { window.handle = window.open(url); }", server.url)
    opened.value.wait_for_selector(".sample")  # as with a link: the user sees the page, the other site does not
    assert page.evaluate("handle.closed") is True
    assert opened.value.evaluate("window.opener") is None
    assert wait_until(lambda: len(server.requests()) > before)
    asked = server.requests()[before:]
    assert {code for method, _, code in asked if method == "POST"} == {403}
    allowed = {(path, code) for method, path, code in asked if code < 400}
    assert allowed == {(f"/{path}", 200) for path in ("", "static/serve.css", "static/serve.js", "static/view.js", "api/model")}
    assert [path for _, path, code in asked if code < 400].count("/") == 1


def test_in_a_browser_a_name_that_leads_here_gets_nothing(server, browser, hostile):
    before = len(server.requests())
    page = browser.new_page()
    for name in ("evil.test", "127.0.0.1.evil.test"):
        answer = page.goto(f"http://{name}:{server.port}/")
        assert answer.status == 421
        assert token_of(server.url) not in page.content()
        # What that page's own origin would be after a rebinding: the same site and port, and now this program behind it.
        for path, options in (("/", {}), ("/api/model", {}), ("/api/predict", {"method": "POST"})):
            script = "async ([path, options]) => { const r = await fetch(path, options); return [r.status, await r.text()]; }"
            code, text = page.evaluate(script, [path, options])
            assert code == 421
            assert "page-token" not in text
    page.goto(f"http://evil.test:{hostile}/")
    asked = [request for request in server.requests()[before:] if request[2] != 200]
    assert {code for _, _, code in asked} == {421}
    assert len(asked) >= 8


def test_the_recorder_and_the_guard_agree_on_what_is_let_in(server, image):
    before = len(server.requests())
    assert ask(server.url, image).status_code == 200
    assert ask(server.url, image, headers={"Origin": "http://evil.test"}).status_code == 403
    assert server.requests()[before:] == [("POST", "/api/predict", 200), ("POST", "/api/predict", 403)]
