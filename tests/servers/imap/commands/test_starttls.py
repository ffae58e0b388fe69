"""STARTTLS."""

from __future__ import annotations

import imaplib
import ssl

import pytest
from tests.servers.imap.doors import Doors
from tests.servers.imap.talking import Talk


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_tls_makes_logins_possible(doors: Doors, user: str) -> None:
    with imaplib.IMAP4("127.0.0.1", doors.imap, timeout=20) as client:
        with pytest.raises(imaplib.IMAP4.error):
            client.login(user, "secret")
        client.starttls(_context())
        assert "STARTTLS" not in client.capabilities
        assert "LOGINDISABLED" not in client.capabilities
        assert client.login(user, "secret")[0] == "OK"


def test_tls_from_the_first_byte(doors: Doors, user: str) -> None:
    with imaplib.IMAP4_SSL("127.0.0.1", doors.imaps, ssl_context=_context(), timeout=20) as client:
        assert client.login(user, "secret")[0] == "OK"


def test_what_follows_starttls_in_the_clear_is_never_carried_out(doors: Doors) -> None:
    with Talk(doors.imap) as talk:
        talk.send(b"a STARTTLS\r\nb NOOP\r\n")
        assert talk.rest().startswith(b"* BYE ")


def test_tls_cannot_be_started_twice(doors: Doors) -> None:
    with Talk(doors.clear) as talk:
        assert talk.ask("STARTTLS").status == "BAD"
