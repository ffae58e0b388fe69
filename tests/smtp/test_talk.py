"""Lines in, replies out, errors counted: what a conversation has before it knows anything of mail.

Rows SI-12, SI-13, SI-23, SI-24.
"""

from __future__ import annotations

import pytest
from tests.smtp.desk import CUTS, Cut
from tests.smtp.test_server import TX, codes, desk

from ekiden.base.errors import ProtocolError
from ekiden.smtp import replies
from ekiden.smtp.events import AuthResponse


def test_replies_of_a_group_leave_together() -> None:
    at = desk()
    at.tell(TX[0])
    at.machine.receive(b"".join(TX[1:]) + b"NOOP\r\n")
    at.work()
    assert codes(at.machine.take_output()) == ["250 2.1.0", "250 2.1.5", "250 2.0.0"]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("length", "code"), [(4089, "250 2.0.0"), (4090, "500 5.5.2"), (60_000, "500 5.5.2")])
def test_lines_up_to_4096_bytes(length: int, code: str, cut: Cut) -> None:
    """Row SI-12: NOOP, space, text and CRLF."""
    at = desk()
    assert codes(at.tell(b"NOOP " + b"a" * length + b"\r\nRSET\r\n", cut=cut)) == [code, "250 2.0.0"]


def test_a_command_without_end_is_not_kept() -> None:
    """Row SI-13."""
    at = desk()
    said = b""
    for _ in range(2):
        assert said == b""
        said += at.tell(b"A" * 40_000)
        assert at.machine.buffered_bytes <= 4096
    assert codes(said) == ["500 5.5.2"]
    assert at.machine.wants_close


@pytest.mark.parametrize("line", [b"NOOP\r\n", b"RSET\r\n", b"VRFY x\r\n", b"HELP\r\n", b"EHLO c.test\r\n"])
def test_a_hundred_commands_without_a_message(line: bytes) -> None:
    """Row SI-23."""
    at = desk()
    said = at.tell(line * 120)
    assert codes(said)[100:] == ["421 4.7.0"]
    assert at.machine.wants_close


def test_twenty_errors() -> None:
    """Row SI-24."""
    at = desk()
    for count in range(1, 20):
        at.machine.receive(b"FOO\r\n")
        at.work()
        assert at.machine.delay_s == (1.0 if count >= 10 else 0.0)
        assert codes(at.machine.take_output()) == ["500 5.5.1"]
    assert codes(at.tell(b"FOO\r\nFOO\r\n")) == ["421 4.7.0"]
    assert at.machine.wants_close


@pytest.mark.parametrize(("length", "code"), [(12_272, "535 5.7.8"), (12_276, "500 5.5.6")])
def test_auth_lines_up_to_12288_bytes(length: int, code: str) -> None:
    """Row AU-10, for the response as for the command."""
    at = desk(listener="submissions", secure=True, auth=("PLAIN",))
    at.tell(TX[0])
    assert codes(at.tell(b"AUTH PLAIN " + b"A" * length + b"\r\n")) == [code]
    at.tell(b"AUTH PLAIN\r\n")
    assert codes(at.tell(b"A" * (length + 12) + b"\r\n")) == [code]
    if code.startswith("500"):
        assert at.events[-1] == AuthResponse(None)
    assert codes(at.tell(b"NOOP\r\n")) == ["250 2.0.0"]


def test_answers_need_a_question() -> None:
    at = desk()
    with pytest.raises(ProtocolError):
        at.machine.answer(replies.OK)
    with pytest.raises(ProtocolError):
        at.machine.accept()
    with pytest.raises(ProtocolError):
        at.machine.challenge(b"")


def test_421_from_a_session_closes() -> None:
    at = desk()
    at.tell(TX[0])
    at.machine.receive(TX[1])
    at.machine.next_event()
    at.machine.answer(replies.SHUTTING_DOWN)
    assert at.machine.wants_close
    other = desk()
    other.machine.say(replies.TIMED_OUT)
    assert (codes(other.machine.take_output()), other.machine.wants_close) == (["421 4.4.2"], True)


def test_what_waits_is_counted() -> None:
    at = desk()
    at.machine.receive(b"EHLO c.test\r\nNOOP\r\n")
    at.machine.receive(b"NOOP\r\n")
    at.machine.next_event()
    assert at.machine.buffered_bytes == 12
