"""Reading the replies of a remote host that may be broken or hostile.

Bounds on everything, one pass over each line. What is kept of a reply is printable: it will stand in logs, reports and pages.
Source: RFC 5321 §4.2, RFC 3463 §2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ekiden.base.errors import ProtocolError
from ekiden.smtp.replies import Reply, printable

_KEPT_CHARACTERS = 512

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?: |\Z)")


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """What a remote host may answer: bytes of a line, lines and bytes of a reply."""

    line_bytes: int = 4096
    lines: int = 100
    reply_bytes: int = 65_536


USUAL = ReplyLimits()


class ReplyReader:
    """Bytes in, replies out.

    A line may end with LF alone, which some hosts do; a reply's end is never guessed at.
    """

    def __init__(self, limits: ReplyLimits = USUAL) -> None:
        self._limits = limits
        self._buffer = b""
        self._lines: list[str] = []
        self._bytes = 0
        self._code = 0
        self._enhanced: tuple[int, int, int] | None = None

    def receive(self, data: bytes) -> None:
        """Take bytes from the remote host."""
        self._buffer += data

    @property
    def has_bytes(self) -> bool:
        """Something lies here that has not been read as a reply."""
        return bool(self._buffer) or bool(self._lines)

    def next_reply(self) -> Reply | None:
        """The next complete reply, or None. Raises ProtocolError for what is no reply, or too much of one."""
        while True:
            end = self._buffer.find(b"\n")
            if end > self._limits.line_bytes or (end < 0 and len(self._buffer) > self._limits.line_bytes):
                raise ProtocolError(f"a reply line of more than {self._limits.line_bytes} bytes")
            if end < 0:
                return None
            line = self._buffer[:end].removesuffix(b"\r")
            self._buffer = self._buffer[end + 1 :]
            self._bytes += end + 1
            if self._take(line):
                reply = Reply(self._code, self._enhanced, tuple(self._lines))
                self._lines, self._bytes, self._enhanced = [], 0, None
                return reply

    def _take(self, line: bytes) -> bool:
        """Add one line; true if it was the last of its reply."""
        match = _LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(f"not a reply: {_readable(line[:80])}")
        code = int(match[1])
        if self._lines and code != self._code:
            raise ProtocolError(f"a reply that begins with {self._code} and goes on with {code}")
        if len(self._lines) == self._limits.lines or self._bytes > self._limits.reply_bytes:
            raise ProtocolError("a reply without end")
        words = _readable(match[3] or b"")
        found = _ENHANCED.match(words)
        if found is not None and int(found[1]) == code // 100:
            self._enhanced = self._enhanced or (int(found[1]), int(found[2]), int(found[3]))
            words = words[found.end() :]
        self._code = code
        self._lines.append(words[:_KEPT_CHARACTERS])
        return match[2] != b"-"


def _readable(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("ascii", "backslashreplace")
    return printable(text)
