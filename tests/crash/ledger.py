"""The ledger: what clients were told, against what is there afterwards.

Each message carries its id and a hash of its body. A client writes down what it has sent and what it heard, before and after; the
checker then counts copies. Nothing of this knows how the server works.
Source: reliability.md §3.1.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256

SIZES = (0, 200, 4_096, 4_096, 300_000)
_ID = re.compile(rb"^X-Ledger: ([a-z0-9-]+)\r\n", re.MULTILINE)
_HASH = re.compile(rb"^X-Hash: ([0-9a-f]{64})\r\n", re.MULTILINE)


class Heard(Enum):
    """What a client knows of one message. SENT: it began to send the content and heard nothing (it may be there or not)."""

    UNSENT = "unsent"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"


@dataclass(slots=True)
class Line:
    """One message of the ledger: for whom, and what its client knows."""

    id: str
    recipients: tuple[str, ...]
    heard: Heard = Heard.UNSENT


@dataclass(slots=True)
class Ledger:
    """All messages of one client. author: the address in From; submission takes only those of the account."""

    name: str
    dice: random.Random
    lines: list[Line] = field(default_factory=list)
    author: str = "somebody@two.test"

    def next_message(self, recipients: tuple[str, ...], size: int | None = None) -> tuple[Line, bytes]:
        """A new message and its line. size: of its body, about; None draws one of SIZES."""
        line = Line(f"{self.name}-{len(self.lines)}-{self.dice.getrandbits(64):016x}", recipients)
        self.lines.append(line)
        size = self.dice.choice(SIZES) if size is None else size
        body = (f"{line.id} text of a message, longer or shorter.\r\n".encode() * (size // 40 + 1))[: size // 40 * 40]
        body = body[: body.rfind(b"\r\n") + 2] + f"end of {line.id}\r\n".encode()
        head = f"From: {self.author}\r\nSubject: {line.id}\r\nX-Ledger: {line.id}\r\nX-Hash: {sha256(body).hexdigest()}\r\n\r\n"
        return line, head.encode() + body


@dataclass(slots=True)
class Verdict:
    """What is wrong: (id, recipient) pairs. All empty is the promise."""

    lost: list[tuple[str, str]] = field(default_factory=list)
    doubled: list[tuple[str, str]] = field(default_factory=list)
    ghosts: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    acknowledged: int = 0
    open: int = 0
    open_arrived: int = 0

    @property
    def is_clean(self) -> bool:
        """Nothing lost, nothing doubled, nothing that should not be there, nothing damaged."""
        return not (self.lost or self.doubled or self.ghosts or self.damaged)


def id_of(message: bytes) -> str:
    """The id that a message carries. AssertionError if it carries none or several."""
    ids = _ID.findall(message)
    assert len(ids) == 1, message[:2000]
    return bytes(ids[0]).decode()


def is_whole(message: bytes) -> bool:
    """Whether the body is the one that was sent."""
    said = _HASH.findall(message)
    return len(said) == 1 and sha256(message.partition(b"\r\n\r\n")[2]).hexdigest() == bytes(said[0]).decode()


def judge(ledgers: Iterable[Ledger], found: dict[str, list[bytes]]) -> Verdict:
    """Hold what was heard against what each recipient has. found: recipient → messages, from mailboxes and queue."""
    verdict = Verdict()
    counts: Counter[tuple[str, str]] = Counter()
    for recipient, messages in found.items():
        for message in messages:
            key = (id_of(message), recipient)
            counts[key] += 1
            if not is_whole(message):
                verdict.damaged.append(key)
    for ledger in ledgers:
        for line in ledger.lines:
            verdict.acknowledged += line.heard is Heard.ACKNOWLEDGED
            verdict.open += line.heard is Heard.SENT
            for recipient in line.recipients:
                count = counts.pop((line.id, recipient), 0)
                if count > 1:
                    verdict.doubled.append((line.id, recipient))
                if line.heard is Heard.ACKNOWLEDGED and count == 0:
                    verdict.lost.append((line.id, recipient))
                if line.heard in (Heard.UNSENT, Heard.REFUSED) and count:
                    verdict.ghosts.append((line.id, recipient))
                if line.heard is Heard.SENT:
                    verdict.open_arrived += count > 0
    verdict.ghosts.extend(counts)
    return verdict
