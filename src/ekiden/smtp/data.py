"""The content of a message on the wire: end of data, dot-stuffing, and what no message may hold.

Everything is done on whole pieces with a few searches; nothing looks at single lines or bytes. Memory is bounded by the piece
that was given. Only CRLF ends a line: a bare CR or LF neither ends nor splits anything, it makes the message refused.
Source: RFC 5321 §4.1.1.4, §4.5.2, §2.3.8.
"""

from __future__ import annotations

import re

from ekiden.smtp.replies import BARE_LINE_END, CONTENT_LINE_TOO_LONG, MESSAGE_TOO_BIG, NUL_IN_CONTENT, Reply

_END = b"\r\n.\r\n"
_DOTTED = b"\r\n."
_DOT = 0x2E
# Without all other bytes, content is "CRLF CRLF …"; where also no CR stands without LF, no LF can stand without CR.
_NOT_MARKS = bytes(byte for byte in range(256) if byte not in b"\0\r\n")
_BARE_CR = re.compile(rb"\r(?!\n)")


class ContentReader:
    """Reads what follows 354 up to the line with the single dot.

    limit: bytes of content that are kept; line_bytes: the longest line, 0 for any; excess_bytes: how much content beyond the
    limit is read and thrown away, so that the conversation can go on, before it is given up.

    After each read(): chunk is content without dot-stuffing, to be stored, b"" once there is a problem; size is all content so
    far, also what was thrown away; lines is how many CRLF it has, while there is no problem; problem is the reply that the message
    must get; ended is true after the final dot; lost is true where the content was given up, so that the connection can only be
    closed.
    """

    __slots__ = (
        "_carry", "_excess", "_fresh", "_limit", "_line_bytes", "_line_so_far", "_skip",
        "chunk", "ended", "lines", "lost", "problem", "size",
    )  # fmt: skip

    def __init__(self, limit: int, line_bytes: int = 0, excess_bytes: int = 1 << 20) -> None:
        self.chunk = b""
        self.size = 0
        self.lines = 0
        self.problem: Reply | None = None
        self.ended = False
        self.lost = False
        self._limit = limit
        self._excess = excess_bytes
        self._line_bytes = line_bytes
        self._line_so_far = 0
        self._carry = b""  # what may be the beginning of the end, at most 4 bytes
        self._skip = 0
        self._fresh = True

    def read(self, buffer: bytes, at: int = 0) -> int:
        """Take content from buffer[at:]. Returns the position of the first byte that was not taken."""
        if self._fresh:
            if at == len(buffer):
                self.chunk = b""
                return at
            self._fresh = False
            if buffer[at] == _DOT:
                # The CRLF of the DATA line counts as the end of the line before (RFC 5321 §4.1.1.4).
                self._carry, self._skip = b"\r\n", 2
        given = len(buffer)
        if self._carry:
            buffer = self._carry + (buffer[at:] if at else buffer)
            self._carry = b""
            at = 0
        # Mostly no line begins with a dot but the last one: then one search from the end is all.
        dotted = buffer.rfind(_DOTTED, at)
        stuffed = False
        if dotted >= 0:
            end = len(buffer) - len(_END)
            stuffed = buffer.rfind(_DOTTED, at, dotted + 2) >= 0
            if stuffed or dotted != end or not buffer.endswith(_END):
                end = buffer.find(_END, at)
                stuffed = True
            if end >= 0:
                self.ended = True
                self._keep(buffer[at : end + 2], stuffed)
                return given - (len(buffer) - end - len(_END))
        held = _held(buffer, at)
        cut = len(buffer) - held
        self._carry = buffer[cut:]
        self._keep(buffer[at:cut] if at or held else buffer, stuffed)
        return given

    def _keep(self, piece: bytes, stuffed: bool) -> None:
        """Undo the stuffing of one piece and judge it; a piece never ends inside CRLF, nor inside CRLF and dot."""
        if stuffed:
            piece = piece.replace(_DOTTED, b"\r\n")
        if self._skip and piece:
            piece, self._skip = piece[self._skip :], 0
        self.size += len(piece)
        self.chunk = b""
        if self.problem is None:
            self.problem = self._judge(piece)
            if self.problem is None:
                self.chunk = piece
        if self.size > self._limit + self._excess:
            self.problem = self.problem or MESSAGE_TOO_BIG
            self.lost = not self.ended
            self.ended = True

    def _judge(self, piece: bytes) -> Reply | None:
        if self.size > self._limit:
            return MESSAGE_TOO_BIG
        lines = count_lines(piece)
        if lines < 0:
            return NUL_IN_CONTENT if b"\0" in piece else BARE_LINE_END
        self.lines += lines
        if self._line_bytes and self._is_line_too_long(piece):
            return CONTENT_LINE_TOO_LONG
        return None

    def _is_line_too_long(self, piece: bytes) -> bool:
        limit = self._line_bytes
        if self._line_so_far + len(piece) <= limit:
            last = piece.rfind(b"\r\n")
            self._line_so_far = self._line_so_far + len(piece) if last < 0 else len(piece) - last - 2
            return False
        at = 0
        room = limit - self._line_so_far
        while len(piece) - at > room:
            last = piece.rfind(b"\r\n", at, at + room + 2)
            if last < 0:
                return True
            at, room = last + 2, limit
        last = piece.rfind(b"\r\n", at)
        if last >= 0:
            at, room = last + 2, limit
        self._line_so_far = limit - room + len(piece) - at
        return False


def count_lines(piece: bytes) -> int:
    """How many CRLF there are; -1 where there is a NUL, or a CR or LF that is not part of CRLF."""
    marks = piece.translate(None, _NOT_MARKS)
    count = len(marks) >> 1
    return -1 if marks != b"\r\n" * count or _BARE_CR.search(piece) is not None else count


def holds_bad_marks(piece: bytes) -> bool:
    """A NUL, or a CR or LF that is not part of CRLF."""
    return count_lines(piece) < 0


def _held(buffer: bytes, at: int) -> int:
    """How many bytes at the end of buffer[at:] may begin the end of data."""
    for length in (4, 3, 2, 1):
        if buffer.endswith(_END[:length], at):
            return length
    return 0
