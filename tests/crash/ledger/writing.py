"""What a client writes down: one append-only file, synced by the client before the final dot and after the reply.

A message carries its id in the field X-Ledger and again in the last line of its body, and the SHA-256 of its body in X-Hash.
A line of the file is `id recipient WORD`: SENT before the final dot, then ACK, NAK4 or NAK5, or nothing.
Source: reliability.md §3.1 (identity, ledger).
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

SIZES = (0, 200, 4_096, 300_000, 5_242_880)
OFTEN = (4, 10, 80, 4, 0)
"""How often each of SIZES is drawn; WITH_HUGE where there is time for the largest."""
WITH_HUGE = (4, 10, 80, 4, 1)

_ID = re.compile(rb"^X-Ledger: ([a-z0-9-]+)$")
_HASH = re.compile(rb"^X-Hash: ([0-9a-f]{64})$")
_LINE = b". %s text of a message, longer or shorter\r\n"  # begins with a dot: SMTP has to double it (RFC 5321 §4.5.2)


class Heard(Enum):
    """What a client knows of one message. SENT: it began to send the content and heard nothing (it may be there or not)."""

    UNSENT = "unsent"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"


_WORDS = {"SENT": Heard.SENT, "ACK": Heard.ACKNOWLEDGED, "NAK4": Heard.REFUSED, "NAK5": Heard.REFUSED}
States = Mapping[tuple[str, str], Heard]
"""(id, recipient) → what the client knows."""


@dataclass(slots=True)
class Line:
    """One message of the ledger: for whom, and what its client knows."""

    id: str
    recipients: tuple[str, ...]
    heard: Heard = Heard.UNSENT


class Notes:
    """An append-only file of lines that are on the disk when append() returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, lines: Iterable[str]) -> None:
        """All of them by one write and one sync."""
        os.write(self._fd, "".join(f"{line}\n" for line in lines).encode())
        os.fsync(self._fd)

    def close(self) -> None:
        """Nothing more is written."""
        os.close(self._fd)


@dataclass(slots=True)
class Ledger:
    """All messages of one client.

    author: the address in From; submission takes only those of the account. notes: its file, if it has one.
    """

    name: str
    dice: random.Random
    lines: list[Line] = field(default_factory=list)
    author: str = "somebody@two.test"
    notes: Notes | None = None
    often: Sequence[int] = OFTEN

    def next_message(self, recipients: tuple[str, ...], size: int | None = None) -> tuple[Line, bytes]:
        """A new message and its line. size: of its body, about; None draws one of SIZES."""
        line = Line(f"{self.name}-{len(self.lines)}-{self.dice.getrandbits(64):016x}", recipients)
        self.lines.append(line)
        size = self.dice.choices(SIZES, self.often)[0] if size is None else size
        return line, a_message(line.id, self.author, size)

    def note(self, line: Line, recipients: Iterable[str], word: str) -> None:
        """SENT, ACK, NAK4 or NAK5 for some recipients of a message: first to the disk."""
        if self.notes is not None:
            self.notes.append(f"{line.id} {recipient} {word}" for recipient in recipients)

    def states(self) -> dict[tuple[str, str], Heard]:
        """What the client knows: from its file, or from memory where it has none."""
        found = {(line.id, recipient): line.heard for line in self.lines for recipient in line.recipients}
        if self.notes is not None:
            return {**dict.fromkeys(found, Heard.UNSENT), **read_states(self.notes.path)}
        return found


def read_states(path: Path) -> dict[tuple[str, str], Heard]:
    """The last word on each (id, recipient) of a client's file."""
    found = {}
    for line in path.read_text("ascii").split("\n")[:-1]:
        id, recipient, word = line.split(" ")
        found[id, recipient] = _WORDS[word]
    return found


def a_message(id: str, author: str, size: int) -> bytes:
    """A message with its id and hash; size: of the body, about."""
    last = b"X-Ledger: %s\r\n" % id.encode()
    filler = _LINE % id.encode()
    body = b"" if size == 0 else filler * max(0, (size - len(last)) // len(filler)) + last
    head = f"From: {author}\r\nSubject: {id}\r\nX-Ledger: {id}\r\nX-Hash: {sha256(body).hexdigest()}\r\n\r\n"
    return head.encode() + body


class Seen(NamedTuple):
    """A message as it was found. id: "" if it has none, or several. is_whole: the body is the one that was sent."""

    id: str
    is_whole: bool
    received: int
    return_paths: int
    delivered_to: str
    is_report: bool


def read_message(message: bytes) -> Seen:
    """What the message says of itself."""
    head, _, body = message.partition(b"\r\n\r\n")
    fields = head.split(b"\r\n")
    ids = [bytes(match[1]) for each in fields if (match := _ID.match(each))]
    hashes = [bytes(match[1]) for each in fields if (match := _HASH.match(each))]
    id = ids[0] if len(ids) == 1 else b""
    is_whole = bool(id) and len(hashes) == 1 and sha256(body).hexdigest().encode() == hashes[0]
    if body and not body.endswith(b"\r\nX-Ledger: %s\r\n" % id) and body != b"X-Ledger: %s\r\n" % id:
        is_whole = False
    lower = [each.lower() for each in fields]
    to = [each[14:].strip().decode("ascii", "replace") for each in fields if each.lower().startswith(b"delivered-to:")]
    return Seen(
        id.decode(),
        is_whole,
        sum(each.startswith(b"received:") for each in lower),
        sum(each.startswith(b"return-path:") for each in lower),
        to[0] if to else "",
        any(each.startswith(b"content-type: multipart/report") for each in lower),
    )


def id_of(message: bytes) -> str:
    """The id that a message carries. AssertionError if it carries none or several."""
    seen = read_message(message)
    assert seen.id, message[:2000]
    return seen.id


def is_whole(message: bytes) -> bool:
    """Whether the body is the one that was sent."""
    return read_message(message).is_whole
