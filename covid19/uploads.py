"""Files that were sent to the page, counted and deleted with their last answer; and what a browser may fetch."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# Nothing from elsewhere, and no page of elsewhere around this one (Content Security Policy, W3C).
POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; form-action 'self'"
EMPTY_AFTER = 60.0  # seconds
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Uploads:
    """An ASGI application around Gradio's.

    Gradio keeps one file for equal contents, so of two who sent the same, the first answer must not take the other's file away.

    Args:
        app: with Gradio's routes.
        folder: where Gradio puts the files.
    """

    def __init__(self, app: Any, folder: Path) -> None:
        self._app, self._folder = app, folder
        self._sent: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        """Pass a request on and look at what comes back."""
        uploading = scope["type"] == "http" and scope["path"].endswith("/upload")

        async def look(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", POLICY)]
            elif uploading and message.get("body", b"").startswith(b"["):
                self._sent.update(json.loads(message["body"]))
            await send(message)

        await self._app(scope, receive, look)

    def holds(self, files: Sequence[str]) -> bool:
        """Whether all these were sent: Gradio also hands on a path of this machine that somebody just names."""
        return all(self._sent[file] > 0 for file in files)

    def answered(self, files: Sequence[str]) -> None:
        """Delete the files that nobody waits for any more; to be called in the event loop, where sending is counted too."""
        for file in files:
            self._sent[file] -= 1
            if not self._sent[file]:
                del self._sent[file]
                shutil.rmtree(Path(file).parent, ignore_errors=True)
        # Gradio also leaves an empty file for each; a young one may be an upload that has just begun.
        for path in self._folder.glob("tmp*"):
            with suppress(OSError):
                if not path.stat().st_size and path.stat().st_mtime < time.time() - EMPTY_AFTER:
                    path.unlink()
