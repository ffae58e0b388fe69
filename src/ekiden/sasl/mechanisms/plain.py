"""PLAIN and LOGIN: name and password as they are, so inside TLS only.

LOGIN was never standardised; it is what some old clients speak. Both give the same Proof.
Source: RFC 4616 §2.
"""

from __future__ import annotations

from ekiden.base.errors import BadValue
from ekiden.sasl.mechanism import Challenge, Offer, Proof

_NAME_BYTES = 1_024  # RFC 4616 §2 wants 255 octets at least


class Plain:
    """One message: who to act as, NUL, name, NUL, password."""

    name = "PLAIN"

    def step(self, response: bytes | None) -> Challenge | Proof:
        """See Mechanism.step."""
        if response is None:
            return Challenge(b"")
        acting_as, *rest = response.split(b"\0")
        if len(rest) != 2:
            raise BadValue("PLAIN message", because="it has two NULs")
        name, password = rest
        return Proof(_name(name), _password(password), _name(acting_as) if acting_as else "")


class Login:
    """Two questions, name and password; the name may come as the initial response."""

    name = "LOGIN"

    def __init__(self) -> None:
        self._name: str | None = None
        self._asked = False

    def step(self, response: bytes | None) -> Challenge | Proof:
        """See Mechanism.step."""
        if response is None or (response == b"" and not self._asked):
            self._asked = True
            return Challenge(b"Username:")
        self._asked = True
        if self._name is None:
            self._name = _name(response)
            return Challenge(b"Password:")
        return Proof(self._name, _password(response))


def _name(raw: bytes) -> str:
    if not raw or len(raw) > _NAME_BYTES or b"\0" in raw:
        raise BadValue("name", because="1 to 1,024 bytes without NUL")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadValue("name", because="not UTF-8") from error


def _password(raw: bytes) -> bytes:
    # An empty password is never passed on: some directories take it for an anonymous login, which always succeeds.
    if not raw:
        raise BadValue("password", because="empty")
    return raw


MECHANISMS = (Offer("PLAIN", Plain, needs_tls=True), Offer("LOGIN", Login, needs_tls=True))
