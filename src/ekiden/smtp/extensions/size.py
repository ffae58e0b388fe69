"""SIZE: say how big a message may be, and refuse a bigger one before it is sent.

Source: RFC 1870 §3, §4, §6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ekiden.base.errors import BadValue
from ekiden.smtp.extension import Extension, View
from ekiden.smtp.replies import MESSAGE_TOO_BIG, Reply

_DIGITS = re.compile(rb"[0-9]{1,20}")


def _advertise(view: View) -> str:
    return str(view.message_bytes)


def _octets(raw: bytes | None) -> int:
    """A size in bytes, at most 20 digits (RFC 1870 §3)."""
    if raw is None or not _DIGITS.fullmatch(raw):
        raise BadValue("SIZE parameter", raw or b"")
    return int(raw)


def _refuse_bigger(view: View, params: Mapping[str, object]) -> Reply | None:
    size = params.get("SIZE")
    return MESSAGE_TOO_BIG if isinstance(size, int) and size > view.message_bytes else None


EXTENSION = Extension(
    keyword="SIZE",
    rfc=1870,
    advertise=_advertise,
    mail_params={"SIZE": _octets},
    check_mail=_refuse_bigger,
)
