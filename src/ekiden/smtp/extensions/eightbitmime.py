"""8BITMIME: a message may hold bytes above 127, and says so.

Source: RFC 6152 §2.
"""

from __future__ import annotations

from ekiden.base.errors import BadValue
from ekiden.mail.envelope import Body
from ekiden.smtp.extension import Extension

_BODIES = {b"7BIT": Body.SEVEN, b"8BITMIME": Body.EIGHT}


def _body(raw: bytes | None) -> Body:
    body = _BODIES.get((raw or b"").upper())
    if body is None:
        raise BadValue("BODY parameter", raw or b"")
    return body


EXTENSION = Extension(keyword="8BITMIME", rfc=6152, mail_params={"BODY": _body})
