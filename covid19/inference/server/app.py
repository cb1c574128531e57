"""The page and its API as one ASGI application. Bytes come in, answers go out: no path, no address, no file of this machine."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import jinja2
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from covid19 import NOTICE
from covid19.core.arrays import Float32Array
from covid19.core.outputs import json_text
from covid19.data.decoding import DecodingPool
from covid19.data.images import why_unreadable
from covid19.inference.about import describe_model
from covid19.inference.answer import Answer, unanswered, without_label
from covid19.inference.batch import Batch
from covid19.inference.reading import InputImage
from covid19.inference.server.guard import PAGE_TOKEN_HEADER, Access, Guard
from covid19.inference.server.multipart import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_REQUEST_BYTES,
    UploadedFile,
    UploadMemory,
    read_files,
)
from covid19.inference.server.openapi import describe_api
from covid19.inference.server.uploads import Reply, read_upload
from covid19.inference.writers import CsvWriter
from covid19.model.info import PositiveCount
from covid19.model.novelty import OUT_OF_DISTRIBUTION_PERCENTILE
from covid19.model.shift import MIN_BATCH_IMAGES, ShiftResult, without_counts

MAX_REQUESTS = 64  # answered or waiting; the next ones are refused
DECODING_THREADS = 4  # that wait for a process that decodes
STATIC = Path(__file__).parent / "static"
STATIC_KINDS = {"serve.css": "text/css", "serve.js": "text/javascript", "view.js": "text/javascript"}
T = TypeVar("T")


class Model(Protocol):
    """What the page asks of `model_process.ModelProcess`."""

    def ask(self, image: InputImage) -> Reply:
        """Answer for an image."""

    def compare(self, features: Float32Array, predicted: PositiveCount) -> ShiftResult | None:
        """Whether images look like the training images as a whole, see `Predictor.compare`."""


class Sample(NamedTuple):
    """A picture to click.

    Attributes:
        name: of its file.
        caption: what stands below it.
        content: the file's bytes.
        preview: what is shown, JPEG.
    """

    name: str
    caption: str
    content: bytes
    preview: bytes


class Samples(NamedTuple):
    """The pictures to click, and what stands above them."""

    title: str
    items: Sequence[Sample]


class Predict:
    """`POST /api/predict`: answers for the files of a request, each as soon as it is known.

    Args:
        model: that answers.
        pool: of processes that decode.
        classes: in the order of the model's outputs.
        about: what is known of the model, see `about.about_model`.
        withhold_labels: whether an answer has no label and no probabilities unless the request asks for them.
    """

    def __init__(
        self, model: Model, pool: DecodingPool, classes: Sequence[str], about: dict[str, Any], withhold_labels: bool
    ) -> None:  # fmt: skip
        self._model, self._pool, self._classes = model, pool, classes
        self._about = about | {"labels_withheld": withhold_labels}
        self._memory = UploadMemory()
        self._requests = 0
        # One file of each request at a time, first come, first served: a large request does not hold up a small one.
        self._decoding = ThreadPoolExecutor(DECODING_THREADS)
        self._asking = ThreadPoolExecutor(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Receive the files and send the answers."""
        request = Request(scope, receive)
        pictures, table, labels = (_is_wanted(request, name) for name in ("pictures", "csv", "labels"))
        if self._requests >= MAX_REQUESTS:
            raise HTTPException(503, "too many requests at once: try again later", {"Retry-After": "10"})
        self._requests += 1
        try:
            with self._memory.reserve() as take:
                files = await read_files(request, take)
                lines = self._lines(files, pictures, table, labels or not self._about["labels_withheld"])
                await StreamingResponse(lines, media_type="application/json")(scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is left to be answered
        finally:
            self._requests -= 1

    async def _lines(
        self, files: Sequence[UploadedFile], pictures: bool, table: bool, labels: bool
    ) -> AsyncIterator[str]:  # fmt: skip
        """One JSON object, a line for each answer."""
        yield json_text({"model": self._about})[:-1] + ', "answers": ['
        answers, batch = [], Batch(self._about["positive"])
        for number, file in enumerate(files):
            reply, preview = await self._answer(file)
            batch.add(reply.answer, reply.features)
            answers.append(reply.answer if labels else without_label(reply.answer))
            heat = reply.heat_map if labels else b""  # it is that of the label
            shown = {"picture": _data_url(preview, "image/jpeg"), "heat": _data_url(heat, "image/png")} if pictures else {}
            yield (",\n" if number else "\n") + json_text(asdict(answers[-1]) | shown)
        shift = await _in_thread(self._asking, lambda: self._compare(batch))
        shift = shift if labels else without_counts(shift)
        yield f'\n], "shift": {json_text(msgspec.to_builtins(shift))}'
        yield (f', "csv": {json_text(self._as_table(answers))}' if table else "") + "}\n"

    def _compare(self, batch: Batch) -> ShiftResult | None:
        features = batch.features()
        try:
            return self._model.compare(features, batch.predicted()) if len(features) >= MIN_BATCH_IMAGES else None
        except ValueError:  # the model's process has ended, which the answers say
            return None

    async def _answer(self, file: UploadedFile) -> tuple[Reply, bytes]:
        """The answer for a file, and its picture."""
        try:
            content = bytes(file.content)
            file.content.clear()
            upload = await _in_thread(self._decoding, lambda: self._pool.run(read_upload, content))
            reply = await _in_thread(self._asking, lambda: self._model.ask(upload.image))
        except (OSError, ValueError) as error:
            return Reply(unanswered(file.name, why_unreadable(error)), b"", None), b""
        return reply._replace(answer=replace(reply.answer, file=file.name)), upload.preview

    def _as_table(self, answers: Sequence[Answer]) -> str:
        """The answers as `covid19 predict --csv` prints them."""
        output = io.StringIO()
        writer = CsvWriter(self._classes, self._about, (), output)
        writer.begin()
        for answer in answers:
            writer.answer(answer)
        return output.getvalue()


def make_app(
    model: Model, pool: DecodingPool, classes: Sequence[str], about: dict[str, Any], samples: Samples, access: Access,
    withhold_labels: bool = False,
) -> ASGIApp:  # fmt: skip
    """The page, its API and `/health`, behind `guard.Guard`.

    Args:
        model, pool, classes, about, withhold_labels: see `Predict`.
        samples: pictures to click.
        access: who may ask.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("covid19.inference.server"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    limits = {"files": MAX_FILES, "file_bytes": MAX_FILE_BYTES, "request_bytes": MAX_REQUEST_BYTES}
    description = about | {
        "classes": classes,
        "labels_withheld": withhold_labels,
        "description": describe_model(about),
        "unlike": OUT_OF_DISTRIBUTION_PERCENTILE,
        "limits": limits,
        "samples": {
            "title": samples.title,
            "items": [
                {"name": s.name, "caption": s.caption, "picture": _data_url(s.preview, "image/jpeg")} for s in samples.items
            ],
        },
    }
    api = describe_api()
    page = environment.get_template("serve.html.j2").render(
        notice=NOTICE, token=access.page_token, token_header=PAGE_TOKEN_HEADER, limits=limits
    )

    def sample(request: Request) -> Response:
        known = {str(number): sample for number, sample in enumerate(samples.items)}
        chosen = known.get(request.path_params["number"])
        if chosen is None:
            raise HTTPException(404, f"there are {len(samples.items)} samples, numbered from 0")
        return Response(chosen.content, media_type="application/octet-stream")

    routes = [
        Route("/", _fixed(HTMLResponse(page))),
        *(
            Route(f"/static/{name}", _fixed(Response((STATIC / name).read_bytes(), media_type=kind)))
            for name, kind in STATIC_KINDS.items()
        ),
        Route("/health", _fixed(JSONResponse({"status": "ready"}))),
        Route("/api/predict", Predict(model, pool, classes, about, withhold_labels), methods=["POST"]),
        Route("/api/model", _fixed(JSONResponse(description))),
        Route("/api/samples/{number}", sample),
        Route("/api/openapi.json", _fixed(JSONResponse(api))),
        Route("/api/docs", _fixed(HTMLResponse(environment.get_template("api.html.j2").render(api=api, notice=NOTICE)))),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={HTTPException: _say_error, Exception: _say_failure}), access)


def _fixed(response: Response) -> Callable[[Request], Response]:
    """An endpoint that always gives the same."""
    return lambda request: response


def _say_error(request: Request, error: Exception) -> Response:
    """A refusal as JSON."""
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _say_failure(request: Request, error: Exception) -> Response:
    """What nobody foresaw, without a word of what was sent."""
    return JSONResponse({"error": "the program failed: send it again"}, 500)


def _is_wanted(request: Request, name: str) -> bool:
    """The value of a query parameter that is 'true' or 'false'.

    Raises:
        HTTPException: it is neither.
    """
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise HTTPException(400, f"the query parameter '{name}' is neither 'true' nor 'false': give one of these")
    return value == "true"


async def _in_thread(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, work)


def _data_url(content: bytes, kind: str) -> str:
    """Bytes as an address that holds them; '' of none."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}" if content else ""
