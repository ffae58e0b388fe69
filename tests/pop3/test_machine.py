"""The POP3 machine. Row names (PO-) are those of the project's table of attacks."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base import measures
from ekiden.base.machine import Machine
from ekiden.pop3.events import (
    Answered,
    AuthResponse,
    AuthStart,
    Login,
    Maildrop,
    MoreToSend,
    Pop3Event,
    Quit,
    Retrieve,
    StartTls,
    Trouble,
)
from ekiden.pop3.machine import Pop3Server, Pop3Settings

SETTINGS = Pop3Settings("pop.test")
MESSAGES = [b"Subject: one\r\n\r\n.dot\r\n", b"Subject: two\r\n\r\nhello", b"Subject: three\r\n\r\n"]
MAILDROP = Maildrop([len(message) for message in MESSAGES], ["7.1", "7.2", "7.9"])


def new(*, secure: bool = True) -> Pop3Server:
    server = Pop3Server(SETTINGS, secure=secure, offers_stls=not secure, mechanisms=("PLAIN", "LOGIN"))
    server.greet()
    assert server.take_output() == b"+OK pop.test POP3 ready\r\n"
    return server


def signed_in(maildrop: Maildrop = MAILDROP) -> Pop3Server:
    server = new()
    server.receive(b"USER alice\r\nPASS pw\r\n")
    assert server.next_event() == Login("alice", b"pw")
    server.open(maildrop)
    assert server.take_output().startswith(b"+OK\r\n+OK ")
    return server


def events(server: Pop3Server) -> list[Pop3Event]:
    found: list[Pop3Event] = []
    while (event := server.next_event()) is not None:
        if not isinstance(event, Answered | MoreToSend):
            found.append(event)
    return found


def say(server: Pop3Server, sent: bytes) -> bytes:
    """What the machine answers to this by itself."""
    server.receive(sent)
    assert events(server) == []
    return server.take_output()


def answer(server: Pop3Server, event: Pop3Event) -> None:
    """As a session would, with password "pw" and the three messages."""
    match event:
        case Login(_, b"pw") | AuthResponse(b"\0alice\0pw") | AuthStart("PLAIN", b"\0alice\0pw"):
            server.open(MAILDROP)
        case AuthStart(_, None):
            server.challenge(b"")
        case Login() | AuthStart() | AuthResponse(bytes()):
            server.refuse("wrong name or password", Trouble.WRONG)
        case Retrieve(index, _):
            server.begin_message()
            server.send(MESSAGES[index])
            server.end_message()
        case Quit():
            server.goodbye(removed=True)
        case StartTls():
            server.refuse("not now", Trouble.NOT_NOW)


def talk(pieces: list[bytes]) -> tuple[bytes, list[Pop3Event], bool]:
    """A whole conversation: output, questions, whether it was closed."""
    server = new()
    asked: list[Pop3Event] = []
    output = b""
    for piece in pieces:
        server.receive(piece)
        while (event := server.next_event()) is not None:
            if isinstance(event, MoreToSend):
                output += server.take_output()
            elif not isinstance(event, Answered):
                asked.append(event)
                answer(server, event)
        output += server.take_output()
    server.receive_eof()
    return output, asked, server.wants_close


SESSION = (
    b"CAPA\r\nUSER alice\r\nPASS wrong\r\nSTAT\r\nAUTH PLAIN\r\nAGFsaWNlAHB3\r\nSTAT\r\nLIST\r\nUIDL\r\nLIST 2\r\nuidl 3\r\n"
    b"RETR 1\r\nTOP 2 0\r\nDELE 1\r\nDELE 1\r\nRETR 1\r\nLIST\r\nSTAT\r\nRSET\r\nDELE 3\r\nNOOP\r\nbogus\r\nQUIT\r\n"
)
CAPA = (
    b"+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUSER\r\nSASL PLAIN LOGIN\r\n"
    b"IMPLEMENTATION Ekiden\r\n.\r\n"
)
TALK = (
    CAPA + b"+OK\r\n-ERR [AUTH] wrong name or password\r\n-ERR sign in first\r\n+ \r\n+OK 3 messages (61 octets)\r\n"
    b"+OK 3 61\r\n+OK 3 messages (61 octets)\r\n1 22\r\n2 21\r\n3 18\r\n.\r\n"
    b"+OK 3 messages (61 octets)\r\n1 7.1\r\n2 7.2\r\n3 7.9\r\n.\r\n+OK 2 21\r\n+OK 3 7.9\r\n"
    b"+OK message follows\r\nSubject: one\r\n\r\n..dot\r\n.\r\n+OK message follows\r\nSubject: two\r\n\r\nhello\r\n.\r\n"
    b"+OK message 1 deleted\r\n-ERR message 1 is deleted\r\n-ERR message 1 is deleted\r\n"
    b"+OK 2 messages (39 octets)\r\n2 21\r\n3 18\r\n.\r\n+OK 2 39\r\n+OK 3 messages (61 octets)\r\n+OK message 3 deleted\r\n"
    b"+OK\r\n-ERR unknown command\r\n+OK goodbye\r\n"
)


def whole(data: bytes) -> list[bytes]:
    return [data]


def by_byte(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


def at_random(data: bytes) -> list[bytes]:
    chance = random.Random(3)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(40))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.parametrize("cut", [whole, by_byte, at_random])
def test_a_session_is_the_same_however_it_arrives(cut: Callable[[bytes], list[bytes]]) -> None:
    output, asked, closed = talk(cut(SESSION))
    assert output == TALK
    assert asked == [
        Login("alice", b"wrong"), AuthStart("PLAIN", None), AuthResponse(b"\0alice\0pw"), Retrieve(0, None), Retrieve(1, 0), Quit((2,))]
    assert closed


def test_it_is_a_machine() -> None:
    server: Machine[Pop3Event] = new()
    assert server.waiting_for == "login"
    assert signed_in().waiting_for == "idle"


# ---- before sign-in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"USER alice", b"PASS pw", b"AUTH PLAIN", b"AUTH PLAIN AGFsaWNlAHB3", b"AUTH"])
def test_no_password_is_taken_without_tls(line: bytes) -> None:
    server = new(secure=False)
    assert say(server, line + b"\r\n") == b"-ERR use STLS first\r\n"  # PO-01
    capa = say(server, b"CAPA\r\n")
    assert b"STLS\r\n" in capa
    assert b"USER" not in capa
    assert b"SASL" not in capa


def test_apop_is_not_there() -> None:
    assert say(new(), b"APOP alice c4c9334bac560ecc979e58001b3e22fb\r\n") == b"-ERR unknown command\r\n"  # PO-01


@pytest.mark.parametrize("between", [b"CAPA\r\n", b"NOOP\r\n", b"USER\r\n", b"x\r\n"])
def test_pass_comes_right_after_user(between: bytes) -> None:
    server = new()
    assert say(server, b"PASS pw\r\n") == b"-ERR USER first\r\n"
    assert say(server, b"USER alice\r\n" + between + b"PASS pw\r\n").endswith(b"-ERR USER first\r\n")  # RFC 1939 §7


@pytest.mark.parametrize(("line", "password"), [
    (b"PASS pw", b"pw"),
    (b"PASS a pass phrase ", b"a pass phrase "),   # RFC 1939 §7: spaces are part of it
    (b"pass  x", b" x"),
    ("PASS пароль".encode(), "пароль".encode()),
])
def test_a_password_is_taken_as_it_is(line: bytes, password: bytes) -> None:
    server = new()
    server.receive(b"USER alice\r\n" + line + b"\r\n")
    assert events(server) == [Login("alice", password)]


@pytest.mark.parametrize(("line", "said"), [
    (b"USER", b"-ERR wrong number of arguments\r\n"),
    (b"USER ", b"-ERR wrong number of arguments\r\n"),
    (b"USER a b", b"-ERR wrong number of arguments\r\n"),
    (b"USER \xff", b"-ERR not a name\r\n"),
    (b"AUTH NTLM", b"-ERR unknown mechanism\r\n"),
    (b"AUTH PLAIN !!!!", b"-ERR not base64\r\n"),
    (b"AUTH PLAIN AG E$$", b"-ERR wrong number of arguments\r\n"),
    (b"STLS", b"-ERR TLS is there already\r\n"),
    (b"STAT", b"-ERR sign in first\r\n"),
    (b"FOO:BAR", b"-ERR unknown command\r\n"),                                     # PO-02
    (b"", b"-ERR unknown command\r\n"),
    (b"\xff\xfe", b"-ERR unknown command\r\n"),
    (b"AUTH", b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n"),
    (b"QUIT now", b"-ERR wrong number of arguments\r\n"),
    (b"CA\x00PA", b"-ERR a line ends in CRLF and contains no CR, LF or NUL\r\n"),  # PO-02
    (b"CAPA\rCAPA", b"-ERR a line ends in CRLF and contains no CR, LF or NUL\r\n"),
])
def test_what_is_wrong_is_answered_and_the_connection_stays(line: bytes, said: bytes) -> None:
    server = new()
    assert say(server, line + b"\r\n") == said
    assert not server.wants_close
    assert say(server, b"CAPA\r\n") == CAPA


def test_a_line_with_bare_lf_is_no_command() -> None:
    assert say(new(), b"CAPA\nCAPA\r\n") == b"-ERR a line ends in CRLF and contains no CR, LF or NUL\r\n" + CAPA


@pytest.mark.parametrize("cut", [whole, by_byte, at_random])
@pytest.mark.parametrize("size", [513, 514, 2_000, 65_000])
def test_a_line_that_is_too_long_gets_one_answer(size: int, cut: Callable[[bytes], list[bytes]]) -> None:
    server = new()
    output = b""
    for piece in cut(b"A" * (size - 2) + b"\r\nCAPA\r\n"):
        output += say(server, piece)
    assert output == b"-ERR line too long\r\n" + CAPA  # PO-02


def test_a_line_of_512_bytes_is_read() -> None:
    server = new()
    server.receive(b"USER alice\r\nPASS " + b"p" * 505 + b"\r\n")
    assert events(server) == [Login("alice", b"p" * 505)]


def test_a_line_without_end_ends_the_conversation() -> None:
    server = new()
    output = b"".join(say(server, b"A" * 1_000) for _ in range(70))
    assert output == b"-ERR line too long\r\n"
    assert server.wants_close


def test_an_auth_line_may_be_longer() -> None:
    server = new()
    token = b64encode(b"\0alice\0" + b"p" * 3_000)
    server.receive(b"AUTH PLAIN " + token + b"\r\n")
    assert events(server) == [AuthStart("PLAIN", b"\0alice\0" + b"p" * 3_000)]
    server = new()
    server.receive(b"AUTH PLAIN\r\n")
    assert events(server) == [AuthStart("PLAIN", None)]
    server.challenge(b"")
    assert server.take_output() == b"+ \r\n"
    server.receive(token + b"\r\n")
    assert events(server) == [AuthResponse(b"\0alice\0" + b"p" * 3_000)]


@pytest.mark.parametrize(("line", "said"), [
    (b"*", b"-ERR cancelled\r\n"),
    (b"????", b"-ERR not base64\r\n"),
    (b"STAT", b"-ERR wrong name or password\r\n"),     # a response, not a command
])
def test_an_exchange_can_end_early(line: bytes, said: bytes) -> None:
    server = new()
    server.receive(b"AUTH LOGIN\r\n")
    assert events(server) == [AuthStart("LOGIN", None)]
    server.challenge(b"Username:")
    assert server.take_output() == b"+ VXNlcm5hbWU6\r\n"
    server.receive(line + b"\r\n")
    (event,) = events(server)
    assert isinstance(event, AuthResponse)
    if event.data is not None:
        server.refuse("wrong name or password")
    assert server.take_output() == said
    assert say(server, b"CAPA\r\n") == CAPA


def test_an_over_long_response_ends_the_exchange() -> None:
    server = new()
    server.receive(b"AUTH LOGIN\r\n")
    events(server)
    server.challenge(b"")
    server.take_output()
    assert say(server, b"A" * 12_289 + b"\r\nCAPA\r\n") == b"-ERR line too long\r\n" + CAPA


def test_the_third_wrong_password_closes() -> None:
    server = new()
    for n in range(3):
        assert not server.wants_close
        server.receive(b"USER alice\r\nPASS %d\r\n" % n)
        assert events(server) == [Login("alice", b"%d" % n)]
        server.refuse("wrong name or password", Trouble.WRONG)
    assert server.wants_close


@pytest.mark.parametrize(("trouble", "said"), [
    (Trouble.IN_USE, b"-ERR [IN-USE] no\r\n"),       # RFC 2449 §8.1.2
    (Trouble.NOT_NOW, b"-ERR [SYS/TEMP] no\r\n"),    # RFC 3206 §4
    (Trouble.NEVER, b"-ERR [SYS/PERM] no\r\n"),
])
def test_a_maildrop_that_cannot_be_opened(trouble: Trouble, said: bytes) -> None:
    server = new()
    server.receive(b"AUTH PLAIN AGFsaWNlAHB3\r\n")
    events(server)
    server.refuse("no", trouble)
    assert server.take_output() == said
    assert not server.wants_close
    assert say(server, b"STAT\r\n") == b"-ERR sign in first\r\n"


def test_stls_changes_over_and_begins_anew() -> None:
    server = new(secure=False)
    server.receive(b"STLS\r\n")
    assert events(server) == [StartTls()]
    server.accept_tls()
    assert server.take_output() == b"+OK begin TLS\r\n"
    assert server.next_event() is None
    server.secured()
    assert server.take_output() == b""               # RFC 2595 §4: no second banner
    assert say(server, b"CAPA\r\n") == CAPA
    assert say(server, b"STLS\r\n") == b"-ERR TLS is there already\r\n"


def test_stls_may_be_refused() -> None:
    server = new(secure=False)
    server.receive(b"STLS\r\n")
    assert events(server) == [StartTls()]
    server.refuse("no certificate", Trouble.NOT_NOW)
    assert server.take_output() == b"-ERR [SYS/TEMP] no certificate\r\n"
    assert b"STLS" in say(server, b"CAPA\r\n")


def test_bytes_that_follow_stls_end_the_conversation() -> None:
    server = new(secure=False)
    assert say(server, b"STLS\r\nCAPA\r\n") == b"-ERR bytes after STLS\r\n"
    assert server.wants_close


def test_bytes_that_come_in_clear_during_the_change_end_the_conversation() -> None:
    server = new(secure=False)
    server.receive(b"STLS\r\n")
    events(server)
    server.accept_tls()
    server.receive(b"USER mallory\r\n")
    server.take_output()
    server.secured()
    assert events(server) == []
    assert server.wants_close


def test_without_a_certificate_there_is_no_stls() -> None:
    server = Pop3Server(SETTINGS)
    server.greet()
    server.take_output()
    assert say(server, b"STLS\r\n") == b"-ERR TLS is not to be had here\r\n"
    assert b"STLS" not in say(server, b"CAPA\r\n")


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /x HTTP/1.0", b"EHLO x"])
def test_another_protocol_is_sent_away(line: bytes) -> None:
    server = new()
    assert say(server, line + b"\r\nUSER alice\r\n") == b"-ERR this is POP3\r\n"
    assert server.wants_close


def test_many_errors_end_the_conversation() -> None:
    server = new()
    assert say(server, b"x\r\n" * 30) == b"-ERR unknown command\r\n" * 20 + b"-ERR too many errors\r\n"
    assert server.wants_close


def test_quit_before_sign_in_deletes_nothing() -> None:
    server = new()
    assert say(server, b"QUIT\r\n") == b"+OK goodbye\r\n"  # RFC 1939 §4
    assert server.wants_close
    assert say(server, b"CAPA\r\n") == b""


# ---- after sign-in --------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", [
    b"0", b"-1", b" 1", "١".encode(), b"99999999999999999999", b"4", b"1_0", b"+1", b"1.0", b"x", b"", b"1 2",
])
@pytest.mark.parametrize("command", [b"RETR", b"DELE"])
def test_a_number_that_is_none_names_no_message(command: bytes, argument: bytes) -> None:
    server = signed_in()
    assert say(server, command + b" " + argument + b"\r\n").startswith(b"-ERR ")  # PO-03
    assert say(server, b"STAT\r\n") == b"+OK 3 61\r\n"


@pytest.mark.parametrize("arguments", [b"1 -1", b"1", b"1 x", b"0 1", b"4 1", b"1 1 1", b"1 99999999999999999999"])
def test_top_wants_a_message_and_a_number_of_lines(arguments: bytes) -> None:
    assert say(signed_in(), b"TOP " + arguments + b"\r\n").startswith(b"-ERR ")  # PO-03


def test_top_of_very_many_lines_is_the_whole_message() -> None:
    server = signed_in()
    server.receive(b"TOP 1 1000000000\r\n")
    assert events(server) == [Retrieve(0, 1_000_000_000)]  # PO-03


def test_numbers_stay_when_messages_are_deleted() -> None:
    server = signed_in()
    assert say(server, b"DELE 2\r\n") == b"+OK message 2 deleted\r\n"
    for line in (b"DELE 2", b"RETR 2", b"TOP 2 1", b"LIST 2", b"UIDL 2"):
        assert say(server, line + b"\r\n") == b"-ERR message 2 is deleted\r\n"  # PO-04
    assert say(server, b"LIST\r\n") == b"+OK 2 messages (40 octets)\r\n1 22\r\n3 18\r\n.\r\n"
    assert say(server, b"UIDL\r\n").endswith(b"\r\n1 7.1\r\n3 7.9\r\n.\r\n")
    assert say(server, b"RSET\r\nDELE 2\r\n") == b"+OK 3 messages (61 octets)\r\n+OK message 2 deleted\r\n"


def test_an_empty_maildrop_is_listed() -> None:
    server = signed_in(Maildrop((), ()))
    assert say(server, b"LIST\r\nUIDL\r\nSTAT\r\n") == b"+OK 0 messages (0 octets)\r\n.\r\n" * 2 + b"+OK 0 0\r\n"


def test_a_message_that_is_gone_meanwhile() -> None:
    server = signed_in()
    server.receive(b"RETR 1\r\n")
    events(server)
    server.refuse("the message is gone", Trouble.NEVER)
    assert server.take_output() == b"-ERR [SYS/PERM] the message is gone\r\n"
    assert say(server, b"NOOP\r\n") == b"+OK\r\n"


def test_quit_says_what_became_of_the_deleted() -> None:
    for removed, said in [(True, b"+OK goodbye\r\n"), (False, b"-ERR [SYS/TEMP] some deleted messages not removed\r\n")]:
        server = signed_in()
        server.receive(b"DELE 3\r\nDELE 1\r\nQUIT\r\nSTAT\r\n")
        assert events(server) == [Quit((0, 2))]
        server.take_output()
        server.goodbye(removed=removed)
        assert events(server) == []
        assert server.take_output() == said
        assert server.wants_close


def test_an_end_without_quit_asks_for_nothing_to_be_deleted() -> None:
    server = signed_in()
    say(server, b"DELE 1\r\n")
    server.receive(b"QUIT")
    server.receive_eof()
    assert events(server) == []  # PO-05


@pytest.mark.parametrize("line", [b"USER bob", b"PASS pw", b"AUTH PLAIN", b"STLS"])
def test_nobody_signs_in_twice(line: bytes) -> None:
    assert say(signed_in(), line + b"\r\n") == b"-ERR already signed in\r\n"


def test_what_was_announced_before_is_announced_after_sign_in() -> None:
    assert say(signed_in(), b"CAPA\r\n") == CAPA  # RFC 2449 §5


def test_each_command_of_a_signed_in_client_is_told_so_that_its_time_begins_anew() -> None:
    server = signed_in()
    server.receive(b"NOOP\r\nSTAT\r\n")
    assert [server.next_event(), server.next_event(), server.next_event()] == [Answered("NOOP"), Answered("STAT"), None]


def test_a_long_list_is_given_in_pieces() -> None:
    count = 10_000
    server = signed_in(Maildrop([1] * count, [f"1.{n}" for n in range(count)]))
    server.receive(b"UIDL\r\n" * 50)
    pieces = []
    while (event := server.next_event()) is not None:
        if isinstance(event, MoreToSend):
            pieces.append(server.take_output())
    pieces.append(server.take_output())
    assert max(map(len, pieces)) < 100_000  # PO-08
    lists = b"".join(pieces).split(b".\r\n+OK")
    assert len(lists) == 50
    ids = [line.split(b" ")[1] for line in lists[7].split(b"\r\n")[1:-1]]
    assert len(set(ids)) == count


def test_the_session_cannot_answer_what_was_not_asked() -> None:
    server = signed_in()
    with pytest.raises(RuntimeError):
        server.begin_message()
    with pytest.raises(RuntimeError):
        server.goodbye(removed=True)


@given(st.lists(st.sampled_from([
    b"CAPA\r\n", b"USER alice\r\n", b"PASS pw\r\n", b"PASS no\r\n", b"AUTH PLAIN\r\n", b"AUTH PLAIN AGFsaWNlAHB3\r\n", b"*\r\n",
    b"STAT\r\n", b"LIST\r\n", b"UIDL 1\r\n", b"RETR 2\r\n", b"TOP 1 1\r\n", b"DELE 1\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n",
    b"\r\n", b"x" * 600 + b"\r\n", b"\x00\r\n", b"LF\n", b"STLS\r\n",
]), max_size=25), st.integers(0, 999))
def test_pipelining_and_cutting_change_nothing(lines: list[bytes], seed: int) -> None:
    data = b"".join(lines)
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(6))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert talk([data]) == talk(pieces)


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(noise: bytes) -> None:
    output, _, _ = talk([noise])
    assert output == b"" or output.startswith((b"+OK", b"-ERR", b"+ "))
    assert not output or output.endswith(b"\r\n")


def test_commands_are_counted_with_their_answers() -> None:
    def counts() -> dict[tuple[str, ...], float]:
        return {labels: cell.value for labels, cell in measures.POP3_COMMANDS.cells.items()}

    before = counts()
    server = signed_in()
    say(server, b"STAT\r\nLIST 9\r\nXYZZY\r\nuser x\r\nLIST\r\nNOOP 1\r\n")
    server.receive(b"RETR 1\r\nQUIT\r\n")
    assert server.next_event() == Retrieve(0, None)
    server.begin_message()
    server.send(MESSAGES[0])
    server.end_message()
    assert server.next_event() == Quit(())
    server.goodbye(removed=False)
    now = counts()
    assert {labels: value - before.get(labels, 0) for labels, value in now.items() if value != before.get(labels, 0)} == {
        ("USER", "ok"): 1, ("PASS", "ok"): 1, ("STAT", "ok"): 1, ("LIST", "error"): 1, ("other", "error"): 1, ("USER", "error"): 1,
        ("LIST", "ok"): 1, ("NOOP", "error"): 1, ("RETR", "ok"): 1, ("QUIT", "error"): 1,
    }
