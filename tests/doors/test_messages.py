"""Real messages of others: in by SMTP, out by IMAP and POP3, byte for byte; those that are broken are refused as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.doors.server import PASSWORD, Ekiden, without_prefix
from tests.doors.wire import Smtp, Wire
from tests.suites.data import conformance

_FOLDER = conformance("mime")
FILES = sorted([*_FOLDER.rglob("*.msg"), *_FOLDER.rglob("*.eml")]) if _FOLDER is not None else []
BATCH = 40  # messages over one connection, below the limit of 100


def _proper(raw: bytes) -> bytes:
    """Line ends made CRLF, the last one added (RFC 5321 §2.3.7)."""
    message = re.sub(rb"\r\n|\r|\n", b"\r\n", raw)
    return message if message.endswith(b"\r\n") else message + b"\r\n"


@pytest.mark.conformance("mime", 157)
@pytest.mark.peer("imaplib")
@pytest.mark.timeout(300)
def test_every_message_goes_in_by_smtp_and_comes_out_of_imap_and_pop3_byte_for_byte(ekiden: Ekiden) -> None:
    assert len(FILES) == 157
    sent: list[tuple[Path, bytes]] = []
    for start in range(0, len(FILES), BATCH):
        with Smtp(ekiden.ports["mx"]) as client:
            for file in FILES[start : start + BATCH]:
                message = _proper(file.read_bytes())
                code, text = client.message("sender@far.test", ekiden.address("bob"), message)
                if b"\0" in message:
                    assert (code, text[:5]) == (554, "5.6.0"), f"{file}: {code} {text}"
                else:
                    assert code == 250, f"{file}: {code} {text}"
                    sent.append((file, message))
    over_imap = ekiden.inbox("bob")
    assert len(over_imap) == len(sent)
    for (_file, original), stored in zip(sent, over_imap, strict=True):
        without_prefix(stored, original)
    with Wire(ekiden.ports["pop3s"], ekiden.trusted()) as pop3:
        for line in (b"", b"USER " + ekiden.address("bob").encode() + b"\r\n", b"PASS " + PASSWORD.encode() + b"\r\n"):
            pop3.send(line)
            assert pop3.line().startswith(b"+OK")
        for number, stored in enumerate(over_imap, 1):
            pop3.send(b"RETR %d\r\n" % number)
            assert pop3.line().startswith(b"+OK")
            assert pop3.until_dot() == stored


@pytest.mark.conformance("mime", 157)
@pytest.mark.timeout(300)
def test_as_they_are_mixed_line_ends_and_nul_are_refused(ekiden: Ekiden) -> None:
    for start in range(0, len(FILES), 15):  # below the limit of errors on one connection
        with Smtp(ekiden.ports["mx"]) as client:
            for file in FILES[start : start + 15]:
                raw = file.read_bytes()
                code, text = client.message("sender@far.test", ekiden.address("alice"), raw)
                bare = re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
                if b"\0" in raw and bare:
                    assert (code, text[:5]) in ((554, "5.6.0"), (550, "5.5.2")), f"{file}: {code} {text}"
                elif b"\0" in raw:
                    assert (code, text[:5]) == (554, "5.6.0"), f"{file}: {code} {text}"
                elif bare:
                    assert (code, text[:5]) == (550, "5.5.2"), f"{file}: {code} {text}"
                else:
                    assert code == 250, f"{file}: {code} {text}"
