"""The small SMTP client behind `ekiden send`."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from ekiden.app.sending import Letter, NotSent, Route, Watcher, addresses_of, compose, send, with_crlf
from ekiden.base.clock import Millis
from ekiden.base.endpoint import Endpoint
from ekiden.smtp.client_events import Exchange

LETTER = Letter("a@one.test", ("b@two.test", "c@two.test"), b"Subject: x\r\n\r\n.dot\r\n")


async def _talk(script: list[bytes], letter: Letter, tls: str = "none") -> tuple[list[str], list[Exchange], bytes]:
    """Send to a server that answers each line (or the end of the content) with the next words of the script."""
    heard = bytearray()

    handlers: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        answers = iter(script)
        writer.write(next(answers))
        in_content = False
        while line := await reader.readline():
            heard.extend(line)
            if in_content and line != b".\r\n":
                continue
            answer = next(answers, None)
            if answer is None:
                break
            in_content = answer.startswith(b"354")
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    exchanges: list[Exchange] = []
    try:
        replies = await send(letter, Route(Endpoint("127.0.0.1", port), "client.test", tls), Watcher(exchanges.append))
    finally:
        await asyncio.gather(*handlers, return_exceptions=True)
        server.close()
        await server.wait_closed()
    return [reply.text for reply in replies], exchanges, bytes(heard)


def test_each_recipient_has_its_answer() -> None:
    told = ["220 hi", "250 hi", "250 ok", "250 ok", "550 5.1.1 no", "354 go", "250 2.0.0 done", "221 bye"]
    script = [line.encode() + b"\r\n" for line in told]
    replies, exchanges, heard = asyncio.run(_talk(script, LETTER))
    assert replies == ["250 2.0.0 done", "550 5.1.1 no"]
    assert b"\r\n..dot\r\n.\r\n" in heard
    assert [each.command for each in exchanges][:3] == ["", "EHLO client.test", "MAIL FROM:<a@one.test>"]
    assert exchanges[-1].command == "QUIT"


@pytest.mark.parametrize(("script", "why"), [
    ([b"554 5.7.1 go away\r\n"], "554 5.7.1 go away"),
    ([b"220 hi\r\n", b"421 later\r\n"], "421 later"),
    ([b"hello\r\n"], "reply"),
    ([b"220 hi\r\n"], "hung up"),
])
def test_a_conversation_that_ends_early_says_why(script: list[bytes], why: str) -> None:
    with pytest.raises(NotSent, match=why):
        asyncio.run(_talk(script, LETTER))


def test_tls_that_must_be_there_is_not_given_up() -> None:
    with pytest.raises(NotSent, match="does not offer STARTTLS"):
        asyncio.run(_talk([b"220 hi\r\n", b"250 hi\r\n"], LETTER, "starttls"))


def test_nobody_there_is_told_with_the_address() -> None:
    with pytest.raises(NotSent, match=r"127\.0\.0\.1 port 1: Connection refused"):
        asyncio.run(send(LETTER, Route(Endpoint("127.0.0.1", 1), "client.test"), Watcher()))


def test_an_address_needs_no_resolver() -> None:
    assert asyncio.run(addresses_of(Endpoint("::1", 25))) == [ip_address("::1")]


def test_a_new_message_is_plain_utf8() -> None:
    raw = compose("a@one.test", ["b@two.test"], "会議", "x\ny", message_id="m@one.test", now=Millis(0))
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.isascii()
    assert b"Subject: =?" in head
    assert b"Content-Transfer-Encoding: 7bit" in head
    assert body == b"x\r\ny\r\n"


@pytest.mark.parametrize(("raw", "mended"), [(b"a\nb", b"a\r\nb\r\n"), (b"a\r\nb\rc\n", b"a\r\nb\r\nc\r\n"), (b"", b"\r\n")])
def test_line_ends_become_crlf(raw: bytes, mended: bytes) -> None:
    assert with_crlf(raw) == mended
