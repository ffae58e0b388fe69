"""The body of a multi-line response: lines end in CRLF, a dot at their start is doubled, ".CRLF" ends it all.

Works on pieces of any size, in bulk. Mail that was stored with bare LF goes out with CRLF, a last line without end gets one.
Source: RFC 1939 §3, §7 (TOP).
"""

from __future__ import annotations

import re

_BARE_LF = re.compile(rb"(?<!\r)\n")


class Stuffer:
    """Turns the pieces of one message into the pieces of one response."""

    def __init__(self) -> None:
        self._held = b""  # a CR whose LF may begin the next piece
        self._line_start = True

    def feed(self, piece: bytes) -> bytes:
        """More of the message, as it goes out."""
        data = self._held + piece if self._held else piece
        self._held = b""
        if data.endswith(b"\r"):
            self._held = b"\r"
            data = data[:-1]
        if not data:
            return b""
        if data.count(b"\n") != data.count(b"\r\n"):
            data = _BARE_LF.sub(b"\r\n", data)
        stuffed = data.replace(b"\n.", b"\n..")
        if self._line_start and data.startswith(b"."):
            stuffed = b"." + stuffed
        self._line_start = data.endswith(b"\n")
        return stuffed

    def end(self) -> bytes:
        """What is still missing, and the end of the response."""
        held, self._held = self._held, b""
        if held:
            return b"\r\n.\r\n"  # the CR at the very end of the message becomes the end of its last line
        return b".\r\n" if self._line_start else b"\r\n.\r\n"


class LineCounter:
    """Lets the first lines of a body through (TOP); lines counts down."""

    def __init__(self, lines: int) -> None:
        self.left = lines

    def feed(self, piece: bytes) -> bytes:
        """What of this piece still belongs to the wanted lines; empty once there are enough."""
        if self.left <= 0:
            return b""
        here = piece.count(b"\n")
        if here < self.left:
            self.left -= here
            return piece
        rest = piece.split(b"\n", self.left)[-1]
        self.left = 0
        return piece[: len(piece) - len(rest)]
