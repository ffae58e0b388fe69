"""Messages in files: one a file, an mbox, a Maildir, or a folder of such files.

Line ends become CRLF, as in the store. Only so much of a message is kept as it may have in the store; a file that is no mail is read as a
message all the same.
Source: RFC 4155 (mbox), https://cr.yp.to/proto/maildir.html
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

LARGEST = 64 << 20
"""Bytes of one message; what is beyond is dropped."""
_LONE_LF = re.compile(rb"(?<!\r)\n")
# Not every program quotes a text that begins so; a time is what such a text has not.
_NEXT = re.compile(rb"From [^\r\n]*[0-9]{2}:[0-9]{2}[^\r\n]*[0-9]{4}")
_QUOTED = re.compile(rb">+From ")


def messages_in(place: Path) -> Iterator[bytes]:
    """All messages, in order; "-" is standard input. Raises OSError."""
    if str(place) == "-":
        yield from _of_lines(sys.stdin.buffer)
        return
    if not place.is_dir():
        with place.open("rb") as lines:
            yield from _of_lines(lines)
        return
    folders = [place / name for name in ("new", "cur") if (place / name).is_dir()] or [place]
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                with file.open("rb") as lines:
                    yield from _of_lines(lines)


def _of_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """One message, or those of an mbox: each begins with a line "From " that has a time, after an empty one."""
    kept: list[bytes] = []
    size = 0
    is_mbox, is_first, after_empty = False, True, True
    for line in lines:
        if is_first:
            is_first = False
            is_mbox = line.startswith(b"From ")
            if is_mbox:
                continue
        if is_mbox and after_empty and _NEXT.match(line):
            yield _whole(kept, is_mbox)
            kept, size, after_empty = [], 0, False
            continue
        after_empty = line in (b"\n", b"\r\n")
        size += len(line)
        if size <= LARGEST:
            kept.append(line[1:] if is_mbox and _QUOTED.match(line) else line)
    if kept or is_mbox:
        yield _whole(kept, is_mbox)


def _whole(lines: list[bytes], is_mbox: bool) -> bytes:
    if is_mbox and lines and lines[-1] in (b"\n", b"\r\n"):  # it belongs to the mbox
        lines.pop()
    return _LONE_LF.sub(b"\r\n", b"".join(lines))
