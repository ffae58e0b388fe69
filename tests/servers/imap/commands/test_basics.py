"""CAPABILITY, NOOP, LOGOUT, CHECK."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.doors import Doors
from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def _capabilities(talk: Talk) -> list[object]:
    return list(talk.ask("CAPABILITY").of("CAPABILITY")[0])


def test_capabilities_fit_the_state(doors: Doors, connect: Connect) -> None:
    with Talk(doors.imap) as talk:
        assert {b"IMAP4rev1", b"LITERAL+", b"SASL-IR", b"STARTTLS", b"LOGINDISABLED", b"ID", b"IDLE"} <= set(_capabilities(talk))
        assert b"AUTH=PLAIN" not in _capabilities(talk)
        assert talk.greeting.codes[0].startswith("CAPABILITY IMAP4rev1 ")
    with Talk(doors.clear) as talk:
        found = _capabilities(talk)
        assert b"AUTH=PLAIN" in found
        assert b"STARTTLS" not in found
        assert b"LOGINDISABLED" not in found
    found = _capabilities(connect())
    assert {b"UIDPLUS", b"MOVE", b"UNSELECT", b"NAMESPACE", b"SPECIAL-USE", b"CHILDREN"} <= set(found)
    assert b"AUTH=PLAIN" not in found
    assert b"IMAP4rev2" not in found
    assert len(found) == len(set(found))


def test_logout_says_bye_and_hangs_up(connect: Connect) -> None:
    talk = connect()
    talk.send(b"a LOGOUT\r\nb NOOP\r\n")
    assert talk.rest() == b"* BYE Until next time\r\na OK Logged out\r\n"


def test_noop_and_check_tell_what_is_new(connect: Connect) -> None:
    one, two = connect("INBOX"), connect("INBOX")
    two.append(b"\r\nx")
    assert ("EXISTS", 1) in one.ask("NOOP").numbers
    two.append(b"\r\nx")
    assert ("EXISTS", 2) in one.ask("CHECK").numbers
    two.ask("STORE 1 +FLAGS (\\Deleted)")
    assert one.ask("NOOP").fetched[1][b"FLAGS"] == [b"\\Deleted", b"\\Recent"]
    two.ask("EXPUNGE")
    assert one.ask("NOOP").numbers == [("EXPUNGE", 1)]
    assert one.ask("NOOP").lines == []
