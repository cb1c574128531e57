"""The page to drop an X-ray on and its API, made with Gradio; importing it takes seconds."""

from __future__ import annotations

import asyncio
import base64
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fastapi
import gradio
import jinja2

from covid19 import NOTICE
from covid19.answers import CsvWriter, describe_model
from covid19.novelty import UNLIKE
from covid19.reply import Reply
from covid19.uploads import Uploads
from covid19.worker import Worker

MOST_UPLOAD = "100mb"  # of one file
MOST_FILES = 100  # at once
MOST_WAITING = 64  # requests; the next ones are refused
AT_ONCE = 8  # requests that Gradio hands on; the model takes one file at a time
Samples = tuple[str, list[tuple[str, str]]]
TEMPLATES = Path(__file__).parent / "templates"


def make_app(worker: Worker, samples: Samples, uploads: Path) -> Any:
    """The page, its API and `/health` as one ASGI application.

    Args:
        worker: not yet waited for.
        samples: what stands above the images to click, and their paths and captions.
        uploads: folder where Gradio puts what is sent.

    Raises:
        InputError: the worker's file is no model of this program.
    """
    classes, about = worker.wait()
    render = _renderer(classes, about)
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    protected = Uploads(app, uploads)
    turn = asyncio.Lock()  # first come, first served: a thread's lock would let some wait long

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    async def ask(files: Sequence[str], progress: Any = None) -> list[Reply]:
        if not protected.holds(files):
            raise gradio.Error("A file was named that was not sent; expected uploaded files: send it again")
        try:
            if len(files) > MOST_FILES:
                raise gradio.Error(f"{len(files)} files were sent, expected {MOST_FILES} at most at once")
            replies = []
            for count, file in enumerate(files):
                if progress:
                    progress((count, len(files)), unit="files")
                async with turn:
                    replies.append(await asyncio.to_thread(worker.ask, Path(file)))
            return replies
        finally:
            protected.answered(files)

    async def show(files: list[str] | None, progress: Any = gradio.Progress()) -> str:  # noqa: B008  # Gradio's way
        return render(await ask(files or [], progress))

    async def show_sample(event: gradio.SelectData) -> str:
        return render([await asyncio.to_thread(worker.ask, Path(samples[1][event.index][0]))])

    async def answer(files: list[str] | None) -> dict[str, Any]:
        return {"model": about, "answers": [reply.answer._asdict() for reply in await ask(files or [])]}

    gradio.mount_gradio_app(
        app, _page(show, show_sample, answer, samples, classes, render([])), "/", css_paths=TEMPLATES / "serve.css",
        theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        max_file_size=MOST_UPLOAD, footer_links=["api"], run_history=False, ssr_mode=False, enable_monitoring=False,
    )  # fmt: skip
    return protected


def _page(show: Any, show_sample: Any, answer: Any, samples: Samples, classes: Sequence[str], nothing: str) -> Any:
    """What is seen, and what calls which function."""
    with gradio.Blocks(title="covid19", analytics_enabled=False, delete_cache=(60, 600)) as page:
        title = html.escape(f"Which does this X-ray look like: {' or '.join(classes)}?")
        gradio.HTML(f"<h1>{title}</h1><p class='c19-notice'>{NOTICE}</p>")
        with gradio.Row():
            with gradio.Column(scale=2, min_width=280):
                drop = gradio.File(label="Drop X-rays here: PNG, JPEG, BMP, TIFF or DICOM", file_count="multiple", height=180)
                gallery = gradio.Gallery(
                    samples[1], label=samples[0], columns=3, height="auto", allow_preview=False, buttons=[],
                    interactive=False,
                )  # fmt: skip
            with gradio.Column(scale=3, min_width=280):
                result = gradio.HTML(nothing, label="Answer")
        turn: dict[str, Any] = {"concurrency_limit": AT_ONCE, "concurrency_id": "model"}
        drop.upload(show, drop, result, api_visibility="private", **turn)
        gallery.select(show_sample, None, result, api_visibility="private", **turn)
        # The way in for programs, which has no place on the page.
        given, said = gradio.File(file_count="multiple", visible=False), gradio.JSON(visible=False)
        gradio.Button(visible=False).click(answer, given, said, api_name="predict", **turn)
    page.queue(max_size=MOST_WAITING)
    return page


def _renderer(classes: Sequence[str], about: dict[str, Any]) -> Callable[[Sequence[Reply]], str]:
    """A function that makes HTML of replies."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("covid19"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_url"] = lambda content, kind: f"data:{kind};base64,{base64.b64encode(content).decode()}"
    template = environment.get_template("answers.html.j2")

    def render(replies: Sequence[Reply]) -> str:
        table = io.StringIO()
        writer = CsvWriter(classes, about, (), table)
        writer.begin()
        for reply in replies:
            writer.answer(reply.answer)
        return template.render(
            replies=replies, classes=classes, about=describe_model(about), notice=NOTICE, unlike=UNLIKE,
            csv=table.getvalue().encode(errors="backslashreplace"),
        )  # fmt: skip

    return render
