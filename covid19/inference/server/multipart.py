"""Read the files out of a multipart request, within limits and in memory only: nothing that was sent is ever put on a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_FILE_BYTES = 100_000_000
MAX_REQUEST_BYTES = 256_000_000
MAX_HELD_BYTES = 2 * MAX_REQUEST_BYTES  # of all requests together
MAX_FILES = 100
MAX_NAME_CHARACTERS = 255
BODY_TIMEOUT_S = 120.0
TOO_LARGE = f"the request is larger than {MAX_REQUEST_BYTES / 1e6:.0f} MB: send fewer files at a time"


class UploadedFile(NamedTuple):
    """One file of a request.

    Attributes:
        name: as the client calls it, without any folder; it is only ever shown, never opened.
        content: its bytes.
    """

    name: str
    content: bytearray


class UploadMemory:
    """Counts the bytes of uploads that all requests hold at a time."""

    def __init__(self) -> None:
        self.held = 0

    @contextmanager
    def reserve(self) -> Iterator[Callable[[int], None]]:
        """A function that reserves bytes for one request, all of which are given back at the end.

        Raises:
            HTTPException: from the function, 413 or 503, if the request or all requests together would hold too much.
        """
        own = 0

        def take(count: int) -> None:
            nonlocal own
            if own + count > MAX_REQUEST_BYTES:
                raise HTTPException(413, TOO_LARGE)
            if self.held + count > MAX_HELD_BYTES:
                raise HTTPException(503, "too many large requests at once: try again later", {"Retry-After": "10"})
            own += count
            self.held += count

        try:
            yield take
        finally:
            self.held -= own


async def read_files(request: Request, take: Callable[[int], None]) -> list[UploadedFile]:
    """Receive the files of a request.

    Args:
        request: whose body has not been read.
        take: reserves bytes, see `UploadMemory.reserve`; called before they are kept.

    Returns:
        One or more files, in the order of the request.

    Raises:
        HTTPException: the body is not multipart, has anything but files in it, or is too large (413) or too slow (408).
        ClientDisconnect: the client is gone.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise HTTPException(415, "expected files as multipart/form-data, see /api/docs")
    length = request.headers.get("content-length", "0")
    if int(length) > MAX_REQUEST_BYTES:  # h11 has made sure that it is a number
        raise HTTPException(413, TOO_LARGE)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            collector = _Collector(options[b"boundary"])
            async for chunk in request.stream():
                take(len(chunk))
                collector.write(chunk)
            return collector.finish()
    except FormParserError as error:
        raise HTTPException(400, "the body is not well-formed multipart/form-data: see /api/docs") from error
    except TimeoutError as error:
        raise HTTPException(408, f"the body took longer than {BODY_TIMEOUT_S:g} s to arrive: send fewer files") from error


class _Collector:
    """Collects the files of a multipart body as it arrives."""

    def __init__(self, boundary: bytes) -> None:
        self._files: list[UploadedFile] = []
        self._header_name, self._header_value, self._disposition = bytearray(), bytearray(), b""
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
                "on_header_end": self._header_ends,
                "on_headers_finished": self._file_begins,
                "on_part_data": self._add_data,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        self._parser.write(chunk)

    def finish(self) -> list[UploadedFile]:
        if not self._complete:
            raise FormParserError("the last boundary is missing")
        if not self._files:
            raise HTTPException(400, "no file was sent; expected one or more: see /api/docs")
        return self._files

    def _part_begins(self) -> None:
        self._disposition = b""

    def _header_ends(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _file_begins(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if b"filename" not in options:
            raise HTTPException(400, "a form field was sent that is not a file; expected files only: see /api/docs")
        if len(self._files) == MAX_FILES:
            raise HTTPException(413, f"the request has more than {MAX_FILES} files: send fewer files at a time")
        name = options[b"filename"].decode(errors="replace").replace("\\", "/").rpartition("/")[2]
        self._files.append(UploadedFile(name[-MAX_NAME_CHARACTERS:], bytearray()))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        content = self._files[-1].content
        if len(content) + end - start > MAX_FILE_BYTES:
            raise HTTPException(413, f"a file is larger than {MAX_FILE_BYTES / 1e6:.0f} MB: expected a radiograph")
        content += data[start:end]

    def _end(self) -> None:
        self._complete = True
