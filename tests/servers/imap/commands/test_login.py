"""LOGIN and AUTHENTICATE."""

from __future__ import annotations

from base64 import b64encode

import pytest
from tests.servers.imap.doors import Doors
from tests.servers.imap.talking import Talk


def test_login_needs_tls(doors: Doors, user: str) -> None:  # IM-25
    with Talk(doors.imap) as talk:
        assert (answer := talk.ask(f"LOGIN {user} secret")).status == "NO"
        assert answer.code == "PRIVACYREQUIRED"
        assert talk.ask("AUTHENTICATE PLAIN").code == "PRIVACYREQUIRED"


@pytest.mark.parametrize("form", ["LOGIN {} secret", 'LOGIN "{}" "secret"', "LOGIN {}@example.test secret"])
def test_login_signs_in(doors: Doors, user: str, form: str) -> None:
    with Talk(doors.clear) as talk:
        answer = talk.ask(form.format(user))
        assert answer.status == "OK"
        assert answer.code.startswith("CAPABILITY IMAP4rev1")
        assert talk.ask("LOGIN a b").status == "BAD"


def test_a_wrong_password_is_refused(doors: Doors, user: str) -> None:
    with Talk(doors.clear) as talk:
        assert talk.ask(f"LOGIN {user} wrong").code == "AUTHENTICATIONFAILED"
        assert talk.ask(b'LOGIN "\xff" wrong').code == "AUTHENTICATIONFAILED"
        assert talk.ask("SELECT INBOX").status == "BAD"


def _plain(user: str, password: str = "secret") -> bytes:
    return b64encode(b"\0%b\0%b" % (user.encode(), password.encode()))


def test_plain_with_and_without_an_initial_response(doors: Doors, user: str) -> None:  # RFC 4959
    with Talk(doors.clear) as talk:
        assert talk.ask(b"AUTHENTICATE PLAIN " + _plain(user)).status == "OK"
    with Talk(doors.clear) as talk:
        tag = talk.begin("AUTHENTICATE PLAIN")
        assert talk.line() == b"+ \r\n"
        talk.send(_plain(user) + b"\r\n")
        assert talk.answer(tag).status == "OK"


def test_the_old_mechanism_login(doors: Doors, user: str) -> None:
    with Talk(doors.clear) as talk:
        tag = talk.begin("authenticate login")
        assert talk.line() == b"+ " + b64encode(b"Username:") + b"\r\n"
        talk.send(b64encode(user.encode()) + b"\r\n")
        assert talk.line() == b"+ " + b64encode(b"Password:") + b"\r\n"
        talk.send(b64encode(b"secret") + b"\r\n")
        assert talk.answer(tag).status == "OK"


@pytest.mark.parametrize("response", [b"*", b"not base64", b"AAA", b64encode(b"no nul")])
def test_an_exchange_that_goes_wrong_leaves_the_client_where_it_was(doors: Doors, user: str, response: bytes) -> None:
    with Talk(doors.clear) as talk:
        tag = talk.begin("AUTHENTICATE PLAIN")
        talk.line()
        talk.send(response + b"\r\n")
        assert talk.answer(tag).status == "BAD"
        assert talk.ask(f"LOGIN {user} secret").status == "OK"


def test_an_unknown_mechanism_is_refused(doors: Doors) -> None:
    with Talk(doors.clear) as talk:
        assert talk.ask("AUTHENTICATE X-NONE").status == "NO"
        assert talk.ask("AUTHENTICATE PLAIN =").status == "BAD"


def test_one_account_has_a_limited_number_of_sessions(doors: Doors, user: str) -> None:  # IM-29
    talks = [Talk(doors.clear, user) for _ in range(20)]
    try:
        with Talk(doors.clear) as talk:
            assert talk.ask(f"LOGIN {user} secret").code == "LIMIT"
            with talks.pop() as ended:
                ended.send(b"a LOGOUT\r\n")
                ended.rest()
            assert talk.ask(f"LOGIN {user} secret").status == "OK"
    finally:
        for each in talks:
            each.close()
