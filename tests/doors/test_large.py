"""Large messages: streamed to a file and synced before the 250, read back in slices, refused when they are too large."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings, without_prefix
from tests.doors.wire import Smtp, Wire

LIMIT = 6_000_000


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    running = Ekiden(tmp_path_factory.mktemp("large"), certificate, Settings(more={"limits": [f"message_size = {LIMIT}"]}))
    yield running
    running.stop()


def _message(size: int) -> bytes:
    """About `size` bytes of text, some lines beginning with a dot, with all octets but CR, LF and NUL."""
    dice = random.Random(size)
    octets = bytes(n for n in range(1, 256) if n not in (10, 13))
    lines = [bytes(dice.choices(b"." + octets, k=dice.randrange(900))) for _ in range(size // 450)]
    return b"From: carol@far.test\r\nTo: bob@one.test\r\nSubject: large\r\n\r\n" + b"".join(line + b"\r\n" for line in lines)


@pytest.mark.parametrize("size", [200_000, 300_000, 5_000_000])
def test_a_large_message_comes_out_as_it_went_in(roomy: Ekiden, size: int) -> None:
    message = _message(size)
    before = len(roomy.inbox("bob"))
    with Smtp(roomy.ports["mx"]) as client:
        code, text = client.message("carol@far.test", "bob@one.test", message)
        assert code == 250, text
    stored = roomy.wait_inbox("bob", before + 1)[-1]
    without_prefix(stored, message)
    with roomy.imap("bob") as reader:
        reader.select("INBOX", readonly=True)
        _, found = reader.fetch(str(before + 1), f"(RFC822.SIZE BODY.PEEK[]<{size // 2}.70000> BODY.PEEK[TEXT])")
    pieces = [piece for piece in found if isinstance(piece, tuple)]
    assert f"RFC822.SIZE {len(stored)}".encode() in pieces[0][0]
    assert pieces[0][1] == stored[size // 2 : size // 2 + 70000]
    assert pieces[1][1] == message.split(b"\r\n\r\n", 1)[1]
    with Wire(roomy.ports["pop3s"], roomy.trusted()) as pop3:
        for line in ("", "USER bob@one.test\r\n", f"PASS {roomy.settings.password}\r\n", f"RETR {before + 1}\r\n"):
            pop3.send(line.encode())
            assert pop3.line().startswith(b"+OK")
        assert pop3.until_dot() == stored


def test_too_large_is_refused_before_it_is_sent_and_after(roomy: Ekiden) -> None:
    before = len(roomy.inbox("alice"))
    with Smtp(roomy.ports["mx"]) as client:
        code, text = client.ask(b"MAIL FROM:<carol@far.test> SIZE=%d" % (LIMIT + 1))
        assert (code, text[:5]) == (552, "5.3.4")
        code, text = client.message("carol@far.test", "alice@one.test", _message(LIMIT + 100_000))
        assert (code, text[:5]) == (552, "5.3.4")
        assert client.message("carol@far.test", "alice@one.test", b"Subject: after it\r\n\r\n")[0] == 250
    assert len(roomy.wait_inbox("alice", before + 1)) == before + 1


def test_append_takes_a_large_literal(roomy: Ekiden) -> None:
    message = _message(1_000_000)
    with roomy.imap("alice") as client:
        assert client.append("Drafts", "", "", message)[0] == "OK"
    assert roomy.inbox("alice", "Drafts")[-1] == message
