"""The server's side of an IMAP connection: lines, literals, tags, states, IDLE, AUTHENTICATE.

The machine answers what grammar can answer: syntax, unknown commands, commands in the wrong state, limits. The session
is asked one Request at a time; what the client pipelines waits in the buffer. A command that is refused never leaves a
literal behind that could be read as a command.
Pure: no I/O, no clock.
Source: RFC 3501 §2.2 and §5.5, RFC 7888, RFC 2177, RFC 4959.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeAlias, TypeVar

from ekiden.base.errors import BadValue
from ekiden.imap.grammar import Command, Refusal, State
from ekiden.imap.responses import Kind, continuation, status_response
from ekiden.imap.tokens import Announced, Incomplete, Reader

S = TypeVar("S")

_MARKER = re.compile(rb"\{([0-9]+)(\+?)\}\r\n\Z")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what a client may send (reliability.md §5.6).

    command_bytes: text and literals of one command, but for a streamed literal. errors: refused commands in a row.
    commands_before_login: so that nobody keeps a connection for nothing by asking NOOP.
    swallow_bytes: of a refused command's literals, read and thrown away; a client that announced more is cut off.
    """

    command_bytes_before_login: int = 8_192
    command_bytes: int = 65_536
    literals: int = 100
    message_bytes: int = 50_000_000
    errors: int = 20
    commands_before_login: int = 100

    def of(self, state: State) -> int:
        """command_bytes in this state."""
        return self.command_bytes_before_login if state is State.NOT_AUTHENTICATED else self.command_bytes

    def swallow_bytes(self, state: State) -> int:
        """What is thrown away before we give up on the connection."""
        return self.command_bytes_before_login if state is State.NOT_AUTHENTICATED else self.message_bytes


@dataclass(frozen=True, slots=True)
class Request(Generic[S]):
    """A question: one command. Answered with machine.answer(); STARTTLS, AUTHENTICATE, IDLE and APPEND have steps before that.

    args: what command.read returned. uid: it is the UID form.
    """

    tag: bytes
    command: Command[S]
    args: object
    uid: bool = False


@dataclass(frozen=True, slots=True)
class LiteralChunk:
    """Bytes of a streamed literal, after machine.accept_literal(); no question."""

    data: bytes


@dataclass(frozen=True, slots=True)
class LiteralEnd:
    """The streamed literal and its command are over: a question, answered with machine.answer().

    problem: why the command must not be carried out after all, or "".
    """

    problem: str = ""


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's answer to machine.challenge(): a question (challenge() again, or answer()). None: cancelled or no base64."""

    data: bytes | None


@dataclass(frozen=True, slots=True)
class IdleDone:
    """IDLE is over: a question, answered with machine.answer(). done: the client said DONE, and nothing else."""

    done: bool


ImapEvent: TypeAlias = Request[S] | LiteralChunk | LiteralEnd | AuthResponse | IdleDone


class _Mode(Enum):
    LINE = auto()  # a command, or the next piece of one
    LITERAL = auto()  # an ordinary literal of the command
    ASKED = auto()  # the session has a question
    STREAM = auto()  # a literal in chunks
    SWALLOW = auto()  # a literal of a refused command
    AUTH = auto()
    IDLE = auto()
    TLS = auto()  # STARTTLS was asked; no byte is taken
    CLOSED = auto()


class ImapServer(Generic[S]):
    """One client's connection. commands: the table, by upper-case name. secure: TLS is there from the start."""

    def __init__(self, commands: Mapping[bytes, Command[S]], limits: Limits | None = None, *, secure: bool = False) -> None:
        self.state = State.NOT_AUTHENTICATED
        self.secure = secure
        self.limits = limits or Limits()
        self._commands = commands
        self._mode = _Mode.LINE
        self._in = bytearray()
        self._at = 0
        self._scanned = 0
        self._out: list[bytes] = []
        self._errors = 0
        self._commands_seen = 0
        self._leaving = False
        self._tag = b"*"
        self._stream: Announced | None = None
        self._left = 0  # bytes still to come of the literal
        self._verdict = b""  # the answer to a command whose literals are being swallowed
        self._swallowed = 0
        self._text = b""
        self._literals: list[bytes] = []
        self._size = 0

    # ---- bytes ----------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._mode is _Mode.CLOSED:
            return
        if self._mode is _Mode.TLS:
            # Plain text after STARTTLS would count as if it came through TLS (RFC 9051 §6.2.1).
            self.close("Nothing may follow STARTTLS")
            return
        self._in += data

    def receive_eof(self) -> None:
        """The client sends no more; what is incomplete is forgotten."""
        self._mode = _Mode.CLOSED
        self._in.clear()
        self._at = 0

    def take_output(self) -> bytes:
        """All bytes for the client that have gathered since the last call."""
        if not self._out:
            return b""
        output = b"".join(self._out)
        self._out.clear()
        return output

    @property
    def buffered_bytes(self) -> int:
        """What has been received and not been used yet."""
        return len(self._in) - self._at

    @property
    def waiting_for(self) -> str:
        """The deadline that runs: "login", "command", "idle", "data"."""
        if self._mode is _Mode.STREAM:
            return "data"
        if self._mode is _Mode.IDLE:
            return "idle"
        return "login" if self.state is State.NOT_AUTHENTICATED else "command"

    @property
    def wants_close(self) -> bool:
        """True once the connection is to be closed after the output has been sent."""
        return self._mode is _Mode.CLOSED

    # ---- what the session says ------------------------------------------------------------------

    def greet(self, text: str, code: bytes = b"") -> None:
        """The first line (RFC 3501 §7.1.1)."""
        self._out.append(status_response(b"*", Kind.OK, text, code))

    def send(self, lines: bytes) -> None:
        """Untagged responses, whole lines but for a literal that is sent in pieces."""
        self._out.append(lines)

    def answer(self, kind: Kind, text: str, code: bytes = b"") -> None:
        """The tagged response to the present request; afterwards the next command is read."""
        self._errors = self._errors + 1 if kind is Kind.BAD else 0
        said = status_response(self._tag, kind, text, code)
        if self._mode is _Mode.TLS:
            self._out.append(said)
            if kind is not Kind.OK:
                self._begin()
            return
        stream, self._stream = self._stream, None
        if stream is not None and not stream.synchronising and self._mode is _Mode.ASKED:
            # Refused before accept_literal(), but the bytes are on their way.
            self._swallow(stream.size, said)
            return
        self._out.append(said)
        if self._mode is _Mode.STREAM:
            # Refused in the middle: what is left of the literal is thrown away, its answer has been given.
            self._swallow(self._left, b"")
            return
        if self._mode is not _Mode.CLOSED:
            self._begin()

    def accept_literal(self) -> None:
        """The streamed literal of the present request may come: LiteralChunk … LiteralEnd follow."""
        if self._stream is None:
            return
        if self._stream.synchronising:
            self._out.append(continuation(b"Go on"))
        self._left = self._stream.size
        self._mode = _Mode.STREAM

    def challenge(self, data: bytes) -> None:
        """The next challenge of AUTHENTICATE; AuthResponse follows (RFC 3501 §6.2.2)."""
        self._out.append(continuation(b64encode(data)))
        self._mode = _Mode.AUTH

    def idle(self) -> None:
        """IDLE is granted: untagged responses may be sent until IdleDone (RFC 2177 §3)."""
        self._out.append(continuation(b"Waiting"))
        self._mode = _Mode.IDLE

    def secured(self) -> None:
        """The TLS handshake that STARTTLS asked for is done."""
        self.secure = True
        self._in.clear()
        self._at = self._scanned = 0
        self._begin()

    def close(self, text: str, code: bytes = b"") -> None:
        """BYE, then the connection is closed (RFC 3501 §7.1.5)."""
        if self._mode is not _Mode.CLOSED:
            self._out.append(status_response(b"*", Kind.BYE, text, code))
        self.hang_up()

    def shut_down(self) -> None:
        """The server is ending: BYE now, or as soon as the command that is under way has been answered."""
        if self._mode in (_Mode.ASKED, _Mode.STREAM, _Mode.SWALLOW, _Mode.TLS):
            self._leaving = True
        else:
            self.close("The server is going down, please come back", b"UNAVAILABLE")

    def hang_up(self) -> None:
        """Close after the output without another word; LOGOUT's own BYE has been sent."""
        self._mode = _Mode.CLOSED
        self.state = State.LOGOUT
        self._in.clear()
        self._at = self._scanned = 0

    # ---- events ---------------------------------------------------------------------------------

    def next_event(self) -> ImapEvent[S] | None:
        """The next event, or None when bytes or an answer are needed first."""
        while True:
            mode = self._mode
            if mode is _Mode.LINE:
                line = self._line()
                if line is None:
                    return None
                request = self._piece(line)
                if request is not None:
                    return request
            elif mode is _Mode.LITERAL:
                if self.buffered_bytes < self._left:
                    return None
                self._literals.append(self._take(self._left))
                self._mode = _Mode.LINE
            elif mode is _Mode.STREAM:
                return self._stream_event()
            elif mode is _Mode.SWALLOW:
                if not self._swallow_more():
                    return None
            elif mode is _Mode.AUTH or mode is _Mode.IDLE:
                line = self._line()
                if line is None:
                    return None
                self._mode = _Mode.ASKED
                return IdleDone(_without_end(line).upper() == b"DONE") if mode is _Mode.IDLE else AuthResponse(_sasl_line(line))
            else:
                return None

    def _line(self) -> bytes | None:
        """The next line with its end, CRLF or a bare LF; None if it is not there, or if it was too long and all is over."""
        end = self._in.find(b"\n", max(self._at, self._scanned))
        room = self.limits.of(self.state) - self._size
        if (end if end >= 0 else len(self._in)) - self._at > room:
            if self._mode is _Mode.LINE and not self._text:
                try:
                    self._read_tag(bytes(self._in[self._at : self._at + 300]))
                except BadValue:
                    pass
            self._out.append(status_response(self._tag, Kind.BAD, "Command too long"))
            self.close("Command too long")
            return None
        if end < 0:
            self._scanned = len(self._in)
            return None
        line = bytes(self._in[self._at : end + 1])
        self._drop(end + 1)
        return line

    def _take(self, count: int) -> bytes:
        data = bytes(self._in[self._at : self._at + count])
        self._drop(self._at + count)
        return data

    def _drop(self, up_to: int) -> None:
        if up_to == len(self._in):
            self._in.clear()
            up_to = 0
        elif up_to > 65_536:
            del self._in[:up_to]
            up_to = 0
        self._at = self._scanned = up_to

    def _begin(self) -> None:
        self._mode = _Mode.LINE
        self._text = b""
        self._literals = []
        self._size = 0
        self._tag = b"*"
        if self._leaving:
            self.shut_down()
        if self._errors >= self.limits.errors:
            self.close("Too many errors")
        if self.state is State.NOT_AUTHENTICATED:
            self._commands_seen += 1
            if self._commands_seen > self.limits.commands_before_login:
                self.close("Too many commands without a login")

    def _read_tag(self, line: bytes) -> Reader:
        """The tag, kept for the answer; "*" where there is none to repeat."""
        self._tag = b"*"
        reader = Reader(line)
        tag = reader.tag()
        if len(tag) > 255:
            raise BadValue("tag", tag)
        self._tag = tag
        return reader

    def _piece(self, line: bytes) -> Request[S] | None:
        """One line of a command. Returns the request if it is the last one and all is well."""
        self._size += len(line)
        # Only CRLF makes an announcement; a command itself may end in a bare LF, as people at a terminal type it. Nothing can be
        # hidden so: there is no other reading of these bytes further on.
        marker = _MARKER.search(line)
        self._text += line if marker else _without_end(line)
        try:
            request = self._parse()
        except Incomplete:
            self._expect_literal(marker)
            return None
        except Refusal as refusal:
            self._refuse(Kind.NO, refusal.text, marker, refusal.code)
            return None
        except BadValue as error:
            self._refuse(Kind.BAD, f"Expected {error.what}" + (f": {error.because}" if error.because else ""), marker)
            return None
        stream = self._stream
        if stream is not None and stream.size > self.limits.message_bytes:
            self._stream = None
            self._refuse(Kind.NO, "Message too big", marker, b"TOOBIG")
            return None
        self._mode = _Mode.ASKED
        if request.command.name == b"STARTTLS":
            self._mode = _Mode.TLS
            if self.buffered_bytes:
                # RFC 9051 §6.2.1: what came with STARTTLS was not protected; it must never be carried out.
                self.close("Nothing may follow STARTTLS")
                return None
        return request

    def _parse(self) -> Request[S]:
        """The command that the gathered text is. Raises BadValue, Refusal, Incomplete."""
        self._stream = None
        reader = self._read_tag(self._text)
        reader.space()
        found = Reader(self._text, self._literals, reader.at)
        name = found.word()
        uid = name == b"UID"
        if uid:
            found.space()
            name = b"UID " + found.word()
        command = self._commands.get(name)
        if command is None:
            raise BadValue("a command", name, "not known here")
        if self.state not in command.states:
            raise BadValue("a command", name, f"not in the {self.state.value} state")
        args = command.read(found)
        found.end()
        if command.streams and isinstance(last := _last(args), Announced):
            self._stream = last
        return Request(self._tag, command, args, uid)

    def _expect_literal(self, marker: re.Match[bytes] | None) -> None:
        """An ordinary literal of the command may come, if it is small enough."""
        if marker is None:
            # The literal's announcement stands in the text, so that a marker ended this line; kept for safety.
            self._refuse(Kind.BAD, "Expected literal", None)
            return
        size = _literal_size(marker)
        if size is None or self._size + size > self.limits.of(self.state) or len(self._literals) >= self.limits.literals:
            self._refuse(Kind.BAD, "Literal too big" if size is None or size else "Too many literals", marker)
            return
        self._size += size
        self._left = size
        self._mode = _Mode.LITERAL
        if not marker[2]:
            self._out.append(continuation(b"Go on"))

    def _refuse(self, kind: Kind, text: str, marker: re.Match[bytes] | None, code: bytes = b"") -> None:
        """The command is not carried out. If a literal is on its way without our consent, it is thrown away first."""
        self._errors = self._errors + 1 if kind is Kind.BAD else 0
        said = status_response(self._tag, kind, text, code)
        if marker is None or not marker[2]:
            self._out.append(said)
            self._begin()
            return
        self._swallow(_literal_size(marker), said)

    def _swallow(self, size: int | None, said: bytes) -> None:
        self._verdict = said
        self._swallowed += size or 0
        if size is None or self._swallowed > self.limits.swallow_bytes(self.state):
            # RFC 7888 §4 allows to close instead of reading all of it.
            self._out.append(said)
            self.close("Literal too big", b"TOOBIG")
            return
        self._left = size
        self._mode = _Mode.SWALLOW

    def _swallow_more(self) -> bool:
        """Throw away what has come of a refused command's literal and the text after it. False if more must come first."""
        taken = min(self.buffered_bytes, self._left)
        self._drop(self._at + taken)
        self._left -= taken
        if self._left:
            return False
        self._size = 0
        line = self._line()
        if line is None:
            return False
        marker = _MARKER.search(line)
        if marker is not None and marker[2]:
            self._swallow(_literal_size(marker), self._verdict)
            return True
        if self._verdict:
            self._out.append(self._verdict)
        self._verdict = b""
        self._swallowed = 0
        self._begin()
        return True

    def _stream_event(self) -> ImapEvent[S] | None:
        if self._left:
            taken = min(self.buffered_bytes, self._left)
            if not taken:
                return None
            self._left -= taken
            return LiteralChunk(self._take(taken))
        self._size = 0
        line = self._line()
        if line is None:
            return None
        self._mode = _Mode.ASKED
        self._stream = None
        if not _without_end(line):
            return LiteralEnd()
        marker = _MARKER.search(line)
        if marker is not None and marker[2]:
            # One more literal follows unasked; the answer is given after it has been thrown away.
            size = _literal_size(marker)
            self._stream = Announced(self.limits.message_bytes + 1 if size is None else size, False)
        return LiteralEnd("Expected end of the command")


def _last(args: object) -> object:
    """The last argument: of a tuple its last member, else the thing itself."""
    return args[-1] if isinstance(args, tuple) and args else args


def _literal_size(marker: re.Match[bytes]) -> int | None:
    """The announced size; None if it is above what RFC 3501 §9 can say."""
    digits = marker[1]
    if len(digits) > 10 or int(digits) > 0xFFFFFFFF:
        return None
    return int(digits)


def _without_end(line: bytes) -> bytes:
    """A line without CRLF or LF."""
    return line[:-2] if line.endswith(b"\r\n") else line[:-1]


def _sasl_line(line: bytes) -> bytes | None:
    """The client's response, decoded; None for "*" (cancelled) and for what is not the one base64 form of anything."""
    return decode_base64(_without_end(line))


def decode_base64(raw: bytes) -> bytes | None:
    """Strictly decoded; None if it is not the one canonical form."""
    try:
        data = b64decode(raw, validate=True)
    except (Base64Error, ValueError):
        return None
    return data if b64encode(data) == raw else None
