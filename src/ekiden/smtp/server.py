"""The server's side of SMTP, submission and LMTP, as a machine without a socket.

It answers what grammar can answer: syntax, order, limits, RSET, NOOP, HELP, VRFY, end of data. It asks the session what needs
judgement: may this peer, this sender, this recipient, this password, this message? An event whose docstring says "Answer:" is
such a question: until it is answered no further event comes, and what the peer pipelined waits. Replies of a pipelined group
leave together, because the pump takes the output only when the machine needs more bytes.
Source: RFC 5321, RFC 2033 (LMTP), RFC 2920 §3.2, RFC 3207 §4, RFC 4954 §4.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable

from ekiden.base.errors import BadValue, ProtocolError
from ekiden.smtp import replies
from ekiden.smtp.commands import (
    decode_base64,
    holds_garbage,
    parse_hello,
    parse_initial_response,
    parse_mail,
    parse_rcpt,
)
from ekiden.smtp.data import ContentReader
from ekiden.smtp.events import (
    AuthResponse,
    AuthStart,
    BodyChunk,
    BodyEnd,
    DataStart,
    Hello,
    MailFrom,
    Quit,
    RcptTo,
    Refused,
    Reset,
    ServerEvent,
    StartTls,
)
from ekiden.smtp.extension import Extension, View, all_extensions, offer
from ekiden.smtp.replies import Reply
from ekiden.smtp.settings import ServerSettings
from ekiden.smtp.talk import Talk

__all__ = [
    "AuthResponse", "AuthStart", "BodyChunk", "BodyEnd", "DataStart", "Hello", "MailFrom", "Quit", "RcptTo", "Refused", "Reset",
    "ServerEvent", "ServerSettings", "SmtpServer", "StartTls",
]  # fmt: skip

_AUTH = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: +([A-Za-z0-9+/=]+))?")
_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH) ", re.IGNORECASE)
_KNOWN_BUT_ABSENT = frozenset({b"BDAT", b"EXPN", b"TURN", b"ETRN", b"SEND", b"SOML", b"SAML", b"ATRN", b"BURL"})
_AFTER_VERB = frozenset({b"", b" ", b"\t"})
_DATA_START = DataStart()
_START_TLS = StartTls()
_RESET = Reset()
_QUIT = Quit()


class SmtpServer(Talk):
    """One conversation with one client. Use: greet(), then receive(), next_event(), take_output() as base.machine tells.

    secure: TLS is active from the start. offers_auth: SASL mechanisms, offered under TLS only.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        secure: bool = False,
        offers_starttls: bool = False,
        offers_auth: tuple[str, ...] = (),
        extensions: tuple[Extension, ...] | None = None,
    ) -> None:
        super().__init__(settings, secure=secure)
        self._extensions = all_extensions() if extensions is None else extensions
        self._is_lmtp = settings.listener == "lmtp"
        self._needs_login = settings.listener.startswith("submission")
        self._offers_starttls = offers_starttls
        self._offers_auth = offers_auth
        self._signed_in = False
        self._greeted = False
        self._pending: ServerEvent | None = None
        self._content: ContentReader | None = None
        self._messages = 0
        self._asked_hello = Hello("", "")
        self._forget_peer()
        self._verbs: dict[bytes, Callable[[bytes], ServerEvent | None]] = {
            b"MAIL": self._mail, b"RCPT": self._rcpt, b"DATA": self._data, b"RSET": self._rset, b"QUIT": self._quit,
            b"EHLO": self._greeting, b"HELO": self._greeting, b"LHLO": self._greeting, b"NOOP": self._noop,
            b"AUTH": self._auth, b"STAR": self._starttls, b"VRFY": self._vrfy, b"HELP": self._help,
        }  # fmt: skip

    # ---- what the pump calls -----------------------------------------------------------------------

    def next_event(self) -> ServerEvent | None:
        """The next event, or None when bytes, greet() or an answer are needed first."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            return pending
        while self._question is None and not self._closing and self._greeted and not self._handshaking:
            if self._more:
                self._buffer = b"".join((self._buffer[self._at :], *self._more))
                self._at, self._more_bytes = 0, 0
                self._more.clear()
            if self._content is not None:
                if self._at >= len(self._buffer):
                    break
                event = self._read_content(self._content)
            else:
                at = self._at
                end = self._buffer.find(b"\r\n", at)
                if at <= end <= at + self._plain_bytes and self._too_long is None:
                    self._at = end + 2
                    event = self._execute(self._buffer[at:end])
                else:
                    unusual = self._next_line(end)
                    if unusual is None:
                        break
                    event = self._execute(unusual) if isinstance(unusual, bytes) else unusual
            if event is not None:
                return event
        if self._at and self._at >= len(self._buffer):
            self._buffer, self._at = b"", 0  # an idle connection keeps nothing of what it has read
        if self._eof and self._question is None and self._greeted:
            self._closing = True
        return None

    @property
    def waiting_for(self) -> str:
        """"command", "data" (content of a message) or "handshake"."""
        if self._content is not None:
            return "data"
        return "handshake" if self._handshaking else "command"

    @property
    def recipients(self) -> int:
        """How many recipients the open transaction has."""
        return self._recipients

    # ---- what the session calls --------------------------------------------------------------------

    def greet(self, reply: Reply | None = None) -> None:
        """Say the banner; a reply of 4xx or 5xx closes. A peer that spoke first is refused where the settings say so."""
        self._greeted = True
        early = self._settings.refuse_early
        if early is None:
            early = self._settings.listener == "mx"
        if reply is None and early and self.buffered_bytes:
            reply = replies.EARLY_TALKER
        if reply is None:
            words = "LMTP Ekiden" if self._is_lmtp else "ESMTP Ekiden"
            reply = replies.greeting(self._settings.hostname, words)
        self._output.append(reply.encode())
        self._said[reply.code // 100].value += 1
        if not reply.is_positive:
            self._closing = True

    def answer_recipient(self, reply: Reply) -> None:
        """LMTP: answer the end of a message for the next accepted recipient (RFC 2033 §4.2)."""
        if not self._is_lmtp or self._replies_due == 0:
            raise ProtocolError("no recipient waits for an answer")
        reply = self._or_problem(reply)
        self._output.append(reply.encode())
        self._said[reply.code // 100].value += 1
        self._replies_due -= 1
        if self._replies_due == 0:
            self._question = None
            self._end_message(reply)

    def challenge(self, text: bytes) -> None:
        """AUTH: send a challenge; the next event is AuthResponse."""
        if self._question != self._auth_answered:
            raise ProtocolError("no AUTH exchange waits for a challenge")
        self._question = None
        self._in_auth = True
        self._output.append(b"334 " + binascii.b2a_base64(text, newline=False) + b"\r\n")
        self._said[3].value += 1

    def secured(self) -> None:
        """The TLS handshake is done: everything the peer said before is forgotten (RFC 3207 §4.2)."""
        self._handshaking = False
        self._secure = True
        self._buffer, self._at, self._more, self._more_bytes = b"", 0, [], 0
        self._signed_in = False
        self._forget_peer()

    def _execute(self, line: bytes) -> ServerEvent | None:
        if self._in_auth:
            return self._auth_response(line)
        verb = line[:4].upper()
        if line[4:5] in _AFTER_VERB or verb == b"STAR":
            run = self._verbs.get(verb)
            if run is not None:
                return run(line)
            if verb in _KNOWN_BUT_ABSENT:
                return self._refuse(line, replies.NOT_IMPLEMENTED)
        if _HTTP.match(line):
            return self._refuse(line, replies.NOT_HTTP, close=True)
        if line.startswith(b"\x16\x03") and not self._secure:
            return self._refuse(line, replies.TLS_UNEXPECTED, close=True)
        return self._refuse(line, replies.GARBAGE if holds_garbage(line) else replies.UNKNOWN_COMMAND)

    # ---- hello, TLS, AUTH --------------------------------------------------------------------------

    def _forget_peer(self) -> None:
        self._hello = ""
        self._verb = ""
        self._offer = offer(
            self._extensions,
            View(
                message_bytes=self._settings.message_bytes,
                listener=self._settings.listener,
                secure=self._secure,
                starttls=self._offers_starttls and not self._secure,
                mechanisms=self._offers_auth if self._secure else (),
            ),
        )
        self._end_transaction()

    def _greeting(self, line: bytes) -> ServerEvent | None:
        if (line[:4].upper() == b"LHLO") != self._is_lmtp:
            return self._refuse(line, replies.WRONG_HELLO)
        hello = parse_hello(line)
        if isinstance(hello, Reply):
            return self._refuse(line, replies.GARBAGE if holds_garbage(line) else hello)
        if self._is_idle_too_long():
            return self._refuse(line, replies.TOO_MANY_IDLE_COMMANDS, close=True)
        self._asked_hello = hello
        self._question = self._hello_answered
        return hello

    def _hello_answered(self, reply: Reply | None) -> None:
        if reply is not None and not reply.is_positive:
            self._write(reply)
            return
        self._end_transaction()
        self._hello, self._verb = self._asked_hello.name, self._asked_hello.verb
        lines = (self._settings.hostname,) if self._verb == "HELO" else (self._settings.hostname, *self._offer.lines)
        self._output.append(Reply(250, None, lines).encode())
        self._said[2].value += 1

    def _starttls(self, line: bytes) -> ServerEvent | None:
        if line[:8].upper() != b"STARTTLS" or line[8:9] not in _AFTER_VERB:
            return self._refuse(line, replies.GARBAGE if holds_garbage(line) else replies.UNKNOWN_COMMAND)
        if self._secure:
            return self._refuse(line, replies.ALREADY_SECURE)
        if not self._offers_starttls:
            return self._refuse(line, replies.NOT_IMPLEMENTED)
        if line[8:].strip(b" \t"):
            return self._refuse(line, replies.NO_ARGUMENT_ALLOWED)
        if not self._hello:
            return self._refuse(line, replies.HELLO_FIRST)
        if self._sender_given:
            return self._refuse(line, replies.NOT_IN_TRANSACTION)
        if self._at < len(self._buffer):
            # RFC 3207 §4.2: what was said in clear must never be taken for something said under TLS.
            return self._refuse(line, replies.PIPELINED_STARTTLS, close=True)
        self._handshaking = True
        self._question = self._starttls_answered
        return _START_TLS

    def _starttls_answered(self, reply: Reply | None) -> None:
        if self._clear_after_starttls:
            self._handshaking = False
            self._pending = self._refuse(b"STARTTLS", replies.PIPELINED_STARTTLS, close=True)
        elif reply is not None and not reply.is_positive:
            self._handshaking = False
            self._write(reply)
        else:
            self._output.append(replies.READY_FOR_TLS.encode())
            self._said[2].value += 1

    def _auth(self, line: bytes) -> ServerEvent | None:
        if not self._offers_auth:
            return self._refuse(line, replies.NOT_IMPLEMENTED)
        if not self._secure:
            return self._refuse(line, replies.ENCRYPTION_NEEDED)
        if self._verb != "EHLO":
            return self._refuse(line, replies.HELLO_FIRST)
        if self._signed_in:
            return self._refuse(line, replies.ALREADY_SIGNED_IN)
        if self._sender_given:
            return self._refuse(line, replies.NOT_IN_TRANSACTION)
        match = _AUTH.fullmatch(line[5:].strip(b" \t"))
        if match is None:
            mechanism, _, rest = line[5:].strip(b" \t").partition(b" ")
            bad = replies.BAD_BASE64 if mechanism and rest else replies.BAD_PARAMETER
            return self._refuse(line, bad)
        mechanism_name = match[1].decode("ascii").upper()
        if mechanism_name not in self._offers_auth:
            return self._refuse(line, replies.UNKNOWN_MECHANISM)
        initial = None if match[2] is None else parse_initial_response(match[2])
        if isinstance(initial, Reply):
            return self._refuse(line, initial)
        self._question = self._auth_answered
        return AuthStart(mechanism_name, initial)

    def _auth_response(self, line: bytes) -> ServerEvent | None:
        self._in_auth = False
        if line == b"*":
            self._write(replies.AUTH_CANCELLED)
            return AuthResponse(None)
        try:
            data = decode_base64(line)
        except BadValue:
            self._write(replies.BAD_BASE64)
            return AuthResponse(None)
        self._question = self._auth_answered
        return AuthResponse(data)

    def _auth_answered(self, reply: Reply | None) -> None:
        reply = replies.SIGNED_IN if reply is None else reply
        self._signed_in = reply.is_positive
        self._write(reply)

    # ---- the transaction ---------------------------------------------------------------------------

    def _end_transaction(self) -> None:
        self._sender_given = False
        self._recipients = 0
        self._recipient_tried = False
        self._replies_due = 0
        self._content = None
        self._content_problem: Reply | None = None
        self._lost_sync = False

    def _mail(self, line: bytes) -> ServerEvent | None:
        if self._sender_given:
            return self._refuse(line, replies.SENDER_ALREADY_GIVEN)
        if not self._hello:
            return self._refuse(line, replies.HELLO_FIRST)
        if self._needs_login and not self._signed_in:
            return self._refuse(line, replies.SIGN_IN_FIRST if self._secure else replies.TLS_NEEDED)
        if self._settings.messages and self._messages >= self._settings.messages:
            return self._refuse(line, replies.TOO_MANY_MESSAGES, close=True)
        mail = parse_mail(line.rstrip(b" \t"), self._offer)
        if isinstance(mail, Reply):
            return self._refuse(line, mail)
        self._question = self._mail_answered
        return mail

    def _mail_answered(self, reply: Reply | None) -> None:
        reply = self._write(replies.SENDER_OK if reply is None else reply)
        self._sender_given = reply.is_positive

    def _rcpt(self, line: bytes) -> ServerEvent | None:
        if not self._sender_given:
            return self._refuse(line, replies.MAIL_FIRST)
        if self._recipients >= self._settings.recipients:
            return self._refuse(line, replies.TOO_MANY_RECIPIENTS)
        self._recipient_tried = True
        recipient = parse_rcpt(line.rstrip(b" \t"), self._offer)
        if isinstance(recipient, Reply):
            return self._refuse(line, recipient)
        self._question = self._rcpt_answered
        return recipient

    def _rcpt_answered(self, reply: Reply | None) -> None:
        reply = self._write(replies.RECIPIENT_OK if reply is None else reply)
        if reply.is_positive:
            self._recipients += 1

    def _data(self, line: bytes) -> ServerEvent | None:
        if len(line) > 4 and line[4:].strip(b" \t"):
            return self._refuse(line, replies.NO_ARGUMENT_ALLOWED)
        if self._at < len(self._buffer):
            # RFC 2920 §3.1: DATA is the last of its group; content that did not wait for 354 must not be run as commands.
            return self._refuse(line, replies.IMPROPER_PIPELINING, close=True)
        if not self._sender_given:
            return self._refuse(line, replies.MAIL_FIRST)
        if not self._recipients:
            tried = self._recipient_tried and not self._is_lmtp  # RFC 2033 §4.2: always 503
            return self._refuse(line, replies.NO_VALID_RECIPIENTS if tried else replies.RECIPIENT_FIRST)
        self._question = self._data_answered
        return _DATA_START

    def _data_answered(self, reply: Reply | None) -> None:
        if self.buffered_bytes:
            self._pending = self._refuse(b"DATA", replies.IMPROPER_PIPELINING, close=True)
        elif reply is not None and reply.code >= 400:
            self._end_transaction()
            self._write(reply)
        else:
            self._output.append(replies.START_CONTENT.encode())
            self._said[3].value += 1
            settings = self._settings
            self._content = ContentReader(settings.message_bytes, settings.line_bytes, settings.excess_bytes)

    def _read_content(self, content: ContentReader) -> ServerEvent | None:
        self._at = content.read(self._buffer, self._at)
        chunk = BodyChunk(content.chunk) if content.chunk else None
        if not content.ended:
            return chunk
        self._content = None
        self._content_problem = content.problem
        self._replies_due = self._recipients if self._is_lmtp else 1
        self._lost_sync = content.lost
        self._question = self._body_answered
        end = BodyEnd(content.size, content.problem, content.lines)
        if chunk is None:
            return end
        self._pending = end
        return chunk

    def _or_problem(self, reply: Reply) -> Reply:
        """Whatever a session says, content with a problem is never promised to anybody."""
        return reply if self._content_problem is None or reply.code >= 400 else self._content_problem

    def _body_answered(self, reply: Reply | None) -> None:
        reply = self._or_problem(replies.OK if reply is None else reply)
        self._output += [reply.encode()] * self._replies_due
        self._said[reply.code // 100].value += self._replies_due
        self._end_message(reply)

    def _end_message(self, reply: Reply) -> None:
        if reply.is_positive:
            self._errors = 0
        elif reply.is_permanent:
            self._errors += 1
        self._messages += 1
        self._idle_commands = 0
        self._closing = self._closing or self._lost_sync
        self._end_transaction()

    # ---- the small ones ----------------------------------------------------------------------------

    def _rset(self, line: bytes) -> ServerEvent | None:
        if line[4:].strip(b" \t"):
            return self._refuse(line, replies.NO_ARGUMENT_ALLOWED)
        if self._is_idle_too_long():
            return self._refuse(line, replies.TOO_MANY_IDLE_COMMANDS, close=True)
        was_open = self._sender_given
        self._end_transaction()
        self._output.append(replies.RESET.encode())
        self._said[2].value += 1
        return _RESET if was_open else None

    def _quit(self, line: bytes) -> ServerEvent | None:
        if line[4:].strip(b" \t"):
            return self._refuse(line, replies.NO_ARGUMENT_ALLOWED)
        self._output.append(replies.GOODBYE.encode())
        self._said[2].value += 1
        self._closing = True
        return _QUIT

    def _noop(self, line: bytes) -> ServerEvent | None:
        return self._idle(line, replies.OK)

    def _help(self, line: bytes) -> ServerEvent | None:
        return self._idle(line, replies.HELP_TEXT)

    def _vrfy(self, line: bytes) -> ServerEvent | None:
        if not line[5:].strip(b" \t"):
            return self._refuse(line, replies.ARGUMENT_NEEDED)
        if not line.isascii():
            return self._refuse(line, replies.UTF8_NOT_OFFERED)
        return self._idle(line, replies.CANNOT_VERIFY)  # RFC 5321 §7.3: the same for every name

    def _idle(self, line: bytes, reply: Reply) -> ServerEvent | None:
        if holds_garbage(line):
            return self._refuse(line, replies.GARBAGE)
        if self._is_idle_too_long():
            return self._refuse(line, replies.TOO_MANY_IDLE_COMMANDS, close=True)
        self._output.append(reply.encode())
        self._said[reply.code // 100].value += 1
        return None
