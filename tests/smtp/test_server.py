"""The server machine: rows SI, SS, AU and TL of the table of attacks that grammar, order and limits decide."""

from __future__ import annotations

import tracemalloc

import pytest
from tests.smtp.desk import CUTS, Cut, Desk

from ekiden.base.errors import ProtocolError
from ekiden.smtp import replies
from ekiden.smtp.events import BodyChunk, BodyEnd, Hello, Quit, Refused, Reset, StartTls
from ekiden.smtp.server import ServerSettings, SmtpServer

TX = (b"EHLO c.test\r\n", b"MAIL FROM:<a@remote.test>\r\n", b"RCPT TO:<alice@local.test>\r\n")


def desk(
    *, listener: str = "mx", secure: bool = False, starttls: bool = False, auth: tuple[str, ...] = (), greet: bool = True, **limits: int
) -> Desk:
    settings = ServerSettings("mx.ekiden.test", listener, **limits)  # type: ignore[arg-type]  # tests name the integers only
    machine = SmtpServer(settings, secure=secure, offers_starttls=starttls, offers_auth=auth)
    if greet:
        machine.greet()
        machine.take_output()
    return Desk(machine)


def codes(said: bytes) -> list[str]:
    """The code of each reply, with its enhanced code."""
    lines = said.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    return [" ".join(line.split(" ")[:2]) for line in lines if line[3] == " "]


@pytest.mark.parametrize("cut", CUTS)
def test_a_message_from_banner_to_goodbye(cut: Cut) -> None:
    at = desk()
    said = at.tell(*TX, b"DATA\r\n", b"Subject: x\r\n\r\n..dot\r\n.\r\n", b"QUIT\r\n", cut=cut)
    assert codes(said)[-5:] == ["250 2.1.0", "250 2.1.5", "354 Send", "250 2.0.0", "221 2.0.0"]
    [message] = at.messages
    assert (message.sender, message.recipients) == ("a@remote.test", ["alice@local.test"])
    assert message.content == b"Subject: x\r\n\r\n.dot\r\n"
    assert at.machine.wants_close
    assert at.events[-1] == Quit()


def test_a_small_message_comes_in_one_piece() -> None:
    at = desk()
    at.tell(*TX, b"DATA\r\n", b"a\r\n" * 1000 + b".\r\n")
    assert at.events[-2:] == [BodyChunk(b"a\r\n" * 1000), BodyEnd(3000, None, 1000)]


def test_nothing_is_said_before_the_greeting() -> None:
    at = desk(greet=False, listener="submission")
    assert at.tell(b"NOOP\r\n") == b""
    at.machine.greet()
    at.work()
    assert codes(at.machine.take_output()) == ["220 mx.ekiden.test", "250 2.0.0"]


@pytest.mark.parametrize(("listener", "closes"), [("mx", True), ("submission", False)])
def test_who_speaks_before_the_banner(listener: str, closes: bool) -> None:
    """Row SI-19."""
    at = desk(greet=False, listener=listener)
    at.tell(b"EHLO c.test\r\n")
    at.machine.greet()
    at.work()
    assert at.machine.wants_close == closes
    assert codes(at.machine.take_output())[0] == ("554 5.5.1" if closes else "220 mx.ekiden.test")


def test_a_banner_that_refuses_closes() -> None:
    at = desk(greet=False)
    at.machine.greet(replies.HOST_REFUSED)
    assert codes(at.machine.take_output()) == ["554 5.7.1"]
    assert at.machine.wants_close
    assert at.tell(b"NOOP\r\n") == b""


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("content", [b"", b"From: x\r\n\r\nhi\r\n.\r\n"])
def test_content_that_does_not_wait_for_354(content: bytes, cut: Cut) -> None:
    """Row SI-20: in one piece it is refused; in small ones the machine has said 354 before it comes."""
    at = desk()
    at.tell(b"".join(TX))
    said = at.tell(b"DATA\r\n" + content, cut=cut)
    if content and cut is CUTS[0]:
        assert (codes(said), at.machine.wants_close, at.messages) == (["554 5.5.0"], True, [])
    else:
        assert codes(said)[0] == "354 Send"


def test_content_that_overtakes_354() -> None:
    at = desk()
    at.tell(*TX)
    at.machine.receive(b"DATA\r\n")
    at.machine.next_event()
    at.machine.receive(b"From: x\r\n")
    at.machine.accept()
    assert isinstance(at.machine.next_event(), Refused)
    assert codes(at.machine.take_output()) == ["554 5.5.0"]
    assert at.machine.wants_close


def test_content_goes_on_after_the_limit_in_step() -> None:
    """Row SI-32."""
    at = desk(message_bytes=100)
    said = at.tell(*TX, b"DATA\r\n", b"x" * 98 + b"\r\n.\r\n", *TX[1:], b"DATA\r\n", b"x" * 99 + b"\r\n.\r\nNOOP\r\n")
    assert codes(said)[-6:] == ["250 2.0.0", "250 2.1.0", "250 2.1.5", "354 Send", "552 5.3.4", "250 2.0.0"]
    assert [message.content for message in at.messages] == [b"x" * 98 + b"\r\n"]


def test_content_without_bound_closes() -> None:
    """Row SI-33."""
    at = desk(message_bytes=100)
    said = at.tell(*TX, b"DATA\r\n", *[b"x" * 65_536] * 17)
    assert codes(said)[-1] == "552 5.3.4"
    assert at.machine.wants_close


def test_a_session_cannot_promise_what_the_machine_refused() -> None:
    at = desk()
    at.tell(*TX, b"DATA\r\n")
    at.machine.receive(b"a\nb\r\n.\r\n")
    assert at.machine.next_event() == BodyEnd(5, replies.BARE_LINE_END)
    at.machine.answer(replies.OK)
    assert codes(at.machine.take_output()) == ["550 5.5.2"]


def test_a_tls_handshake_in_clear() -> None:
    """Row SI-18."""
    at = desk()
    said = at.tell(bytes.fromhex("16030100c8010000c40303") + bytes(range(190)))
    assert codes(said) == ["554 5.5.1"]
    assert at.machine.wants_close


def test_a_web_request_ends_at_its_first_line() -> None:
    """Rows SI-16, SI-17."""
    at = desk()
    said = at.tell(b"POST / HTTP/1.1\r\n\r\n" + b"".join(TX) + b"DATA\r\n")
    assert (codes(said), at.machine.wants_close) == (["554 5.5.1"], True)


def test_nothing_after_quit() -> None:
    """Row SI-21."""
    at = desk()
    assert codes(at.tell(b"QUIT\r\nQUIT\r\nNOOP\r\n")) == ["221 2.0.0"]


def test_a_message_renews_the_patience() -> None:
    at = desk()
    at.tell(b"NOOP\r\n" * 60, *TX, b"DATA\r\n", b".\r\n")
    assert codes(at.tell(b"NOOP\r\n" * 100)) == ["250 2.0.0"] * 100


def test_unknown_recipients_are_errors() -> None:
    """Row SS-35."""
    at = desk()
    said = at.tell(*TX[:2], b"RCPT TO:<unknown@local.test>\r\n" * 25)
    assert codes(said)[2:] == ["550 5.1.1"] * 19 + ["421 4.7.0"]


def test_recipients_up_to_their_limit() -> None:
    """Row SS-25."""
    at = desk(recipients=3)
    said = at.tell(*TX[:2], TX[2] * 4, b"DATA\r\n", b".\r\n")
    assert codes(said)[2:] == ["250 2.1.5"] * 3 + ["452 4.5.3", "354 Send", "250 2.0.0"]
    assert at.messages[0].recipients == ["alice@local.test"] * 3


def test_messages_up_to_their_limit() -> None:
    at = desk(messages=2)
    for _ in range(2):
        at.tell(*TX, b"DATA\r\n", b".\r\n")
    assert codes(at.tell(b"MAIL FROM:<>\r\n")) == ["421 4.7.0"]
    assert at.machine.wants_close


def test_refused_content_ends_the_transaction() -> None:
    """Row SS-05, both at DATA and at the end of data."""
    at = desk()
    at.data_reply = replies.NOT_ALLOWED
    assert codes(at.tell(*TX, b"DATA\r\n", TX[2], b"DATA\r\n"))[-3:] == ["550 5.7.1", "503 5.5.1", "503 5.5.1"]
    at.data_reply, at.body_reply = None, replies.NOT_ALLOWED
    assert codes(at.tell(*TX, b"DATA\r\n", b".\r\n", TX[2], b"DATA\r\n"))[-3:] == ["550 5.7.1", "503 5.5.1", "503 5.5.1"]


def test_vrfy_does_not_touch_the_transaction() -> None:
    """Row SS-07."""
    at = desk()
    said = at.tell(*TX, b"VRFY \xc3\xa9@local.test\r\nDATA\r\n", b".\r\n")
    assert codes(said)[-3:] == ["553 5.6.7", "354 Send", "250 2.0.0"]


def test_rset_tells_the_session_only_of_a_transaction() -> None:
    at = desk()
    at.tell(b"RSET\r\n", *TX, b"RSET\r\n")
    assert at.events.count(Reset()) == 1


def test_half_a_message_is_nothing() -> None:
    """Row SI-28."""
    at = desk()
    at.tell(*TX, b"DATA\r\n", b"Subject: x\r\n")
    assert at.machine.waiting_for == "data"
    at.machine.receive_eof()
    at.work()
    assert (at.messages, at.machine.wants_close) == ([], True)


def test_what_was_sent_before_the_end_is_still_done() -> None:
    at = desk()
    at.machine.receive(b"NOOP\r\nQUIT\r\n")
    at.machine.receive_eof()
    at.work()
    assert codes(at.machine.take_output()) == ["250 2.0.0", "221 2.0.0"]


def test_clear_text_behind_starttls_is_never_run() -> None:
    """Row TL-01: RFC 3207 §4.2."""
    at = desk(starttls=True)
    said = at.tell(TX[0], b"STARTTLS\r\nMAIL FROM:<x@evil.test>\r\n")
    assert (codes(said)[-1], at.machine.wants_close) == ("501 5.5.1", True)
    assert StartTls() not in at.events


def test_clear_text_between_starttls_and_its_answer() -> None:
    at = desk(starttls=True)
    at.tell(TX[0])
    at.machine.receive(b"STARTTLS\r\n")
    assert at.machine.next_event() == StartTls()
    at.machine.receive(b"MAIL FROM:<x@evil.test>\r\n")
    at.machine.accept()
    assert isinstance(at.machine.next_event(), Refused)
    assert codes(at.machine.take_output()) == ["501 5.5.1"]
    assert at.machine.wants_close


def test_tls_forgets_what_was_said() -> None:
    """Rows TL-04, TL-05."""
    at = desk(starttls=True)
    assert codes(at.tell(TX[0], b"STARTTLS\r\n"))[-1] == "220 2.0.0"
    assert at.machine.waiting_for == "handshake"
    at.machine.secured()
    assert codes(at.tell(b"MAIL FROM:<>\r\n")) == ["503 5.5.1"]
    said = at.tell(TX[0])
    assert b"STARTTLS" not in said
    assert codes(at.tell(b"STARTTLS\r\n")) == ["503 5.5.1"]


def test_a_session_may_refuse_tls() -> None:
    at = desk(starttls=True)
    at.tell(TX[0])
    at.machine.receive(b"STARTTLS\r\n")
    at.machine.next_event()
    at.machine.answer(replies.TLS_NOT_NOW)
    assert codes(at.machine.take_output() + at.tell(b"NOOP\r\n")) == ["454 4.7.0", "250 2.0.0"]


def test_the_mx_door_has_no_auth() -> None:
    """Row AU-02."""
    at = desk(secure=True)
    assert b"AUTH" not in at.tell(TX[0])
    assert codes(at.tell(b"AUTH PLAIN AGEAYg==\r\n")) == ["502 5.5.1"]


def test_secrets_are_not_shown() -> None:
    """Row ST-09, as far as the machine logs."""
    at = desk(listener="submissions", secure=True, auth=("PLAIN",))
    at.tell(b"AUTH PLAIN c2VjcmV0\r\n")
    assert at.events[-1] == Refused("AUTH PLAIN", replies.HELLO_FIRST)


def test_lmtp_answers_for_each_recipient() -> None:
    """RFC 2033 §4.2."""
    at = desk(listener="lmtp")
    at.tell(b"LHLO c.test\r\n", TX[1], TX[2] * 2, b"DATA\r\n")
    at.machine.receive(b"x\r\n.\r\n")
    assert at.machine.next_event() == BodyChunk(b"x\r\n")
    assert at.machine.next_event() == BodyEnd(3, None, 1)
    at.machine.answer_recipient(replies.OK)
    assert codes(at.machine.take_output()) == ["250 2.0.0"]
    at.machine.answer_recipient(replies.MAILBOX_FULL)
    assert codes(at.machine.take_output()) == ["452 4.2.2"]
    with pytest.raises(ProtocolError):
        at.machine.answer_recipient(replies.OK)
    assert codes(at.tell(TX[1])) == ["250 2.1.0"]


def test_a_hello_that_is_refused_leaves_none() -> None:
    at = desk()
    at.machine.receive(TX[0])
    assert at.machine.next_event() == Hello("EHLO", "c.test")
    at.machine.answer(replies.NOT_ALLOWED)
    assert codes(at.tell(TX[1])) == ["550 5.7.1", "503 5.5.1"]


def test_an_idle_connection_keeps_nothing_of_the_message_it_has_read() -> None:
    def one() -> SmtpServer:
        machine = SmtpServer(ServerSettings("mx.local.test"))
        machine.greet()
        for line in (b"EHLO c.test\r\n", b"MAIL FROM:<a@b.test>\r\n", b"RCPT TO:<c@local.test>\r\n", b"DATA\r\n"):
            machine.receive(line)
            while machine.next_event() is not None:
                machine.accept()
        machine.receive((b"x" * 70 + b"\r\n") * 3_500 + b".\r\n")
        while (event := machine.next_event()) is not None:
            if isinstance(event, BodyEnd):
                machine.answer(replies.OK)
        assert machine.take_output().endswith(replies.OK.encode())
        return machine

    one()  # what is made once
    tracemalloc.start()
    try:
        kept = [one() for _ in range(20)]
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < len(kept) * 16_384
