"""The client's side of SMTP and LMTP, as a machine without a socket; pipelined where the host allows it.

The driver (services/attempt.py, `ekiden send`) calls methods, the machine writes commands, counts replies and tells with events
what came of them. A 421, a broken reply or the end of the stream ends the conversation wherever it comes; a message that was on
its way then still gets its MessageDone, so that refusals which the host had already spoken are not lost.
Source: RFC 5321 §4.1, §4.3, RFC 2920 §3.1, RFC 3207 §4, RFC 4954 §4, RFC 2033 §4.
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from collections.abc import Callable, Sequence

from ekiden.base.errors import BadValue, ProtocolError
from ekiden.smtp.client_events import (
    Broken,
    Capabilities,
    ClientEvent,
    Closed,
    ContentWanted,
    Exchange,
    MessageDone,
    Ready,
    RecipientAnswered,
    Result,
    SignInAnswered,
    TlsReady,
    TlsRefused,
    Unwelcome,
    read_capabilities,
)
from ekiden.smtp.data import holds_bad_marks
from ekiden.smtp.replies import Reply, printable
from ekiden.smtp.reply_reader import USUAL, ReplyLimits, ReplyReader

_SPEAKABLE = re.compile(r"[ -~]*")


class SmtpClient:
    """One conversation with one host.

    hostname: what we call ourselves. lmtp: greet with LHLO and expect a reply for each recipient (RFC 2033 §4.2).
    secure: TLS is active from the start.
    """

    def __init__(self, hostname: str, *, lmtp: bool = False, secure: bool = False, limits: ReplyLimits = USUAL) -> None:
        self._hostname = hostname
        self._lmtp = lmtp
        self._secure = secure
        self._capabilities = Capabilities()
        self._reader = ReplyReader(limits)
        self._eof = False
        self._over = False
        self._handshaking = False
        self._output: list[bytes] = []
        self._events: deque[ClientEvent] = deque()
        self._exchanges: list[Exchange] = []
        self._expected: deque[tuple[str, str, Callable[[Reply], None]]] = deque()
        self._credentials: tuple[str, str] = ("", "")
        self._needs_reset = False
        self._results: list[Result | None] = []
        self._in_message = False
        self._is_touched = False
        self._in_content = False
        self._dot_sent = False
        self._sender_reply: Reply | None = None
        self._later: deque[tuple[str, str, Callable[[Reply], None]]] = deque()
        self._answers_due: deque[int] = deque()
        self._at_line_start = True
        self._waiting_cr = False
        self._expect("banner", "", self._banner)

    # ---- what the pump calls -----------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the host."""
        if not self._over:
            self._reader.receive(data)

    def receive_eof(self) -> None:
        """The host sends no more."""
        self._eof = True

    def next_event(self) -> ClientEvent | None:
        """The next event, or None when more bytes (or a method) are needed first."""
        while not self._events and not self._over and not self._handshaking:
            try:
                reply = self._reader.next_reply()
            except ProtocolError as error:
                self.fail(str(error))
                break
            if reply is None:
                if self._eof:
                    self._hung_up()
                break
            self._take(reply)
        return self._events.popleft() if self._events else None

    def take_output(self) -> bytes:
        """All that is to be sent to the host."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    @property
    def waiting_for(self) -> str:
        """"banner", "hello", "starttls", "handshake", "auth", "reset", "mail", "rcpt", "data-start", "content" (we are
        sending), "final", "quit" or "idle"."""
        if self._handshaking:
            return "handshake"
        if self._expected:
            return self._expected[0][0]
        return "content" if self._in_content else "idle"

    @property
    def wants_close(self) -> bool:
        """True once nothing more can be said."""
        return self._over

    # ---- what the driver asks ----------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """What the host announced last."""
        return self._capabilities

    @property
    def is_idle(self) -> bool:
        """True where send() or quit() may be called."""
        return not self._over and not self._expected and not self._in_message and not self._handshaking

    @property
    def answered_early(self) -> bool:
        """True where the host has answered a message whose content we are still sending: stop, and take the next event."""
        return self._in_content and (self._reader.has_bytes or self._eof)

    def take_exchanges(self) -> list[Exchange]:
        """Commands and replies since the last call, in order."""
        exchanges, self._exchanges = self._exchanges, []
        return exchanges

    # ---- what the driver does ----------------------------------------------------------------------

    def start_tls(self) -> None:
        """STARTTLS; TlsReady or TlsRefused follows."""
        self._must_be_idle()
        self._command("starttls", "STARTTLS", self._starttls)

    def secured(self) -> None:
        """The handshake is done: forget what was said in clear and say EHLO again (RFC 3207 §4.2)."""
        self._handshaking = False
        if self._reader.has_bytes:
            # The host speaks second under TLS, so this came in clear, from whomever: never part of the conversation.
            self.fail("bytes after the reply to STARTTLS")
            return
        self._secure = True
        self._say_hello()

    def sign_in(self, user: str, password: str) -> None:
        """AUTH PLAIN, or LOGIN where only that is offered; SignInAnswered follows. Raises ProtocolError outside TLS."""
        self._must_be_idle()
        if not self._secure:
            raise ProtocolError("a password is never sent in clear")
        if "PLAIN" in self._capabilities.mechanisms:
            secret = b"\0" + user.encode("utf-8") + b"\0" + password.encode("utf-8")
            self._write(b"AUTH PLAIN " + _base64(secret))
            self._expect("auth", "AUTH PLAIN", self._signed_in)
        elif "LOGIN" in self._capabilities.mechanisms:
            self._credentials = (user, password)
            self._command("auth", "AUTH LOGIN", self._login_user)
        else:
            raise ProtocolError("the host offers neither PLAIN nor LOGIN")

    def send(self, sender: str, recipients: Sequence[str], *, size: int, eight_bit: bool = False) -> None:
        """Begin a message. ContentWanted follows if anybody is to get it, and MessageDone in any case.

        sender, recipients: what stands between the angle brackets; at least one recipient, printable ASCII.
        size: bytes of content. eight_bit: the content has bytes above 127. Raises BadValue.
        """
        self._must_be_idle()
        for path in (sender, *recipients):
            if not _SPEAKABLE.fullmatch(path):
                raise BadValue("path", path)
        if not recipients:
            raise BadValue("recipients")
        self._results = [None] * len(recipients)
        self._in_message, self._is_touched, self._dot_sent, self._in_content = True, False, False, False
        self._sender_reply = None
        self._answers_due.clear()
        self._at_line_start, self._waiting_cr = True, False
        keywords = self._capabilities.keywords
        mail = f"MAIL FROM:<{sender}>"
        if "SIZE" in keywords:
            mail += f" SIZE={size}"
        if eight_bit and "8BITMIME" in keywords:
            mail += " BODY=8BITMIME"
        if self._needs_reset:
            self._later.append(("reset", "RSET", self._reset_answered))
        self._later.append(("mail", mail, self._mail_answered))
        for index, recipient in enumerate(recipients):
            self._later.append(("rcpt", f"RCPT TO:<{recipient}>", self._rcpt_answered(index)))
        self._later.append(("data-start", "DATA", self._data_answered))
        self._say_later()

    def content(self, data: bytes) -> None:
        """Send a piece of content, cut anywhere; only whole CRLFs end lines. Raises BadValue for NUL, a bare CR or a bare LF.

        After BadValue the connection has to be dropped: the host must not take what it has for the whole.
        """
        if not self._in_content:
            raise ProtocolError("the host waits for no content")
        if self._waiting_cr:
            data, self._waiting_cr = b"\r" + data, False
        if data.endswith(b"\r"):
            data, self._waiting_cr = data[:-1], True
        if not data:
            return
        if holds_bad_marks(data):
            raise BadValue("content", b"", "NUL, bare CR or LF")
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        # RFC 5321 §4.5.2: the first line counts as well, and so does a line that begins with a new piece.
        self._output.append(b"." + stuffed if self._at_line_start and data.startswith(b".") else stuffed)
        self._at_line_start = data.endswith(b"\r\n")

    def end_content(self) -> None:
        """The final dot; MessageDone follows."""
        if not self._in_content:
            raise ProtocolError("the host waits for no content")
        if self._waiting_cr:
            raise BadValue("content", b"", "bare CR")
        self._output.append(b".\r\n" if self._at_line_start else b"\r\n.\r\n")
        self._in_content = False
        self._dot_sent = True
        for _ in range(len(self._answers_due) if self._lmtp else 1):
            self._expect("final", ".", self._final_answered)

    def quit(self) -> None:
        """Say goodbye; Closed follows. Allowed whenever no message is on its way."""
        if not self._over and not self._in_message:
            self._command("quit", "QUIT", self._quit_answered)

    def fail(self, problem: str) -> None:
        """Give the conversation up: MessageDone for a message on its way, then Broken."""
        if self._over:
            return
        phase = self.waiting_for
        self._over = True
        if self._in_message:
            self._finish(Result(_lost(problem), is_remote=False))
        self._events.append(Broken(problem, phase))

    # ---- writing -----------------------------------------------------------------------------------

    def _must_be_idle(self) -> None:
        if not self.is_idle:
            raise ProtocolError(f"the conversation waits for something else: {self.waiting_for}")

    def _write(self, line: bytes) -> None:
        self._output.append(line + b"\r\n")

    def _expect(self, phase: str, command: str, then: Callable[[Reply], None]) -> None:
        self._expected.append((phase, command, then))

    def _command(self, phase: str, command: str, then: Callable[[Reply], None]) -> None:
        self._write(command.encode("ascii"))
        self._expect(phase, command, then)

    def _say_later(self) -> None:
        """Say what waits: all of it to a host that pipelines, else one command."""
        if "PIPELINING" in self._capabilities.keywords:
            self._output.append("".join(command + "\r\n" for _, command, _ in self._later).encode("ascii"))
            self._expected += self._later
            self._later.clear()
        elif self._later:
            self._command(*self._later.popleft())

    def _say_hello(self, verb: str = "") -> None:
        verb = verb or ("LHLO" if self._lmtp else "EHLO")
        self._command("hello", f"{verb} {self._hostname}", self._helo if verb == "HELO" else self._ehlo)

    # ---- replies -----------------------------------------------------------------------------------

    def _take(self, reply: Reply) -> None:
        if not self._expected:
            self._unasked(reply)
            return
        phase, command, then = self._expected.popleft()
        self._exchanges.append(Exchange(command, reply))
        if self._in_message:
            self._is_touched = True
        then(reply)
        if reply.code == 421 and not self._over:
            self._ended_by(reply, phase)

    def _unasked(self, reply: Reply) -> None:
        """A reply that no command asked for: 421 before a goodbye, or a verdict on content that is still being sent."""
        self._exchanges.append(Exchange("", reply))
        if self._in_content:
            if reply.code >= 400:
                self._in_content = False
                self._over = True
                self._finish(Result(reply))
                self._events.append(Broken("answered before the end of the message", "content", reply))
            else:
                self.fail(f"an answer before the end of the message: {reply.text}")
        elif reply.code == 421:
            self._ended_by(reply, "idle")
        else:
            self.fail(f"a reply to no command: {reply.text}")

    def _ended_by(self, reply: Reply, phase: str) -> None:
        self._over = True
        if self._in_message:
            self._finish(Result(reply))
        self._events.append(Broken("the host closes the conversation", phase, reply))

    def _hung_up(self) -> None:
        if self.waiting_for == "quit":
            self._over = True
            self._events.append(Closed())
        else:
            self.fail("the host hung up")

    def _banner(self, reply: Reply) -> None:
        if reply.code == 220:
            self._say_hello()
        elif reply.code >= 400:
            self._events.append(Unwelcome("banner", reply))
        else:
            self.fail(f"an unexpected greeting: {reply.text}")

    def _ehlo(self, reply: Reply) -> None:
        if reply.code == 250:
            self._capabilities = read_capabilities(reply, extended=True)
            self._events.append(Ready(self._capabilities))
        elif reply.is_permanent and not self._lmtp:
            self._say_hello("HELO")  # RFC 5321 §3.2: a host that does not know EHLO
        else:
            self._events.append(Unwelcome("hello", reply))

    def _helo(self, reply: Reply) -> None:
        if reply.code == 250:
            self._capabilities = read_capabilities(reply, extended=False)
            self._events.append(Ready(self._capabilities))
        else:
            self._events.append(Unwelcome("hello", reply))

    def _starttls(self, reply: Reply) -> None:
        if reply.code != 220:
            self._events.append(TlsRefused(reply))
        elif self._reader.has_bytes:
            self.fail("bytes after the reply to STARTTLS")
        else:
            self._handshaking = True
            self._events.append(TlsReady())

    def _login_user(self, reply: Reply) -> None:
        self._login_step(reply, self._credentials[0], "(user name)", self._login_password)

    def _login_password(self, reply: Reply) -> None:
        self._login_step(reply, self._credentials[1], "(password)", self._signed_in)

    def _login_step(self, reply: Reply, word: str, shown: str, then: Callable[[Reply], None]) -> None:
        if reply.code != 334:
            self._signed_in(reply)
            return
        self._write(_base64(word.encode("utf-8")))
        self._expect("auth", shown, then)

    def _signed_in(self, reply: Reply) -> None:
        self._credentials = ("", "")
        if 300 <= reply.code <= 399:
            self.fail("AUTH asks for more than a user name and a password")
        else:
            self._events.append(SignInAnswered(reply))

    # ---- the message -------------------------------------------------------------------------------

    def _reset_answered(self, reply: Reply) -> None:
        self._is_touched = False
        if reply.is_positive:
            self._say_later()
        elif reply.code != 421:
            self.fail(f"RSET was refused: {reply.text}")

    def _mail_answered(self, reply: Reply) -> None:
        self._sender_reply = reply
        self._needs_reset = True
        if reply.is_positive:
            self._say_later()
        elif self._later:
            # Without pipelining nothing else has been said; there is nothing to reset either.
            self._later.clear()
            self._needs_reset = False
            self._finish(Result(reply))

    def _rcpt_answered(self, index: int) -> Callable[[Reply], None]:
        def answered(reply: Reply) -> None:
            sender = self._sender_reply
            if sender is not None and not sender.is_positive:
                reply = sender  # the answer that counts; this one only says "no MAIL yet"
            elif reply.is_positive:
                self._answers_due.append(index)
            if not reply.is_positive:
                self._results[index] = Result(reply)
            self._events.append(RecipientAnswered(index, reply))
            if len(self._later) == 1 and not self._answers_due:
                self._later.clear()  # not pipelined, and nobody wants it: DATA need not be said
                self._finish(Result(reply))
            else:
                self._say_later()

        return answered

    def _data_answered(self, reply: Reply) -> None:
        if reply.code == 354 and self._answers_due:
            self._in_content = True
            self._events.append(ContentWanted())
        elif reply.code == 354:
            # RFC 2920 §3.1: accepted for nobody; an empty message ends it, whatever the host says to that.
            self._output.append(b".\r\n")
            self._expect("final", ".", self._nothing_answered)
        elif reply.code >= 400:
            self._finish(Result(reply))
        else:
            self._finish(Result(_lost(f"the host answered DATA with {reply.code}"), is_remote=False))

    def _nothing_answered(self, _: Reply) -> None:
        self._needs_reset = False
        self._finish(Result(_lost("no recipient was accepted"), is_remote=False))

    def _final_answered(self, reply: Reply) -> None:
        if reply.code < 400 and not reply.is_positive:
            self.fail(f"an unexpected answer to the message: {reply.text}")
            return
        self._needs_reset = False
        if self._lmtp and self._answers_due:
            self._results[self._answers_due.popleft()] = Result(reply)
            if self._answers_due and reply.code != 421:
                return
        self._finish(Result(reply))

    def _finish(self, rest: Result) -> None:
        """The message is over; recipients that have no answer of their own get rest."""
        has_answer = rest.is_remote
        results = tuple(rest if each is None else each for each in self._results)
        ambiguous = self._dot_sent and not has_answer and None in self._results
        self._events.append(MessageDone(results, ambiguous, not self._is_touched))
        self._in_message = self._in_content = self._dot_sent = False

    def _quit_answered(self, _: Reply) -> None:
        self._over = True
        self._events.append(Closed())


def _base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def _lost(problem: str) -> Reply:
    """Our own word for a message that did not get through: try later (RFC 3463 §3.5, X.4.2 bad connection)."""
    return Reply(451, (4, 4, 2), (printable(problem),))
