"""What the client machine tells its driver, and what it has learned of the remote host.

Source: RFC 5321 §4.2, §4.1.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ekiden.smtp.replies import Reply

_SIZE = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a remote host announced. name: what it calls itself. extended: it knows EHLO. keywords: upper case → parameters."""

    name: str = ""
    extended: bool = False
    keywords: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_limit(self) -> int | None:
        """The biggest message in bytes; None where nothing usable was said, also for 0 (RFC 1870 §4)."""
        words = self.keywords.get("SIZE", "")
        return (int(words) or None) if _SIZE.fullmatch(words) else None

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """SASL mechanisms, upper case."""
        return tuple(word for word in self.keywords.get("AUTH", "").upper().split(" ") if word)


def read_capabilities(reply: Reply, *, extended: bool) -> Capabilities:
    """From the reply to EHLO or LHLO (RFC 5321 §4.1.1.1); of a keyword that comes twice the first counts."""
    keywords: dict[str, str] = {}
    for line in reply.lines[1:] if extended else ():
        keyword, _, words = line.strip(" ").partition(" ")
        if keyword.isascii() and keyword:
            keywords.setdefault(keyword.upper(), words.strip(" "))
    return Capabilities(reply.lines[0].partition(" ")[0], extended, keywords)


@dataclass(frozen=True, slots=True)
class Ready:
    """Greeted, and greeted again after TLS: now start_tls(), sign_in(), send() or quit()."""

    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Unwelcome:
    """The host does not want to talk. phase: "banner" or "hello". Go to another host; say quit()."""

    phase: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class TlsReady:
    """Start the handshake now, then call secured()."""


@dataclass(frozen=True, slots=True)
class TlsRefused:
    """STARTTLS was refused; the conversation can go on in clear."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class SignInAnswered:
    """AUTH has ended; 235 is success."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class RecipientAnswered:
    """What the host said to one RCPT. index: into the recipients of send()."""

    index: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """354: call content() until all is said, then end_content(); stop early where answered_early is true."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one recipient. is_remote: the reply came from the host; else it is our own word for what went wrong."""

    reply: Reply
    is_remote: bool = True


@dataclass(frozen=True, slots=True)
class MessageDone:
    """The transaction of send() is over, one way or another. results: one for each recipient, in order.

    ambiguous: the final dot was sent and no reply came, so the host may have the message (RFC 1047).
    untouched: the host said nothing at all to this message; on another connection nothing would be repeated.
    """

    results: tuple[Result, ...]
    ambiguous: bool = False
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """QUIT was answered, or the host hung up after it."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The conversation cannot go on. phase: what was being waited for. reply: the 421 that ended it, if there was one."""

    problem: str
    phase: str
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command and its reply, for the journey. command: printable, without secrets; "" before the banner."""

    command: str
    reply: Reply


ClientEvent = (
    Ready | Unwelcome | TlsReady | TlsRefused | SignInAnswered | RecipientAnswered | ContentWanted | MessageDone | Closed | Broken
)
