"""The server's side of a POP3 conversation, without sockets, disk or clock.

The machine answers all that needs only the list of messages: STAT, LIST, UIDL, DELE, RSET, NOOP, CAPA, and what is wrong.
The session is asked for the rest: Login, AuthStart, AuthResponse, StartTls, Retrieve, Quit; each event names its answers.
Promises: one response for each command, in their order, also when they come all at once; nothing is deleted but by QUIT;
no password is taken without TLS; what waits to be sent stays small (MoreToSend).
Source: RFC 1939, RFC 2449, RFC 2595 §4, RFC 5034 §4 (unverified: RFC 5034, RFC 1734 §2 is near), RFC 3206 §4 to §6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias, TypeVar

from ekiden.base import measures
from ekiden.base.errors import BadValue
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
from ekiden.pop3.multiline import Stuffer
from ekiden.sasl.mechanism import decode_initial, decode_line, encode_line

_AUTH_LINE_BYTES = 12_288  # RFC 4954 §4.6 has it for SMTP; a token does not get shorter here
_SKIP_BYTES = 65_536
_OUTPUT_BYTES = 65_536
_LISTED_AT_ONCE = 1_000
_MOST_ERRORS = 20
_MOST_FAILED_LOGINS = 3

_NUMBER = re.compile(rb"[0-9]{1,10}")
_BAD_OCTET = re.compile(rb"[\x00\r\n]")
_OTHER_PROTOCOLS = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"CONNECT", b"PATCH", b"EHLO", b"HELO"})


@dataclass(frozen=True, slots=True)
class Pop3Settings:
    """What one door says and allows. line_bytes: one command with its CRLF, at least 255 (RFC 2449 §4)."""

    hostname: str
    line_bytes: int = 512
    most_errors: int = _MOST_ERRORS
    most_failed_logins: int = _MOST_FAILED_LOGINS


_Q = TypeVar("_Q", Login, AuthStart, AuthResponse, StartTls, Retrieve, Quit)


class _Mode(Enum):
    FRESH = auto()  # nothing has been said yet
    AUTHORIZATION = auto()
    EXCHANGE = auto()  # the client owes a line of an AUTH exchange
    TRANSACTION = auto()
    ASKED = auto()  # the session owes an answer
    LISTING = auto()
    OVER = auto()


class Pop3Server:
    """A base.machine.Machine of Pop3Event."""

    def __init__(
        self, settings: Pop3Settings, *, secure: bool = False, offers_stls: bool = False, mechanisms: Sequence[str] = ()
    ) -> None:
        """secure: TLS is there from the first byte. mechanisms: SASL names to offer once there is TLS."""
        self._settings = settings
        self._secure = secure
        self._offers_stls = offers_stls
        self._mechanisms = tuple(mechanisms)
        self._buffer = bytearray()
        self._at = 0
        self._skipped = 0  # bytes of an over-long line that were dropped so far
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._mode = _Mode.FRESH
        self._signed_in = False
        self._question: Pop3Event | None = None
        self._command = ""  # the one that has not been answered yet
        self._user: str | None = None
        self._errors = 0
        self._failed_logins = 0
        self._maildrop = Maildrop((), ())
        self._deleted: set[int] = set()
        self._stuffer = Stuffer()
        self._list_at = 0
        self._list_line: Callable[[int], str] = self._scan
        self._wants_close = False

    # ---- the pump's side ----------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """See Machine."""
        if self._mode is not _Mode.OVER:
            self._buffer += data

    def receive_eof(self) -> None:
        """See Machine. Nothing is to be done: without QUIT nothing is deleted (RFC 1939 §6)."""

    def next_event(self) -> Pop3Event | None:
        """See Machine."""
        while True:
            if self._output_bytes > _OUTPUT_BYTES:
                self._output = [b"".join(self._output)]
                self._output_bytes = 0  # counted anew; take_output gives it all
                return MoreToSend()
            if self._mode is _Mode.LISTING:
                self._list_more()
                continue
            if self._mode in (_Mode.FRESH, _Mode.ASKED, _Mode.OVER):
                return None
            line = self._take_line()
            if line is None:
                return None
            event = self._on_response(line) if self._mode is _Mode.EXCHANGE else self._on_command(line)
            if event is not None:
                return event

    def take_output(self) -> bytes:
        """See Machine."""
        output = b"".join(self._output)
        self._output.clear()
        self._output_bytes = 0
        return output

    @property
    def waiting_for(self) -> str:
        """"login" until somebody has signed in, then "idle"."""
        return "idle" if self._signed_in else "login"

    @property
    def wants_close(self) -> bool:
        """See Machine."""
        return self._wants_close

    # ---- the session's side -------------------------------------------------------------------------

    def greet(self) -> None:
        """The banner; without a timestamp, for APOP is not offered (RFC 1939 §7)."""
        self._mode = _Mode.AUTHORIZATION
        self._say(f"+OK {self._settings.hostname} POP3 ready")

    def open(self, maildrop: Maildrop) -> None:
        """Answers Login, AuthStart, AuthResponse: signed in, and the maildrop is this session's."""
        self._answered(Login, AuthStart, AuthResponse)
        self._maildrop = maildrop
        self._signed_in = True
        self._mode = _Mode.TRANSACTION
        self._say(f"+OK {self._summary()}")

    def challenge(self, text: bytes) -> None:
        """Answers AuthStart, AuthResponse: the client is to say more."""
        self._answered(AuthStart, AuthResponse)
        self._mode = _Mode.EXCHANGE
        self._put(b"+ " + encode_line(text) + b"\r\n")

    def refuse(self, text: str, trouble: Trouble = Trouble.NO_CODE) -> None:
        """Answers any question but Quit: no. WRONG counts as a failed login; the third closes."""
        self._answered(Login, AuthStart, AuthResponse, StartTls, Retrieve)
        self._mode = _Mode.TRANSACTION if self._signed_in else _Mode.AUTHORIZATION
        self._say(f"-ERR {trouble.value}{text}")
        if trouble is Trouble.WRONG:
            self._failed_logins += 1
            if self._failed_logins >= self._settings.most_failed_logins:
                self._close()

    def accept_tls(self) -> None:
        """Answers StartTls: the handshake follows this output."""
        self._answered(StartTls)
        self._mode = _Mode.FRESH
        self._say("+OK begin TLS")

    def secured(self) -> None:
        """The handshake is done; the client starts anew, without a banner (RFC 2595 §4)."""
        self._secure = True
        self._user = None
        self._mode = _Mode.AUTHORIZATION
        if len(self._buffer) > self._at:
            self.hang_up("bytes before TLS", Trouble.NO_CODE)  # they came in clear while we changed over

    def begin_message(self) -> None:
        """Answers Retrieve: send() gives the pieces of the message, end_message() ends it."""
        self._answered(Retrieve, keep=True)
        self._stuffer = Stuffer()
        self._say("+OK message follows")

    def send(self, piece: bytes) -> None:
        """A piece of the message as it is stored."""
        self._put(self._stuffer.feed(piece))

    def end_message(self) -> None:
        """The message is complete."""
        self._put(self._stuffer.end())
        self._question = None
        self._mode = _Mode.TRANSACTION

    def goodbye(self, *, removed: bool) -> None:
        """Answers Quit. removed: whether all that was marked is gone."""
        self._answered(Quit)
        self._say("+OK goodbye" if removed else "-ERR [SYS/TEMP] some deleted messages not removed")
        self._close()

    def hang_up(self, text: str, trouble: Trouble = Trouble.NOT_NOW) -> None:
        """Say that this is the end, unasked, and close."""
        if self._mode is not _Mode.OVER:
            self._say(f"-ERR {trouble.value}{text}")
            self._close()

    # ---- lines --------------------------------------------------------------------------------------

    def _take_line(self) -> bytes | None:
        """The next line without its CRLF; None if there is none yet. Lines that are none are answered here."""
        while True:
            limit = self._line_limit()
            end = self._buffer.find(b"\n", self._at, self._at + limit)
            if end < 0:
                if len(self._buffer) - self._at < limit:
                    self._compact()
                    return None
                if not self._skip_long_line():
                    return None
                continue
            line = bytes(self._buffer[self._at : end + 1])
            self._at = end + 1
            if not self._skipped and line.endswith(b"\r\n") and not _BAD_OCTET.search(line, 0, len(line) - 2):
                return line[:-2]
            if self._mode is _Mode.EXCHANGE:
                self._mode = _Mode.AUTHORIZATION
            self._wrong("line too long" if self._skipped else "a line ends in CRLF and contains no CR, LF or NUL")
            self._skipped = 0
            if self._mode is _Mode.OVER:
                return None

    def _line_limit(self) -> int:
        if self._mode is _Mode.EXCHANGE or (not self._signed_in and self._buffer[self._at : self._at + 5].upper() == b"AUTH "):
            return _AUTH_LINE_BYTES
        return self._settings.line_bytes

    def _skip_long_line(self) -> bool:
        """Drop the beginning of a line that is too long; False if its end has not come yet."""
        end = self._buffer.find(b"\n", self._at)
        dropped = (end if end >= 0 else len(self._buffer)) - self._at
        self._at += dropped
        self._skipped += dropped
        if self._skipped > _SKIP_BYTES:
            self.hang_up("line too long", Trouble.NO_CODE)
            return False
        self._compact()
        return end >= 0

    def _compact(self) -> None:
        if self._at:
            del self._buffer[: self._at]
            self._at = 0

    # ---- commands -----------------------------------------------------------------------------------

    def _on_command(self, line: bytes) -> Pop3Event | None:
        keyword, space, rest = line.partition(b" ")
        name = keyword.upper().decode("ascii", "replace")
        self._command = name if name in _COMMANDS else "other"
        user, self._user = self._user, None  # PASS comes right after USER, or not at all (RFC 1939 §7)
        if name == "PASS" and not self._signed_in:
            return self._on_pass(user, rest)
        arguments = rest.rstrip(b" ").split(b" ") if rest.rstrip(b" ") else []
        commands = _TRANSACTION if self._signed_in else _AUTHORIZATION
        command = commands.get(name)
        if command is None:
            self._unknown(name, keyword)
            return None
        least, most, run = command
        if not least <= len(arguments) <= most or (space and not arguments and least):
            self._wrong("wrong number of arguments")
            return None
        event = run(self, arguments)
        if event is None and self._signed_in and self._mode is not _Mode.OVER:
            return Answered(name)
        return event

    def _unknown(self, name: str, keyword: bytes) -> None:
        if self._signed_in:
            self._wrong("already signed in" if name in _AUTHORIZATION or name == "PASS" else "unknown command")
        elif keyword.upper() in _OTHER_PROTOCOLS:
            self.hang_up("this is POP3", Trouble.NO_CODE)  # a browser was talked into coming here
        else:
            self._wrong("sign in first" if name in _TRANSACTION else "unknown command")

    def _on_capa(self, _: list[bytes]) -> None:
        # RFC 2449 §5: what is there before sign-in is announced after it too
        lines = ["+OK", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"]
        if self._secure:
            lines.append("USER")
            if self._mechanisms:
                lines.append("SASL " + " ".join(self._mechanisms))
        elif self._offers_stls and not self._signed_in:
            lines.append("STLS")
        lines += ["IMPLEMENTATION Ekiden", "."]
        self._say("\r\n".join(lines))

    def _on_user(self, arguments: list[bytes]) -> None:
        if not self._secure:
            self._wrong("use STLS first")
            return
        try:
            self._user = arguments[0].decode("utf-8")
        except UnicodeDecodeError:
            self._wrong("not a name")
            return
        self._say("+OK")  # whether there is such a name is nobody's business

    def _on_pass(self, user: str | None, password: bytes) -> Login | None:
        if not self._secure:
            self._wrong("use STLS first")
            return None
        if user is None:
            self._wrong("USER first")
            return None
        if not password:
            self._wrong("no password")
            return None
        return self._ask(Login(user, password))

    def _on_auth(self, arguments: list[bytes]) -> AuthStart | None:
        if not self._secure:
            self._wrong("use STLS first")
            return None
        if not arguments:
            # not in RFC 5034, but old clients ask for the list this way
            self._say("\r\n".join(["+OK", *self._mechanisms, "."]))
            return None
        mechanism = arguments[0].upper().decode("ascii", "replace")
        if mechanism not in self._mechanisms:
            self._wrong("unknown mechanism")
            return None
        try:
            initial = decode_initial(arguments[1] if len(arguments) > 1 else None)
        except BadValue:
            self._wrong("not base64")
            return None
        return self._ask(AuthStart(mechanism, initial))

    def _on_response(self, line: bytes) -> AuthResponse | None:
        self._mode = _Mode.AUTHORIZATION
        if line == b"*":
            self._say("-ERR cancelled")
            return AuthResponse(None)
        try:
            data = decode_line(line)
        except BadValue:
            self._wrong("not base64")
            return AuthResponse(None)
        return self._ask(AuthResponse(data))

    def _on_stls(self, _: list[bytes]) -> StartTls | None:
        if self._secure or not self._offers_stls:
            self._wrong("TLS is not to be had here" if not self._secure else "TLS is there already")
            return None
        if len(self._buffer) > self._at:
            # RFC 2595 §4: nothing may follow before the handshake; whoever put it there, it is not the client's
            self.hang_up("bytes after STLS", Trouble.NO_CODE)
            return None
        return self._ask(StartTls())

    def _on_quit(self, _: list[bytes]) -> Quit | None:
        if not self._signed_in:
            self._say("+OK goodbye")
            self._close()
            return None
        return self._ask(Quit(tuple(sorted(self._deleted))))

    def _on_stat(self, _: list[bytes]) -> None:
        count, size = self._totals()
        self._say(f"+OK {count} {size}")

    def _on_list(self, arguments: list[bytes]) -> None:
        self._list(arguments, self._scan)

    def _on_uidl(self, arguments: list[bytes]) -> None:
        self._list(arguments, self._unique_id)

    def _on_retr(self, arguments: list[bytes]) -> Retrieve | None:
        index = self._index(arguments[0])
        return None if index is None else self._ask(Retrieve(index, None))

    def _on_top(self, arguments: list[bytes]) -> Retrieve | None:
        index = self._index(arguments[0])
        if index is None:
            return None
        if not _NUMBER.fullmatch(arguments[1]):
            self._wrong("not a number of lines")
            return None
        return self._ask(Retrieve(index, int(arguments[1])))

    def _on_dele(self, arguments: list[bytes]) -> None:
        index = self._index(arguments[0])
        if index is not None:
            self._deleted.add(index)
            self._say(f"+OK message {index + 1} deleted")

    def _on_noop(self, _: list[bytes]) -> None:
        self._say("+OK")

    def _on_rset(self, _: list[bytes]) -> None:
        self._deleted.clear()
        self._say(f"+OK {self._summary()}")

    # ---- the maildrop -------------------------------------------------------------------------------

    def _index(self, argument: bytes) -> int | None:
        """The message with this number; None, and answered, if there is none or it is deleted."""
        if not _NUMBER.fullmatch(argument):
            self._wrong("not a message number")
            return None
        index = int(argument) - 1
        if not 0 <= index < len(self._maildrop.sizes):
            self._say(f"-ERR no such message, only {len(self._maildrop.sizes)} in maildrop")
            return None
        if index in self._deleted:
            self._say(f"-ERR message {index + 1} is deleted")
            return None
        return index

    def _list(self, arguments: list[bytes], line: Callable[[int], str]) -> None:
        if arguments:
            index = self._index(arguments[0])
            if index is not None:
                self._say(f"+OK {line(index)}")
            return
        self._say(f"+OK {self._summary()}")
        self._list_line = line
        self._list_at = 0
        self._mode = _Mode.LISTING

    def _list_more(self) -> None:
        end = min(self._list_at + _LISTED_AT_ONCE, len(self._maildrop.sizes))
        lines = [self._list_line(index) for index in range(self._list_at, end) if index not in self._deleted]
        self._list_at = end
        if end == len(self._maildrop.sizes):
            lines.append(".")
            self._mode = _Mode.TRANSACTION
        if lines:
            self._say("\r\n".join(lines))

    def _scan(self, index: int) -> str:
        return f"{index + 1} {self._maildrop.sizes[index]}"

    def _unique_id(self, index: int) -> str:
        return f"{index + 1} {self._maildrop.ids[index]}"

    def _totals(self) -> tuple[int, int]:
        sizes = self._maildrop.sizes
        return len(sizes) - len(self._deleted), sum(sizes) - sum(sizes[index] for index in self._deleted)

    def _summary(self) -> str:
        count, size = self._totals()
        return f"{count} {'message' if count == 1 else 'messages'} ({size} octets)"

    # ---- inside -------------------------------------------------------------------------------------

    def _ask(self, question: _Q) -> _Q:
        self._question = question
        self._mode = _Mode.ASKED
        return question

    def _answered(self, *kinds: type[Pop3Event], keep: bool = False) -> None:
        if not isinstance(self._question, kinds):
            raise RuntimeError(f"{type(self._question).__name__} is not to be answered like this")
        if not keep:
            self._question = None

    def _wrong(self, text: str) -> None:
        """An answer to something that is not right; too many of them end the conversation."""
        self._say(f"-ERR {text}")
        self._errors += 1
        if self._errors >= self._settings.most_errors:
            self.hang_up("too many errors", Trouble.NO_CODE)

    def _say(self, line: str) -> None:
        if self._command:
            measures.POP3_COMMANDS.of(self._command, "ok" if line[0] == "+" else "error").value += 1
            self._command = ""
        self._put(line.encode("ascii", "replace") + b"\r\n")

    def _put(self, data: bytes) -> None:
        if data:
            self._output.append(data)
            self._output_bytes += len(data)

    def _close(self) -> None:
        self._mode = _Mode.OVER
        self._wants_close = True
        self._buffer.clear()
        self._at = 0


_Run: TypeAlias = Callable[[Pop3Server, list[bytes]], Pop3Event | None]

# name: least and most arguments, and what it does (RFC 1939 §9)
_AUTHORIZATION: dict[str, tuple[int, int, _Run]] = {
    "USER": (1, 1, Pop3Server._on_user),
    "AUTH": (0, 2, Pop3Server._on_auth),
    "CAPA": (0, 0, Pop3Server._on_capa),
    "STLS": (0, 0, Pop3Server._on_stls),
    "QUIT": (0, 0, Pop3Server._on_quit),
}
_TRANSACTION: dict[str, tuple[int, int, _Run]] = {
    "STAT": (0, 0, Pop3Server._on_stat),
    "LIST": (0, 1, Pop3Server._on_list),
    "UIDL": (0, 1, Pop3Server._on_uidl),
    "RETR": (1, 1, Pop3Server._on_retr),
    "TOP": (2, 2, Pop3Server._on_top),
    "DELE": (1, 1, Pop3Server._on_dele),
    "NOOP": (0, 0, Pop3Server._on_noop),
    "RSET": (0, 0, Pop3Server._on_rset),
    "CAPA": (0, 0, Pop3Server._on_capa),
    "QUIT": (0, 0, Pop3Server._on_quit),
}
_COMMANDS = frozenset({"PASS", *_AUTHORIZATION, *_TRANSACTION})
