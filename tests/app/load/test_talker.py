"""One connection of the load generator, against servers that say odd things."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from tests.app.load.scripted import Scripted, scripted

from ekiden.app.load.talker import Letter, Manner, Step, Talker


class Book:
    """A Boss that writes down what it hears."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.times: list[str] = []
        self.accepted: list[bool] = []
        self.because: list[str] = []
        self.is_ready = asyncio.Event()
        self.is_finished = asyncio.Event()
        self.is_gone = asyncio.Event()

    def ready(self, talker: Talker) -> None:
        self.is_ready.set()

    def replied(self, code: int) -> None:
        self.codes.append(code)

    def mail_took(self, seconds: float) -> None:
        self.times.append("mail")

    def dot_took(self, seconds: float) -> None:
        self.times.append("dot")

    def finished(self, talker: Talker, accepted: bool) -> None:
        self.accepted.append(accepted)
        self.is_finished.set()

    def gone(self, talker: Talker, because: str) -> None:
        self.because.append(because)
        self.is_gone.set()


MANNER = Manner("c.test")
LETTER = Letter(b"MAIL FROM:<a@x.test>\r\n", b"RCPT TO:<b@x.test>\r\n", b"Subject: x\r\n\r\nx\r\n")


def _send(replies: Mapping[str, bytes], *, letter: Letter = LETTER, manner: Manner = MANNER) -> tuple[Book, Scripted]:
    async def main() -> tuple[Book, Scripted]:
        book = Book()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20), scripted(**replies) as (script, endpoint):
            talker = Talker(manner, book, loop.time)
            await loop.create_connection(lambda: talker, endpoint.host, endpoint.port)
            waiting = [loop.create_task(event.wait()) for event in (book.is_ready, book.is_gone)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if book.is_ready.is_set():
                talker.send(letter, 0.0)
                waiting.append(loop.create_task(book.is_finished.wait()))
                await asyncio.wait(waiting[1:], return_when=asyncio.FIRST_COMPLETED)
                if not book.is_gone.is_set():
                    talker.quit()
            await book.is_gone.wait()
            for task in waiting:
                task.cancel()
            assert talker.step is Step.GONE
            return book, script

    return asyncio.run(main())


@pytest.mark.parametrize("ehlo", [b"250-x\r\n250-PIPELINING\r\n250 SIZE\r\n", b"250-x\r\n250 PIPELINING\r\n", b"250 x\r\n"])
def test_a_message_is_sent_with_and_without_pipelining(ehlo: bytes) -> None:
    book, script = _send({"ehlo": ehlo})
    assert book.accepted == [True]
    assert book.times == ["mail", "dot"]
    assert book.codes == [220, 250, 250, 250, 354, 250, 221]
    assert script.messages == [LETTER.content + b".\r\n"]
    assert book.because == [""]


@pytest.mark.parametrize("ehlo", [b"250-x\r\n250 PIPELINING\r\n", b"250 x\r\n"])
@pytest.mark.parametrize(("word", "reply"), [
    ("mail", b"550 no\r\n"), ("rcpt", b"550 no\r\n"), ("data", b"451 no\r\n"), ("dot", b"452 no\r\n"), ("dot", b"554-no\r\n554 no\r\n"),
])
def test_a_refusal_anywhere_is_a_message_refused(ehlo: bytes, word: str, reply: bytes) -> None:
    book, script = _send({"ehlo": ehlo, word: reply})
    assert book.accepted == [False]
    assert int(reply[:3]) in book.codes
    assert script.lines[-1] == b"QUIT"


def test_a_recipient_that_was_refused_gets_no_content_even_if_data_is_taken() -> None:
    book, script = _send({"rcpt": b"550 no\r\n", "dot": b"554 nobody\r\n"})
    assert book.accepted == [False]
    assert script.messages == [b".\r\n"]


def test_large_content_is_timed_from_its_dot() -> None:
    content = b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" + b"z" * 5_000_000 + b"\r\n"
    book, script = _send({}, letter=Letter(LETTER.mail, LETTER.rcpt, content))
    assert book.accepted == [True]
    assert script.messages == [content + b".\r\n"]


@pytest.mark.parametrize(("word", "reply", "because"), [
    ("banner", b"554 go away\r\n", "554 go away"),
    ("ehlo", b"421 not now\r\n", "421 not now"),
    ("banner", b"hello\r\n", "invalid literal"),
    ("banner", b"x" * 9000, "a reply without an end"),
    ("banner", b"220 a\r\n220 b\r\n220 c\r\n220 d\r\n", "not what was asked"),
    ("ehlo", b"", "closed by the server"),
])
def test_a_beginning_that_fails_says_why(word: str, reply: bytes, because: str) -> None:
    book, _ = _send({word: reply})
    assert because in book.because[0]
    assert not book.is_ready.is_set()


@pytest.mark.parametrize("word", ["mail", "dot"])
def test_a_server_that_leaves_is_noticed(word: str) -> None:
    book, _ = _send({word: b"" if word == "mail" else b"421 bye\r\n"})
    assert book.accepted == ([] if word == "mail" else [False])


def test_signing_in_comes_before_the_first_message() -> None:
    book, script = _send({"auth": b"235 in\r\n"}, manner=Manner("c.test", auth=b"AGEAYg=="))
    assert script.lines[1] == b"AUTH PLAIN AGEAYg=="
    assert book.accepted == [True]
    refused, _ = _send({"auth": b"535 no\r\n"}, manner=Manner("c.test", auth=b"AGEAYg=="))
    assert refused.because == ["535 no"]
