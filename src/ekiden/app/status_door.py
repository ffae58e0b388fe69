"""A very small HTTP server for what machines ask: GET of a few pages, one request a connection.

It takes a request head of at most 8 KiB within five seconds, at most 64 connections at a time, and answers nothing but GET and
HEAD. It knows no sessions, bodies or files. It is for the own machine and the own network: whoever reaches the port may read.
Source: RFC 9110 §9.3, RFC 9112 §2, §3, §9.6.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

_HEAD_BYTES = 8192
_DEADLINE_S = 5.0
_MOST = 64
_REQUEST = re.compile(rb"([A-Z]{1,20}) (/[!-~]{0,2000}) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_WORDS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
          431: "Request Header Fields Too Large", 500: "Internal Server Error", 503: "Service Unavailable"}


@dataclass(frozen=True, slots=True)
class Page:
    """What a path shows."""

    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"


Pages = Callable[[str, str], Page | None]
"""path, Accept field → page; None where there is none."""


class StatusDoor:
    """Serves pages on one listening socket until close()."""

    def __init__(self, sock: socket.socket, pages: Pages) -> None:
        self._sock = sock
        self._pages = pages
        self._open: set[_Exchange] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Exchange(self._pages, self._open, loop), sock=self._sock, backlog=_MOST)

    async def close(self) -> None:
        """Stop accepting and drop what is open."""
        if self._server is not None:
            self._server.close()
        for exchange in list(self._open):
            exchange.drop()


class _Exchange(asyncio.Protocol):
    """One request and its answer."""

    def __init__(self, pages: Pages, company: set[_Exchange], loop: asyncio.AbstractEventLoop) -> None:
        self._pages = pages
        self._company = company
        self._loop = loop
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are of a class of their own
        self._company.add(self)
        if len(self._company) > _MOST:
            self.drop()
            return
        self._deadline = self._loop.call_later(_DEADLINE_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._company.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        if self._answered:
            return
        self._head += data[: _HEAD_BYTES + 1]
        head, end, _ = self._head.partition(b"\r\n\r\n")
        if len(head) > _HEAD_BYTES:
            self._say(Page(431, b""))
        elif end:
            self._answer(head.split(b"\r\n"))

    def drop(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, lines: list[bytes]) -> None:
        request = _REQUEST.fullmatch(lines[0])
        fields = [_FIELD.fullmatch(line) for line in lines[1:]]
        if request is None or len(fields) > 100:
            self._say(Page(400, b""))
            return
        known: dict[bytes, bytes] = {}
        for field in fields:
            if field is None:
                self._say(Page(400, b""))
                return
            known[field[1].lower()] = field[2]
        if known.get(b"content-length", b"0").strip() != b"0" or b"transfer-encoding" in known:
            self._say(Page(400, b""))  # a body has no meaning here, and is not read
        elif request[1] not in (b"GET", b"HEAD"):
            self._say(Page(405, b""))
        else:
            path = request[2].partition(b"?")[0].decode("ascii")
            try:
                page = self._pages(path, known.get(b"accept", b"").decode("latin-1"))
            except Exception:  # whatever a page has, the door stays open and the client hears of it
                page = Page(500, b"")
            self._say(page or Page(404, b""), with_body=request[1] == b"GET")

    def _too_late(self) -> None:
        if self._answered:
            self.drop()  # it does not read
        else:
            self._say(Page(408, b""))

    def _say(self, page: Page, *, with_body: bool = True) -> None:
        if self._transport is None or self._answered:
            return
        self._answered = True
        body = page.body or f"{_WORDS[page.status]}\n".encode()
        head = (
            f"HTTP/1.1 {page.status} {_WORDS[page.status]}\r\nContent-Type: {page.kind}\r\nContent-Length: {len(body)}\r\n"
            f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
            + ("Allow: GET, HEAD\r\n" if page.status == 405 else "") + "\r\n"
        )
        self._transport.write(head.encode("latin-1") + (body if with_body else b""))
        self._transport.close()
