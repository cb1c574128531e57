"""Who may ask the page: every request is looked at before anything else of the program sees it.

A web site that the user visits can make the browser send requests here, and can make a name of its own lead here (DNS
rebinding). So the Host must be one of the names that the page listens as, and whatever changes anything, if it comes from a
browser, must come from the page itself.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection
from ipaddress import ip_address
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
PAGE_TOKEN_HEADER = "x-covid19-token"
BROWSER_HEADERS = ("origin", "referer", "sec-fetch-site")
SAFE_METHODS = ("GET", "HEAD")
# These describe the API and hold nothing of the user's.
OPEN_PATHS = ("/api/docs", "/api/openapi.json")
# On every response. The page shows pictures that its own script was sent (data:) or made (blob:), and loads nothing else.
RESPONSE_HEADERS = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
]


class Access(NamedTuple):
    """Who may ask.

    Attributes:
        host: address or name that `--host` gave.
        port: that the page listens on.
        names: further values of the Host header, from `--allow-host`.
        api_token: that every API request must carry, or None.
        page_token: that the page's own requests carry; random at each start.
    """

    host: str
    port: int
    names: Collection[str]
    api_token: str | None
    page_token: str


class Guard:
    """An ASGI application around another that passes on only what `Access` allows."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        names = {*LOOPBACK_NAMES, in_address(access.host)}
        if not is_loopback(access.host):
            names.add(socket.gethostname().lower())
        self._hosts = {host for name in (*names, *access.names) for host in with_port(name, access.port)} | {*access.names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            raise ValueError(f"received a scope of type {scope['type']!r}, expected 'http'")
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, reason = refusal
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        await JSONResponse({"error": reason}, status, headers)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """The status and the reason with which a request is refused."""
        access = self._access
        host = headers.get("host", "").lower()
        own = with_port(in_address(scope["server"][0]), access.port) if scope.get("server") else set()
        if host not in self._hosts | own:
            return (
                421,
                (
                    "the Host is none of the names that this page listens as: open the address that it printed, or allow the "
                    "name with --allow-host"
                ),
            )
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not _opens_page(scope, headers):
            return 403, "another site may not use this page"
        if scope["method"] not in SAFE_METHODS and any(name in headers for name in BROWSER_HEADERS):
            origins = {f"{scheme}://{host}" for scheme in ("http", *(["https"] if host in access.names else []))}
            if headers.get("origin") not in origins:
                return 403, "the Origin is not this page: programs send no Origin, Referer or Sec-Fetch-Site"
            if not _equal(headers.get(PAGE_TOKEN_HEADER), access.page_token):
                return 403, "the page's token is missing or of an earlier start: load the page again"
        if access.api_token and scope["path"].startswith("/api/") and scope["path"] not in OPEN_PATHS:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not _equal(given, access.api_token):
                return 401, "expected the header 'Authorization: Bearer TOKEN' with the token that the page was started with"
        return None


def is_loopback(host: str) -> bool:
    """Whether an address or name reaches this machine alone."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def in_address(host: str) -> str:
    """A host as it stands in an address and in the Host header: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host.lower()


def with_port(name: str, port: int) -> set[str]:
    """The values of the Host header for a name and a port; browsers leave out port 80."""
    return {f"{name}:{port}"} | ({name} if port == 80 else set())


def _opens_page(scope: Scope, headers: Headers) -> bool:
    """Whether a request follows a link to the page, in a tab of its own."""
    return (
        scope["method"] == "GET"
        and scope["path"] == "/"
        and (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    )


def _equal(given: str | None, expected: str) -> bool:
    """Compare secrets in a time that tells nothing of them."""
    return secrets.compare_digest((given or "").encode(), expected.encode())
