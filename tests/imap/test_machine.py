"""The server's machine: lines, literals, states, and that nothing refused is ever carried out."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiden.imap.fetch import fetch_items
from ekiden.imap.grammar import (
    AFTER_LOGIN,
    ANY_STATE,
    BEFORE_LOGIN,
    SELECTED,
    Asked,
    Command,
    State,
    after_space,
    declare,
    literal_stream,
    mailbox,
    nothing,
    sequence_set,
)
from ekiden.imap.machine import (
    AuthResponse,
    IdleDone,
    ImapServer,
    Limits,
    LiteralChunk,
    LiteralEnd,
    Request,
)
from ekiden.imap.responses import Kind
from ekiden.imap.search import search_program
from ekiden.imap.tokens import Announced, Reader


async def _never(session: None, request: Asked, args: object) -> None:
    """The machine calls no command's run."""


def _login(reader: Reader) -> tuple[bytes, bytes]:
    reader.space()
    user = reader.astring()
    reader.space()
    return user, reader.astring()


def _append(reader: Reader) -> tuple[str, Announced]:
    reader.space()
    name = mailbox(reader)
    reader.space()
    return name, literal_stream(reader)


def _fetch(reader: Reader) -> tuple[object, object]:
    reader.space()
    found = sequence_set(reader)
    reader.space()
    return found, fetch_items(reader)


TABLE: dict[bytes, Command[None]] = {
    command.name: command
    for command in (
        declare(b"NOOP", ANY_STATE, nothing, _never),
        declare(b"LOGOUT", ANY_STATE, nothing, _never),
        declare(b"LOGIN", BEFORE_LOGIN, _login, _never),
        declare(b"AUTHENTICATE", BEFORE_LOGIN, after_space(Reader.atom), _never),
        declare(b"STARTTLS", BEFORE_LOGIN, nothing, _never),
        declare(b"SELECT", AFTER_LOGIN, after_space(mailbox), _never),
        declare(b"IDLE", AFTER_LOGIN, nothing, _never),
        declare(b"APPEND", AFTER_LOGIN, _append, _never, streams=True),
        declare(b"FETCH", SELECTED, _fetch, _never),
        declare(b"UID FETCH", SELECTED, _fetch, _never),
        declare(b"SEARCH", SELECTED, after_space(search_program), _never),
    )
}


class Talk:
    """A machine whose questions are answered at once: OK to all; APPEND's content is gathered."""

    def __init__(self, state: State = State.AUTHENTICATED, limits: Limits | None = None) -> None:
        self.machine: ImapServer[None] = ImapServer(TABLE, limits)
        self.machine.state = state
        self.events: list[object] = []
        self.output = b""
        self.appended = b""

    def feed(self, data: bytes) -> None:
        self.machine.receive(data)
        self.run()

    def run(self) -> None:
        machine = self.machine
        while (event := machine.next_event()) is not None:
            match event:
                case Request(command=command, args=args):
                    self.events.append((event.tag, command.name, args))
                    if command.streams:
                        machine.accept_literal()
                    elif command.name == b"IDLE":
                        machine.idle()
                    elif command.name == b"AUTHENTICATE":
                        machine.challenge(b"")
                    else:
                        machine.answer(Kind.OK, "done")
                case LiteralChunk(data):
                    self.appended += data
                case LiteralEnd(problem):
                    self.events.append(("end", problem))
                    machine.answer(Kind.BAD if problem else Kind.OK, problem or "appended")
                case AuthResponse(data):
                    self.events.append(("auth", data))
                    machine.answer(Kind.OK if data is not None else Kind.BAD, "auth")
                case IdleDone(done):
                    self.events.append(("idle", done))
                    machine.answer(Kind.OK if done else Kind.BAD, "idle")
        self.output += machine.take_output()

    @property
    def names(self) -> list[bytes]:
        return [event[1] for event in self.events if isinstance(event, tuple) and len(event) == 3]

    @property
    def lines(self) -> list[bytes]:
        return self.output.split(b"\r\n")[:-1]


def _talk(raw: bytes, state: State = State.AUTHENTICATED, limits: Limits | None = None) -> Talk:
    talk = Talk(state, limits)
    talk.feed(raw)
    return talk


CONVERSATIONS = [
    (State.NOT_AUTHENTICATED, b"a LOGIN joe secret\r\nb NOOP\r\n"),
    (State.NOT_AUTHENTICATED, b'a LOGIN "jo\\"e" {6}\r\nsecret\r\nb NOOP\r\n'),
    (State.NOT_AUTHENTICATED, b"a LOGIN {3+}\r\njoe {6+}\r\nsecret\r\nb NOOP\r\n"),
    (State.NOT_AUTHENTICATED, b"a AUTHENTICATE PLAIN\r\nAGEAYg==\r\nb NOOP\r\n"),
    (State.NOT_AUTHENTICATED, b"a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n"),
    (State.AUTHENTICATED, b"a APPEND INBOX {10+}\r\n0123456789\r\nb NOOP\r\n"),
    (State.AUTHENTICATED, b"a APPEND {5+}\r\nINBOX {10+}\r\n01234\r\n789\r\nb NOOP\r\n"),
    (State.AUTHENTICATED, b"a IDLE\r\nDONE\r\nb NOOP\r\n"),
    (State.AUTHENTICATED, b"a IDLE\r\nb NOOP\r\nc NOOP\r\n"),
    (State.AUTHENTICATED, b"a URLAUTH {6+}\r\nb NOOP {3+}\r\nxyz\r\nc NOOP\r\n"),
    (State.SELECTED, b"a FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (To {4+}\r\nDate)])\r\nb UID FETCH 1 ALL\r\n"),
    (State.SELECTED, b"a SEARCH TEXT {3+}\r\na\tb OR (SEEN) NOT DELETED\r\nb NOOP\r\n"),
    (State.SELECTED, b"a FETCH\r\n b NOOP\r\n* NOOP\r\n+ NOOP\r\n\r\nc NOOP\r\n"),
]


def _cuts(raw: bytes) -> Sequence[list[bytes]]:
    chosen = random.Random(len(raw))
    ways = [[raw[at : at + 1] for at in range(len(raw))]]
    for _ in range(20):
        cuts = sorted(chosen.sample(range(1, len(raw)), min(4, len(raw) - 1)))
        ways.append([raw[low:high] for low, high in zip([0, *cuts], [*cuts, len(raw)], strict=True)])
    return ways


@pytest.mark.parametrize(("state", "raw"), CONVERSATIONS)
def test_cutting_the_bytes_changes_nothing(state: State, raw: bytes) -> None:
    whole = _talk(raw, state)
    for pieces in _cuts(raw):
        talk = Talk(state)
        for piece in pieces:
            talk.feed(piece)
        assert (talk.events, talk.output, talk.appended) == (whole.events, whole.output, whole.appended)


def test_a_synchronising_literal_is_asked_for() -> None:
    talk = Talk(State.NOT_AUTHENTICATED)
    talk.feed(b"a LOGIN {3}\r\n")
    assert talk.lines == [b"+ Go on"]
    talk.feed(b"joe secret\r\n")
    assert talk.events == [(b"a", b"LOGIN", (b"joe", b"secret"))]
    assert talk.lines[1:] == [b"a OK done"]


@pytest.mark.parametrize(
    "announced",
    [b"{4294967295}", b"{" + b"9" * 5000 + b"}", b"{-1}", b"{1_0}", "{٣}".encode(), b"{8193}"],  # IM-01
)
def test_no_literal_that_is_too_big_or_misspelt_is_asked_for(announced: bytes) -> None:
    talk = _talk(b"a LOGIN " + announced + b"\r\nb NOOP\r\n", State.NOT_AUTHENTICATED)
    assert talk.lines[0].startswith(b"a BAD ")
    assert not any(line.startswith(b"+") for line in talk.lines)
    assert talk.names == [b"NOOP"]


def test_a_bare_line_feed_announces_no_literal() -> None:
    talk = _talk(b"a LOGIN {10}\nb NOOP\r\n", State.NOT_AUTHENTICATED)
    assert talk.lines[0].startswith(b"a BAD ")
    assert talk.lines[1:] == [b"b OK done"]


def test_a_bare_line_feed_ends_a_command() -> None:
    talk = _talk(b"a NOOP\nb IDLE\nDONE\nc APPEND INBOX {1+}\r\nx\n")
    assert talk.lines == [b"a OK done", b"+ Waiting", b"b OK idle", b"c OK appended"]


def test_a_huge_unasked_literal_closes_the_connection() -> None:  # IM-03
    talk = _talk(b"a LOGIN {1000000000+}\r\n" + b"b NOOP\r\n" * 1000, State.NOT_AUTHENTICATED)
    assert talk.lines[0].startswith(b"a BAD ")
    assert talk.lines[1].startswith(b"* BYE [TOOBIG]")
    assert talk.machine.wants_close
    assert talk.names == []


def test_a_refused_literal_is_never_run_as_a_command() -> None:  # IM-03, IM-31
    talk = _talk(b"a APPEND INBOX/&AGE- {10+}\r\nb LOGOUT\r\n\r\nc NOOP\r\n")
    assert talk.lines[0].startswith(b"a NO [CANNOT]")
    assert talk.names == [b"NOOP"]
    talk = _talk(b"a CATENATE {10+}\r\nb LOGOUT\r\n {10+}\r\nb LOGOUT\r\n\r\nc NOOP\r\n")
    assert talk.lines[0].startswith(b"a BAD ")
    assert talk.names == [b"NOOP"]


def test_a_refused_synchronising_literal_is_answered_before_its_bytes() -> None:  # IM-16
    talk = Talk()
    talk.machine.receive(b"a APPEND INBOX {5000}\r\n")
    event = talk.machine.next_event()
    assert isinstance(event, Request)
    talk.machine.answer(Kind.NO, "No such mailbox", b"TRYCREATE")
    talk.feed(b"b NOOP\r\n")
    assert talk.lines == [b"a NO [TRYCREATE] No such mailbox", b"b OK done"]


def test_the_session_may_refuse_an_unasked_literal() -> None:
    talk = Talk()
    talk.machine.receive(b"a APPEND INBOX {10+}\r\nb LOGOUT\r\n\r\nc NOOP\r\n")
    assert isinstance(talk.machine.next_event(), Request)
    talk.machine.answer(Kind.NO, "No such mailbox", b"TRYCREATE")
    talk.run()
    assert talk.lines == [b"a NO [TRYCREATE] No such mailbox", b"c OK done"]


def test_the_session_may_refuse_in_the_middle_of_a_literal() -> None:
    talk = Talk()
    machine = talk.machine
    machine.receive(b"a APPEND INBOX {20+}\r\nb LOG")
    assert isinstance(machine.next_event(), Request)
    machine.accept_literal()
    assert isinstance(machine.next_event(), LiteralChunk)
    machine.answer(Kind.NO, "Full", b"OVERQUOTA")
    talk.feed(b"OUT\r\nc LOGOUT\r\n\r\nd NOOP\r\n")
    assert talk.lines == [b"a NO [OVERQUOTA] Full", b"d OK done"]
    assert talk.names == [b"NOOP"]


def test_a_message_over_the_limit_is_refused_before_the_continuation() -> None:  # IM-17
    talk = _talk(b"a APPEND INBOX {50000001}\r\nb NOOP\r\n")
    assert talk.lines[0].startswith(b"a NO [TOOBIG]")
    assert talk.names == [b"NOOP"]


def test_text_after_a_message_undoes_append() -> None:
    talk = _talk(b"a APPEND INBOX {3+}\r\nabc {5+}\r\nb NOO\r\nc NOOP\r\n")
    assert ("end", "Expected end of the command") in talk.events
    assert talk.lines[0].startswith(b"a BAD ")
    assert talk.names == [b"APPEND", b"NOOP"]


def test_nesting_is_bounded() -> None:  # IM-04
    talk = _talk(b"a SEARCH " + b"(" * 60000 + b"\r\nb NOOP\r\n", State.SELECTED)
    assert talk.lines[0].startswith(b"a BAD ")
    assert talk.names == [b"NOOP"]


@pytest.mark.parametrize("state", [State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED])
@pytest.mark.parametrize("start", [b"", b"a ", b"a LOGIN ", b'a LOGIN "', b"a IDLE\r\n", b"a AUTHENTICATE PLAIN\r\n"])
def test_a_line_without_end_is_cut_off(state: State, start: bytes) -> None:  # IM-05
    talk = Talk(state)
    sent = 0
    talk.feed(start)
    while not talk.machine.wants_close:
        talk.feed(b"x" * 16_384)
        sent += 16_384
        assert sent <= 10 * 1024 * 1024
        assert talk.machine.buffered_bytes <= 64 * 1024 + 16_384
    assert sent <= 64 * 1024 + 16_384
    assert any(line.startswith(b"* BYE") for line in talk.lines)


def test_many_small_literals_are_refused() -> None:  # IM-05
    talk = _talk(b"a SEARCH" + b" TEXT {1+}\r\nx" * 200 + b"\r\nb NOOP\r\n", State.SELECTED)
    assert talk.lines[0].startswith(b"a BAD ")
    assert talk.names == [b"NOOP"]


@pytest.mark.parametrize(
    "line",
    # IM-06
    [b" NOOP", b"* NOOP", b"+ NOOP", b"\0 NOOP", b"\xc3\xa9 NOOP", b"a", b"a ", b"", b"x" * 7000 + b" NOOP", b"a NOOP x"],
)
def test_bad_tags_and_lines_are_bad(line: bytes) -> None:
    talk = _talk(line + b"\r\nb NOOP\r\n")
    assert b" BAD " in talk.lines[0]
    assert talk.lines[1:] == [b"b OK done"]


def test_a_command_of_another_state_is_bad() -> None:
    assert _talk(b"a SELECT INBOX\r\n", State.NOT_AUTHENTICATED).lines[0].startswith(b"a BAD ")
    assert _talk(b"a FETCH 1 ALL\r\n", State.AUTHENTICATED).lines[0].startswith(b"a BAD ")
    assert _talk(b"a LOGIN a b\r\n", State.SELECTED).lines[0].startswith(b"a BAD ")


def test_text_behind_starttls_closes_the_connection() -> None:
    talk = _talk(b"a STARTTLS\r\nb NOOP\r\n", State.NOT_AUTHENTICATED)
    assert talk.names == []
    assert talk.machine.wants_close


def test_text_after_starttls_was_granted_closes_the_connection() -> None:
    talk = _talk(b"a STARTTLS\r\n", State.NOT_AUTHENTICATED)
    assert talk.lines == [b"a OK done"]
    talk.feed(b"b NOOP\r\n")
    assert talk.machine.wants_close
    assert talk.names == [b"STARTTLS"]


def test_after_the_handshake_the_conversation_begins_anew() -> None:
    talk = _talk(b"a STARTTLS\r\n", State.NOT_AUTHENTICATED)
    talk.machine.secured()
    talk.feed(b"b NOOP\r\n")
    assert talk.machine.secure
    assert talk.names == [b"STARTTLS", b"NOOP"]


@pytest.mark.parametrize("response", [b"AGEAYg=", b"AG EA", b"AGEAYh==", b"*", b"\xff"])
def test_only_canonical_base64_is_a_response(response: bytes) -> None:
    talk = _talk(b"a AUTHENTICATE PLAIN\r\n" + response + b"\r\n", State.NOT_AUTHENTICATED)
    assert talk.events[1:] == [("auth", None)]


def test_a_command_inside_idle_ends_it_with_bad() -> None:  # IM-30
    talk = _talk(b"a IDLE\r\nb NOOP\r\n")
    assert talk.lines == [b"+ Waiting", b"a BAD idle"]


def test_errors_in_a_row_end_the_connection() -> None:
    talk = _talk(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x: y\r\n" * 40)
    assert talk.machine.wants_close
    assert len(talk.lines) == 21


def test_a_stranger_cannot_stay_by_asking_for_nothing() -> None:
    talk = _talk(b"a NOOP\r\n" * 200, State.NOT_AUTHENTICATED)
    assert talk.machine.wants_close
    assert len(talk.names) == 101
    assert not _talk(b"a NOOP\r\n" * 200).machine.wants_close


@pytest.mark.parametrize("raw", [b"", b"a NOO", b"a IDLE\r\n", b"a SEARCH TEXT {5}\r\n"])
def test_an_ending_server_says_bye_at_once_where_nothing_is_under_way(raw: bytes) -> None:
    talk = _talk(raw, State.SELECTED)
    talk.machine.shut_down()
    talk.run()
    assert talk.lines[-1].startswith(b"* BYE [UNAVAILABLE]")
    assert talk.machine.wants_close


def test_an_ending_server_first_answers_the_command_under_way() -> None:
    talk = Talk()
    talk.machine.receive(b"a NOOP\r\nb NOOP\r\n")
    talk.machine.next_event()
    talk.machine.shut_down()
    assert not talk.machine.wants_close
    talk.machine.answer(Kind.OK, "done")
    talk.run()
    assert talk.lines[0] == b"a OK done"
    assert talk.lines[1].startswith(b"* BYE ")
    assert talk.names == []


def test_one_question_at_a_time() -> None:
    machine: ImapServer[None] = ImapServer(TABLE)
    machine.receive(b"a NOOP\r\nb NOOP\r\n")
    assert isinstance(machine.next_event(), Request)
    assert machine.next_event() is None
    machine.answer(Kind.OK, "done")
    assert isinstance(machine.next_event(), Request)


def test_the_machine_names_the_deadline_that_runs() -> None:
    machine: ImapServer[None] = ImapServer(TABLE)
    assert machine.waiting_for == "login"
    machine.state = State.AUTHENTICATED
    assert machine.waiting_for == "command"
    machine.receive(b"a IDLE\r\n")
    machine.next_event()
    machine.idle()
    assert machine.waiting_for == "idle"


_WORDS = st.sampled_from(
    # One string, cut at "|", reads better than twenty literals.
    b'a |NOOP|LOGIN |APPEND INBOX |{3}\r\n|{3+}\r\n|{99999999999+}\r\n|\r\n|\n|\0|"|(|)|DONE|IDLE|AUTHENTICATE PLAIN|*|SEARCH |'
    b"NOT |FETCH 1:* BODY[|UID |STARTTLS|\xe3\x81".split(b"|")
)


@given(st.lists(st.one_of(_WORDS, st.binary(max_size=12)), max_size=40), st.sampled_from(list(State)))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_the_machine_raise(pieces: list[bytes], state: State) -> None:
    whole = _talk(b"".join(pieces), state)
    talk = Talk(state)
    for piece in pieces:
        talk.feed(piece)
    assert talk.output.endswith(b"\r\n") or not talk.output
    # STARTTLS makes a difference between what was there before it and what came after.
    if b"STARTTLS" not in talk.names and b"STARTTLS" not in b"".join(pieces).upper():
        assert (talk.events, talk.output) == (whole.events, whole.output)
