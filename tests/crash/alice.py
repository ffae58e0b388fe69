"""alice, who submits and appends and keeps a ledger, for tests in which the server dies at a named point."""

from __future__ import annotations

import contextlib
import imaplib
import smtplib
from collections.abc import Iterator
from pathlib import Path

from tests.crash.faults import by_address, queued
from tests.crash.ledger import Heard, Ledger, Verdict, judge
from tests.doors.server import Ekiden

ALICE = "alice@one.test"
SENT = "alice Sent"
"""The recipient of what she appends to that mailbox."""
INWARDS = ("K1", "K2", "K3", "K4", "K5", "K6", "K7", "K8", "K9", "K10", "K11", "K19")
OUTWARDS = ("K12", "K13", "K14", "K15", "K16", "K17")
MAY_COME_TWICE = frozenset({"K15", "K16", "K17"})
"""RFC 5321 §4.5.4.1: a host that may have said 250 already is told a second time."""
OF_FILES = frozenset({"K4", "K5", "K6", "K7"})
"""What these are about is the file of the content."""
COMMITTED = frozenset({"K9", "K10", "K11"})
"""Behind the commit: what the client was sending is there."""
OTHERS = (ALICE, "x@two.test")
"""Recipients: one of ours, and one whose copies stay in the queue, where they can be counted: two.test has no host."""
_SMALL = 4_096
_BIG = 400_000
"""More than lies in a row: the content is a file."""


def size_for(point: str) -> int:
    """Of a message that comes to the point."""
    return _BIG if point in OF_FILES else _SMALL


def submit(client: smtplib.SMTP, ledger: Ledger, size: int, recipients: tuple[str, ...]) -> int:
    """One message; the reply code at its end. Raises SMTPException if the content is not wanted."""
    line, message = ledger.next_message(recipients, size)
    answers = [client.mail(ALICE), *(client.rcpt(recipient) for recipient in recipients), client.docmd("DATA")]
    if answers[-1][0] != 354:
        raise smtplib.SMTPException(str(answers))
    line.heard = Heard.SENT
    client.send(smtplib._quote_periods(message) + b".\r\n")  # type: ignore[attr-defined]  # as SMTP.data() does
    code, _ = client.getreply()
    line.heard = Heard.ACKNOWLEDGED if code == 250 else Heard.REFUSED
    return code


@contextlib.contextmanager
def reading(server: Ekiden) -> Iterator[imaplib.IMAP4]:
    """Her IMAP client; closed without a word, whatever is left of the connection."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.trusted(), timeout=20)
    try:
        client.login(ALICE, server.settings.password)
        yield client
    finally:
        client.shutdown()


def append(client: imaplib.IMAP4, ledger: Ledger) -> None:
    """One message to Sent."""
    line, message = ledger.next_message((SENT,), _SMALL)
    line.heard = Heard.SENT
    status, _ = client.append("Sent", None, None, message)
    line.heard = Heard.ACKNOWLEDGED if status == "OK" else Heard.REFUSED


def judged(server: Ekiden, ledger: Ledger, but: str = "") -> Verdict:
    """The ledger against all that is there, once the server has ended in good order. but: an address that is none of its business."""
    found = by_address(server)
    found.pop(but, None)
    server.stop()
    for recipient, messages in queued(server.folder / "data" / "ekiden.db").items():
        found.setdefault(recipient, []).extend(messages)
    return judge([ledger], found)


def held_what_was_promised(point: str, verdict: Verdict) -> None:
    """Of one client that was sending one message to OTHERS when the server died at a point on the way in."""
    assert verdict.is_clean, verdict
    if point in COMMITTED:
        assert verdict.open == (0 if point == "K10" else 1), "only behind K10 has 250 been heard"
        assert verdict.open_arrived == 2 * verdict.open, "what was committed has to be there, whatever was said of it"
    else:
        assert not verdict.open_arrived, "what was not committed must not be there"


def nothing_half_done(server: Ekiden) -> bool:
    """No file of a message that was coming in is left."""
    return not list((Path(server.folder) / "data" / "blobs" / "tmp").iterdir())
