"""The client machine: against our own server machine, and against scripted hosts. Rows OU-03 to OU-14, OU-26, OU-34."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.smtp.desk import CUTS, Cut, Desk

from ekiden.base.errors import BadValue, ProtocolError
from ekiden.smtp.client import SmtpClient
from ekiden.smtp.client_events import (
    Broken,
    ClientEvent,
    Closed,
    ContentWanted,
    MessageDone,
    Ready,
    RecipientAnswered,
    SignInAnswered,
    TlsReady,
    TlsRefused,
    Unwelcome,
)
from ekiden.smtp.server import ServerSettings, SmtpServer

EHLO = "220 mx\r\n", "250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 8BITMIME\r\n"
PLAIN = "220 mx\r\n", "250 mx\r\n"


def hear(client: SmtpClient, *said: str | bytes, cut: Cut = CUTS[0]) -> list[ClientEvent]:
    """Give the client what the host says; return its events."""
    events = []
    for data in said:
        for piece in cut(data if isinstance(data, bytes) else data.encode()):
            client.receive(piece)
            while (event := client.next_event()) is not None:
                events.append(event)
    return events


def client(*said: str, lmtp: bool = False, secure: bool = False) -> SmtpClient:
    made = SmtpClient("us.test", lmtp=lmtp, secure=secure)
    hear(made, *said)
    made.take_output()
    made.take_exchanges()
    return made


def outcome(events: list[ClientEvent]) -> tuple[list[str], bool, bool]:
    """Status of each recipient, ambiguous, untouched."""
    [done] = [event for event in events if isinstance(event, MessageDone)]
    return [result.reply.text[:9] for result in done.results], done.ambiguous, done.untouched


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("cut", CUTS)
def test_two_messages_to_our_own_server(cut: Cut, lmtp: bool) -> None:
    server = SmtpServer(ServerSettings("mx.test", "lmtp" if lmtp else "mx"))
    server.greet()
    desk = Desk(server)
    us = SmtpClient("us.test", lmtp=lmtp)
    contents = [b"Subject: x\r\n\r\n.dot\r\n..\r\n", b".\r\n"]
    left = list(contents)
    done = []
    for _ in range(30):
        for event in hear(us, server.take_output(), cut=cut):
            if isinstance(event, Ready) or (isinstance(event, MessageDone) and left):
                us.send("a@b.test", ["alice@local.test", "unknown@local.test", "bob@local.test"], size=20)
            elif isinstance(event, MessageDone):
                us.quit()
            elif isinstance(event, ContentWanted):
                for piece in cut(left.pop(0)):
                    us.content(piece)
                us.end_content()
            if isinstance(event, MessageDone):
                done.append([result.reply.code for result in event.results])
        for piece in cut(us.take_output()) if us.waiting_for != "final" else (us.take_output(),):
            server.receive(piece)
            desk.work()
    assert [message.content for message in desk.messages] == contents
    assert done == [[250, 550, 250]] * 2
    assert us.wants_close


@pytest.mark.parametrize("cut", CUTS)
def test_a_group_goes_out_at_once_where_the_host_allows_it(cut: Cut) -> None:
    us = client()
    hear(us, *EHLO, cut=cut)
    assert us.take_output() == b"EHLO us.test\r\n"
    us.send("a@b.test", ["x@c.test", "y@c.test"], size=10, eight_bit=True)
    assert us.take_output() == (
        b"MAIL FROM:<a@b.test> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<x@c.test>\r\nRCPT TO:<y@c.test>\r\nDATA\r\n"
    )
    events = hear(us, "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n", cut=cut)
    assert [type(event) for event in events] == [RecipientAnswered, RecipientAnswered, ContentWanted]
    us.content(b".x")
    us.end_content()
    assert us.take_output() == b"..x\r\n.\r\n"
    assert outcome(hear(us, "250 2.0.0 ok\r\n", cut=cut)) == (["250 2.0.0", "550 5.1.1"], False, False)
    assert us.is_idle


def test_one_command_at_a_time_where_it_does_not() -> None:
    us = client(*PLAIN)
    us.send("", ["x@c.test", "y@c.test"], size=10, eight_bit=True)
    for said, expected in [
        ("250 ok\r\n", b"RCPT TO:<x@c.test>\r\n"),
        ("250 ok\r\n", b"RCPT TO:<y@c.test>\r\n"),
        ("450 later\r\n", b"DATA\r\n"),
    ]:
        us.take_output()
        hear(us, said)
        assert us.take_output() == expected


def test_nobody_wants_it_and_data_is_not_said() -> None:
    us = client(*PLAIN)
    us.send("a@b.test", ["x@c.test"], size=10)
    events = hear(us, "250 ok\r\n550 5.1.1 no\r\n")
    assert outcome(events)[0] == ["550 5.1.1"]
    assert b"DATA" not in us.take_output()
    us.send("a@b.test", ["y@c.test"], size=10)
    assert us.take_output() == b"RSET\r\n"
    hear(us, "250 ok\r\n")
    assert us.take_output() == b"MAIL FROM:<a@b.test>\r\n"


def test_nobody_wants_it_but_the_host_says_354() -> None:
    """RFC 2920 §3.1: a single dot, and no message was sent."""
    us = client(*EHLO)
    us.send("a@b.test", ["x@c.test"], size=10)
    us.take_output()
    events = hear(us, "250 ok\r\n550 5.1.1 no\r\n354 go\r\n")
    assert us.take_output() == b".\r\n"
    assert outcome(events + hear(us, "250 taken\r\n"))[0] == ["550 5.1.1"]
    assert us.is_idle


def test_the_reply_to_mail_counts_for_all() -> None:
    for said in (EHLO, PLAIN):
        us = client(*said)
        us.send("a@b.test", ["x@c.test", "y@c.test"], size=10)
        events = hear(us, "550 5.7.1 not you\r\n")
        if said is EHLO:
            events += hear(us, "503 5.5.1 no\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n")
        assert outcome(events)[0] == ["550 5.7.1", "550 5.7.1"]


@pytest.mark.parametrize(
    ("after", "said", "statuses"),
    [
        (0, "421 4.3.2 bye\r\n", ["421 4.3.2", "421 4.3.2"]),
        (1, "421 4.3.2 bye\r\n", ["421 4.3.2", "421 4.3.2"]),
        (2, "421 4.3.2 bye\r\n", ["550 5.1.1", "421 4.3.2"]),
        (3, "421 4.3.2 bye\r\n", ["550 5.1.1", "421 4.3.2"]),
        (4, "421 4.3.2 bye\r\n", ["550 5.1.1", "421 4.3.2"]),
        (3, "250 not 354\r\n", ["550 5.1.1", "451 4.4.2"]),  # OU-09
        (4, "354 again\r\n", ["550 5.1.1", "451 4.4.2"]),
        (1, "what?\r\n", ["451 4.4.2", "451 4.4.2"]),  # OU-06
        (2, "250-a\r\n550 b\r\n", ["550 5.1.1", "451 4.4.2"]),  # OU-05
    ],
)
@pytest.mark.parametrize("pipelining", [False, True])
def test_a_conversation_that_ends_early(after: int, said: str, statuses: list[str], pipelining: bool) -> None:
    """Row OU-07: 421 anywhere; what had been refused stays refused."""
    us = client(*(EHLO if pipelining else PLAIN))
    us.send("a@b.test", ["x@c.test", "y@c.test"], size=10)
    events = hear(us, *["250 ok\r\n", "550 5.1.1 no\r\n", "250 ok\r\n", "354 go\r\n"][:after])
    if after == 4:
        us.content(b"x\r\n")
        us.end_content()
    assert outcome(events + hear(us, said))[0] == statuses
    if said.startswith("421"):
        assert us.wants_close


@pytest.mark.parametrize("after", range(5))
def test_the_host_hangs_up(after: int) -> None:
    """Row OU-08."""
    us = client(*EHLO)
    us.send("a@b.test", ["x@c.test", "y@c.test"], size=10)
    events = hear(us, *["250 ok\r\n", "550 5.1.1 no\r\n", "250 ok\r\n", "354 go\r\n"][:after])
    if after == 4:
        us.content(b"x\r\n")
        us.end_content()
    us.receive_eof()
    events += hear(us, "")
    us.receive(b"")
    while (event := us.next_event()) is not None:
        events.append(event)
    assert outcome(events) == (["550 5.1.1" if after >= 2 else "451 4.4.2", "451 4.4.2"], after == 4, after == 0)
    assert isinstance(events[-1], Broken)


def test_an_answer_before_the_end_of_the_message() -> None:
    """Row OU-10."""
    us = client(*EHLO)
    us.send("a@b.test", ["x@c.test"], size=10)
    hear(us, "250 ok\r\n250 ok\r\n354 go\r\n")
    us.content(b"x\r\n")
    assert not us.answered_early
    us.receive(b"552 5.3.4 too big\r\n")
    assert us.answered_early
    events = hear(us, b"")
    us.receive(b"")
    while (event := us.next_event()) is not None:
        events.append(event)
    assert outcome(events)[0] == ["552 5.3.4"]
    assert us.wants_close


@pytest.mark.parametrize("said", ["250 what\r\n", "354 more\r\n"])
def test_a_yes_before_the_end_of_the_message_is_believed_by_nobody(said: str) -> None:
    us = client(*EHLO)
    us.send("a@b.test", ["x@c.test"], size=10)
    hear(us, "250 ok\r\n250 ok\r\n354 go\r\n")
    assert outcome(hear(us, said))[0] == ["451 4.4.2"]


def test_a_host_without_ehlo() -> None:
    us = SmtpClient("us.test")
    events = hear(us, "220 mx\r\n", "502 what\r\n")
    assert us.take_output() == b"EHLO us.test\r\nHELO us.test\r\n"
    events += hear(us, "250 mx\r\n")
    [ready] = events
    assert isinstance(ready, Ready)
    assert not ready.capabilities.extended


@pytest.mark.parametrize(
    ("said", "phase"),
    [(("554 go away\r\n",), "banner"), (("421 busy\r\n",), "banner"), (("220 mx\r\n", "450 later\r\n"), "hello"),
     (("220 mx\r\n", "421 later\r\n"), "hello"), (("220 mx\r\n", "500 no\r\n", "550 no\r\n"), "hello")],
)  # fmt: skip
def test_a_host_that_does_not_want_to_talk(said: tuple[str, ...], phase: str) -> None:
    us = SmtpClient("us.test")
    event = hear(us, *said)[0]
    assert isinstance(event, Unwelcome)
    assert event.phase == phase
    us.quit()
    assert (us.take_output().endswith(b"QUIT\r\n")) == (event.reply.code != 421)


def test_tls_begins_anew() -> None:
    us = client(*EHLO)
    us.start_tls()
    assert us.take_output() == b"STARTTLS\r\n"
    assert hear(us, "220 go\r\n") == [TlsReady()]
    assert us.waiting_for == "handshake"
    us.secured()
    assert us.take_output() == b"EHLO us.test\r\n"
    [ready] = hear(us, "250-mx\r\n250 AUTH PLAIN\r\n")
    assert isinstance(ready, Ready)
    assert dict(ready.capabilities.keywords) == {"AUTH": "PLAIN"}


def test_refused_tls_leaves_the_conversation() -> None:
    """Row OU-15."""
    us = client(*EHLO)
    us.start_tls()
    [refused] = hear(us, "454 4.7.0 later\r\n")
    assert isinstance(refused, TlsRefused)
    assert us.is_idle


@pytest.mark.parametrize("late", [False, True])
def test_replies_injected_before_tls(late: bool) -> None:
    """Row OU-14."""
    us = client(*EHLO)
    us.start_tls()
    injected = "250-EVIL\r\n250 AUTH PLAIN\r\n"
    events = hear(us, "220 ready\r\n", injected) if late else hear(us, "220 ready\r\n" + injected)
    if late:
        us.secured()
        events += hear(us, "")
        while (event := us.next_event()) is not None:
            events.append(event)
    assert isinstance(events[-1], Broken)
    assert us.wants_close


def test_passwords_go_under_tls_only() -> None:
    with pytest.raises(ProtocolError):
        client("220 mx\r\n", "250-mx\r\n250 AUTH PLAIN\r\n").sign_in("u", "p")
    with pytest.raises(ProtocolError):
        client("220 mx\r\n", "250-mx\r\n250 AUTH CRAM-MD5\r\n", secure=True).sign_in("u", "p")


def test_sign_in() -> None:
    us = client("220 mx\r\n", "250-mx\r\n250 AUTH LOGIN PLAIN\r\n", secure=True)
    us.sign_in("user", "pass")
    assert us.take_output() == b"AUTH PLAIN AHVzZXIAcGFzcw==\r\n"
    [answered] = hear(us, "235 2.7.0 yes\r\n")
    assert isinstance(answered, SignInAnswered)
    us = client("220 mx\r\n", "250-mx\r\n250 AUTH LOGIN\r\n", secure=True)
    us.sign_in("user", "pass")
    hear(us, "334 VXNlcm5hbWU6\r\n", "334 UGFzc3dvcmQ6\r\n")
    assert us.take_output() == b"AUTH LOGIN\r\ndXNlcg==\r\ncGFzcw==\r\n"
    hear(us, "535 5.7.8 no\r\n")
    assert [exchange.command for exchange in us.take_exchanges()] == ["AUTH LOGIN", "(user name)", "(password)"]


def test_a_goodbye_while_idle() -> None:
    """Row OU-26."""
    us = client(*EHLO)
    [broken] = hear(us, "421 4.4.2 idle too long\r\n")
    assert isinstance(broken, Broken)
    assert (broken.phase, us.is_idle, us.wants_close) == ("idle", False, True)


@pytest.mark.parametrize("said", ["221 bye\r\n", "421 bye\r\n", None])
def test_quit_is_the_end_whatever_comes(said: str | None) -> None:
    us = client(*EHLO)
    us.quit()
    if said is None:
        us.receive_eof()
    events: list[ClientEvent | None] = [*hear(us, said or b""), us.next_event()]
    assert events[0] == Closed()
    assert us.wants_close


def test_giving_up_by_the_driver() -> None:
    us = client(*EHLO)
    us.send("a@b.test", ["x@c.test"], size=10)
    us.fail("waited too long")
    events = [us.next_event(), us.next_event()]
    assert outcome([event for event in events if event])[0] == ["451 4.4.2"]
    assert events[1] == Broken("waited too long", "mail")
    us.fail("again")
    assert us.next_event() is None


@pytest.mark.parametrize("path", ["a\r\nRSET@b.test", "é@b.test", "a\0@b.test"])
def test_paths_that_cannot_be_said(path: str) -> None:
    us = client(*EHLO)
    with pytest.raises(BadValue):
        us.send(path, ["x@c.test"], size=1)
    with pytest.raises(BadValue):
        us.send("a@b.test", [path], size=1)
    with pytest.raises(BadValue):
        us.send("a@b.test", [], size=1)
    assert us.is_idle


def sending() -> SmtpClient:
    us = client(*EHLO)
    us.send("a@b.test", ["x@c.test"], size=10)
    hear(us, "250 ok\r\n250 ok\r\n354 go\r\n")
    us.take_output()
    return us


@pytest.mark.parametrize("content", [b"a\n.\r\nMAIL FROM:<x@y.test>\r\n", b"a\rb", b"a\0b", b"\n", b"a\r"])
def test_content_that_would_smuggle(content: bytes) -> None:
    """Row OU-34."""
    us = sending()
    with pytest.raises(BadValue):  # noqa: PT012
        us.content(content)
        us.end_content()


CONTENT = st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r\n.", b".."]), max_size=20).map(b"".join)


@given(CONTENT, st.lists(st.integers(0, 40), max_size=4))
def test_stuffing_does_not_depend_on_the_pieces(content: bytes, marks: list[int]) -> None:
    us = sending()
    marks = sorted(mark for mark in marks if mark < len(content))
    for start, stop in zip([0, *marks], [*marks, len(content)], strict=True):
        us.content(content[start:stop])
    us.end_content()
    whole = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    lines = whole.split(b"\r\n")[:-1]
    assert us.take_output() == b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"


def test_lmtp_results_are_counted() -> None:
    us = client("220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n", lmtp=True)
    us.send("a@b.test", ["x@c.test", "y@c.test", "z@c.test"], size=10)
    hear(us, "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n")
    us.content(b"x\r\n")
    us.end_content()
    events = hear(us, "250 2.0.0 ok\r\n")
    us.receive_eof()
    while (event := us.next_event()) is not None:
        events.append(event)
    assert outcome(events) == (["250 2.0.0", "550 5.1.1", "451 4.4.2"], True, False)


def test_methods_at_the_wrong_time() -> None:
    us = SmtpClient("us.test")
    for call in (us.start_tls, lambda: us.sign_in("u", "p"), lambda: us.send("", ["a@b.test"], size=1), us.end_content):
        with pytest.raises(ProtocolError):
            call()
    with pytest.raises(ProtocolError):
        us.content(b"x")


REPLIES = st.sampled_from(
    ["250 ok\r\n", "250-a\r\n250 b\r\n", "354 go\r\n", "550 5.1.1 no\r\n", "450 later\r\n", "421 bye\r\n", "220 hi\r\n", "x\r\n", "250-"]
)


@given(st.lists(REPLIES, max_size=12), st.booleans(), st.booleans())
def test_whatever_a_host_says_each_recipient_gets_one_result(said: list[str], pipelining: bool, lmtp: bool) -> None:
    us = client("220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n" if pipelining else "250 mx\r\n", lmtp=lmtp)
    us.send("a@b.test", ["x@c.test", "y@c.test"], size=10)
    events = []
    for each in [*said, None]:
        if each is None:
            us.receive_eof()
        else:
            us.receive(each.encode())
        while (event := us.next_event()) is not None:
            events.append(event)
            if isinstance(event, ContentWanted):
                us.content(b"x\r\n")
                us.end_content()
            elif isinstance(event, MessageDone) and us.is_idle:
                us.quit()
    [done] = [event for event in events if isinstance(event, MessageDone)]
    assert len(done.results) == 2
    assert all(result.reply.text.isprintable() for result in done.results)
    assert us.wants_close
