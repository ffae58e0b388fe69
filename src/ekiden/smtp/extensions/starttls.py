"""STARTTLS: continue under TLS.

The change of state is in smtp/server.py, the handshake in net/tls.py; here is the keyword, shown only in clear.
Source: RFC 3207 §4.
"""

from __future__ import annotations

from ekiden.smtp.extension import Extension, View


def _advertise(view: View) -> str | None:
    return "" if view.starttls else None


EXTENSION = Extension(keyword="STARTTLS", rfc=3207, advertise=_advertise)
