"""The small HTTP server, over real sockets."""

from __future__ import annotations

import asyncio
import http.client

import pytest

from ekiden.app.status_door import Page, StatusDoor
from ekiden.base.endpoint import Endpoint
from ekiden.net.binding import bind


def _pages(path: str, accept: str) -> Page | None:
    if path == "/broken":
        raise RuntimeError("trouble")
    return {"/ok": Page(200, f"fine {accept}".encode()), "/not": Page(503, b"not now")}.get(path)


async def _opened() -> tuple[StatusDoor, int]:
    sock = bind(Endpoint("127.0.0.1", 0))
    door = StatusDoor(sock, _pages)
    await door.start()
    return door, int(sock.getsockname()[1])


async def _said(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


def _talk(raw: bytes) -> bytes:
    async def main() -> bytes:
        door, port = await _opened()
        try:
            return await _said(port, raw)
        finally:
            await door.close()

    return asyncio.run(main())


@pytest.mark.parametrize(("raw", "status"), [
    (b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    (b"GET /ok HTTP/1.0\r\n\r\n", 200),
    (b"GET /ok?query=1 HTTP/1.1\r\n\r\n", 200),
    (b"GET /not HTTP/1.1\r\n\r\n", 503),
    (b"GET /else HTTP/1.1\r\n\r\n", 404),
    (b"GET /broken HTTP/1.1\r\n\r\n", 500),
    (b"POST /ok HTTP/1.1\r\n\r\n", 405),
    (b"GET /ok HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
    (b"GET /ok HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET  /ok HTTP/1.1\r\n\r\n", 400),
    (b"GET /ok HTTP/2.0\r\n\r\n", 400),
    (b"GET http://elsewhere/ok HTTP/1.1\r\n\r\n", 400),
    (b"GET /ok HTTP/1.1\r\n folded: x\r\n\r\n", 400),
    (b"GET /ok HTTP/1.1\r\nA : b\r\n\r\n", 400),
    (b"GET /ok HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400),
    (b"EHLO x\r\n\r\n", 400),
    (b"GET /ok HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 400),
    (b"GET /ok HTTP/1.1\r\nA: " + b"b" * 8200, 431),
])
def test_what_is_asked_gets_its_status(raw: bytes, status: int) -> None:
    said = _talk(raw)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head


def test_head_has_no_body() -> None:
    said = _talk(b"HEAD /ok HTTP/1.1\r\n\r\n")
    assert said.endswith(b"\r\n\r\n")
    assert b"Content-Length: 5" in said


def test_a_request_may_come_in_pieces_and_is_answered_once() -> None:
    async def main() -> bytes:
        door, port = await _opened()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in b"GET /ok HTTP/1.1\r\nAccept: text\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
        said = await reader.read()
        writer.close()
        await door.close()
        return said

    assert asyncio.run(main()).endswith(b"\r\n\r\nfine text")


def test_who_says_nothing_is_sent_away_after_five_seconds() -> None:
    async def main() -> tuple[bytes, float]:
        door, port = await _opened()
        loop = asyncio.get_running_loop()
        began = loop.time()
        said = await _said(port, b"GET /ok HTT")
        await door.close()
        return said, loop.time() - began

    said, took = asyncio.run(main())
    assert said.startswith(b"HTTP/1.1 408 ")
    assert 4 < took < 15


def test_there_is_room_for_so_many_and_no_more() -> None:
    async def main() -> None:
        door, port = await _opened()
        many = [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
        reader, extra = await asyncio.open_connection("127.0.0.1", port)  # they are accepted in the order of their coming
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
        many[0][1].write(b"GET /ok HTTP/1.1\r\n\r\n")
        assert (await many[0][0].read()).startswith(b"HTTP/1.1 200")
        await door.close()
        for _, writer in [*many, (reader, extra)]:
            writer.close()

    asyncio.run(main())


def test_a_client_of_the_standard_library_is_content() -> None:
    async def main() -> tuple[int, bytes]:
        door, port = await _opened()

        def ask() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/ok", headers={"Accept": "text/plain"})
            answer = connection.getresponse()
            return answer.status, answer.read()

        try:
            return await asyncio.to_thread(ask)
        finally:
            await door.close()

    assert asyncio.run(main()) == (200, b"fine text/plain")
