"""AUTH: prove who you are, and say for whom a message was first submitted.

The exchange itself is in smtp/server.py and in the SASL mechanisms; here are the keyword and the AUTH= parameter of MAIL.
Source: RFC 4954 §3, §5.
"""

from __future__ import annotations

from ekiden.base.errors import BadValue
from ekiden.smtp.extension import Extension, View
from ekiden.smtp.xtext import decode_xtext


def _advertise(view: View) -> str | None:
    return " ".join(view.mechanisms) if view.mechanisms else None


def _submitter(raw: bytes | None) -> str:
    """A mailbox in xtext, or "<>" for "not known" (RFC 4954 §5). We believe nobody's word, so it is only checked."""
    if raw is None:
        raise BadValue("AUTH parameter")
    return decode_xtext(raw)


EXTENSION = Extension(keyword="AUTH", rfc=4954, advertise=_advertise, mail_params={"AUTH": _submitter})
