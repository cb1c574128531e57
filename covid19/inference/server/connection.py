"""Connections that cannot be held open for nothing: uvicorn's, with limits on their number and on the time of each step."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from covid19.inference.server.guard import RESPONSE_HEADERS
from covid19.inference.server.multipart import BODY_TIMEOUT_S

MAX_CONNECTIONS = 256
HEADER_TIMEOUT_S = 10.0
MAX_HEADER_BYTES = 1 << 14
SHUTDOWN_TIMEOUT_S = 3  # for answers that are on their way
SEND_TIMEOUT_S = 30.0  # until a client has taken what lies ready for it


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server for an application, with these limits, that logs nothing and believes no proxy."""
    config = uvicorn.Config(
        app, http=LimitedConnection, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        proxy_headers=False, headers=RESPONSE_HEADERS, h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
    )  # fmt: skip
    return uvicorn.Server(config)


class LimitedConnection(H11Protocol):
    """One connection. Slow headers, slow bodies and answers that nobody takes end it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._step: object = None  # what the client is to send next, as h11 calls it
        self._receiving: asyncio.TimerHandle | None = None
        self._sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Begin to wait for the headers."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._limit_receiving()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the limits."""
        super().connection_lost(exc)
        for timer in (self._receiving, self._sending):
            if timer:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Go on with a request."""
        super().data_received(data)
        self._limit_receiving()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, and for the client to take the rest of this answer."""
        super().on_response_complete()
        self._limit_receiving()
        self._limit_sending()

    def pause_writing(self) -> None:
        """Begin to wait for a client that takes its answer more slowly than it is made."""
        super().pause_writing()
        self._limit_sending()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, with the headers of every other response."""
        headers = [*RESPONSE_HEADERS, ("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=msg.encode("ascii")),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _limit_receiving(self) -> None:
        """Give each step of a request (its headers, its body) a time of its own, however many pieces it comes in."""
        step = self.conn.their_state
        if step is self._step:
            return
        self._step = step
        if self._receiving:
            self._receiving.cancel()
            self._receiving = None
        limit = {h11.IDLE: HEADER_TIMEOUT_S, h11.SEND_BODY: BODY_TIMEOUT_S + HEADER_TIMEOUT_S}.get(step)
        if limit is not None:  # a little more for the body: the application knows the limit too, and says it
            self._receiving = self.loop.call_later(limit, self.transport.abort)

    def _limit_sending(self) -> None:
        if self._sending:
            self._sending.cancel()
        self._sending = self.loop.call_later(SEND_TIMEOUT_S, self._end_unless_taken)

    def _end_unless_taken(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
