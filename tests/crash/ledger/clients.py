"""Clients that send by SMTP until they are told to stop, and write down what they hear.

Source: reliability.md §3.1 (run).
"""

from __future__ import annotations

import imaplib
import smtplib
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from tests.crash.ledger.writing import Heard, Ledger, Line

BROKEN = (OSError, smtplib.SMTPException, imaplib.IMAP4.error)
"""What a connection may end with when the server dies."""
_PER_CONNECTION = 50
MOST_RECIPIENTS = 5

Kinds = Sequence[tuple[str, ...]]
"""Each kind is a choice of addresses of which a message has one at most: two of them would share a mailbox, and so a copy."""


class Client(threading.Thread):
    """Talks until it is told to stop; begins anew when its connection breaks. failure: a bug of the test, or None.

    ends: what its connections broke by, and how often.
    """

    def __init__(self, name: str, stop: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.stop_asked = stop
        self.failure: BaseException | None = None
        self.ends: Counter[str] = Counter()

    def run(self) -> None:
        try:
            while not self.stop_asked.is_set():
                try:
                    self.talk()
                except BROKEN as error:
                    self.ends[f"{type(error).__name__}: {error}"[:100]] += 1
                self.stop_asked.wait(0.02)
        except BaseException as error:  # a bug of the test must not look like a quiet client
            self.failure = error

    def talk(self) -> None:
        """One connection."""
        raise NotImplementedError

    @property
    def successes(self) -> int:
        """How often it was told that something is done."""
        raise NotImplementedError


class Sender(Client):
    """An SMTP client. connect: opens a connection that may send; sender: for MAIL FROM."""

    def __init__(self, ledger: Ledger, stop: threading.Event, kinds: Kinds, connect: Callable[[], smtplib.SMTP], sender: str) -> None:
        super().__init__(ledger.name, stop)
        self.ledger = ledger
        self._kinds = kinds
        self._connect = connect
        self._sender = sender

    @property
    def successes(self) -> int:
        return sum(line.heard is Heard.ACKNOWLEDGED for line in self.ledger.lines)

    def talk(self) -> None:
        client = self._connect()
        try:
            for _ in range(_PER_CONNECTION):
                if self.stop_asked.is_set():
                    return
                self._send(client)
        finally:
            client.close()

    def _send(self, client: smtplib.SMTP) -> None:
        dice = self.ledger.dice
        kinds = dice.sample(self._kinds, dice.randint(1, min(MOST_RECIPIENTS, len(self._kinds))))
        line, message = self.ledger.next_message(tuple(dice.choice(kind) for kind in kinds))
        code, answer = client.mail(self._sender)
        if code != 250:
            raise smtplib.SMTPResponseException(code, answer)
        taken = self._recipients(client, line)
        if not taken:
            client.rset()
            return
        code, answer = client.docmd("DATA")
        if code != 354:
            raise smtplib.SMTPResponseException(code, answer)
        self.ledger.note(line, taken, "SENT")
        line.heard = Heard.SENT
        client.send(smtplib._quote_periods(message) + b".\r\n")  # type: ignore[attr-defined]  # as SMTP.data() does
        code, _ = client.getreply()
        self.ledger.note(line, taken, _word(code))
        line.heard = Heard.ACKNOWLEDGED if code == 250 else Heard.REFUSED

    def _recipients(self, client: smtplib.SMTP, line: Line) -> list[str]:
        """RCPT for each; those that were not refused."""
        taken = []
        for recipient in line.recipients:
            code, _ = client.rcpt(recipient)
            if code == 250:
                taken.append(recipient)
            else:
                self.ledger.note(line, [recipient], _word(code))
        return taken


def _word(code: int) -> str:
    if code == 250:
        return "ACK"
    return "NAK4" if 400 <= code < 500 else "NAK5"
