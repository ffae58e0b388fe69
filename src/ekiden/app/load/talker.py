"""One SMTP connection of a load generator: says what was made before, reads three digits, and takes the time.

It is no client for mail that matters: it tries nothing twice, and believes the first line of a reply. It costs a third of the
client machine of ekiden.smtp, so that the load comes from the server and not from here.
Source: RFC 5321 §3.3, §4.1.1; RFC 2920 §3.1; RFC 3207 §4; RFC 4954 §4.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, cast

from ekiden.base.errors import ProtocolError
from ekiden.net.tls import TlsLayer

_LINE_BYTES = 8192
_AT_ONCE = 65_536


class Step(Enum):
    """What reply is awaited."""

    BANNER = auto()
    EHLO = auto()
    STARTTLS = auto()
    HANDSHAKE = auto()
    AUTH = auto()
    IDLE = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    DOT = auto()
    RESET = auto()
    QUIT = auto()
    GONE = auto()


_WANTED = {Step.BANNER: 220, Step.EHLO: 250, Step.STARTTLS: 220, Step.AUTH: 235}


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to send: what is said before DATA and what after, without the final dot."""

    mail: bytes
    rcpt: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Manner:
    """How every connection begins. tls: "none", "starttls" or "implicit". auth: the initial response of AUTH PLAIN, in base64."""

    hello: str
    tls: str = "none"
    context: ssl.SSLContext | None = None
    server_name: str | None = None
    auth: bytes = b""


class Boss(Protocol):
    """Who gives the work out and writes the times down."""

    def ready(self, talker: Talker) -> None:
        """It may send a message now."""

    def replied(self, code: int) -> None:
        """A reply came."""

    def mail_took(self, seconds: float) -> None:
        """From MAIL to its reply."""

    def dot_took(self, seconds: float) -> None:
        """From the final dot to its reply."""

    def finished(self, talker: Talker, accepted: bool) -> None:
        """A message has its answer."""

    def gone(self, talker: Talker, because: str) -> None:
        """The connection is over; because: why, "" if we ended it."""


class Talker(asyncio.Protocol):
    """Begins by itself when it is connected; then send() one message after another, each after Boss.ready(); then quit()."""

    def __init__(self, manner: Manner, boss: Boss, now: Callable[[], float]) -> None:
        self.step = Step.BANNER
        self.dialled_at = now()
        self.due = 0.0
        self.sent = 0
        self._manner = manner
        self._boss = boss
        self._now = now
        self._transport: asyncio.Transport | None = None
        self._layer: TlsLayer | None = None
        self._rest = b""
        self._pipelines = False
        self._offers: list[bytes] = []
        self._letter: Letter | None = None
        self._sender_taken = self._taken = False  # sender and recipient of the present message
        self._draining = False
        self._began = 0.0
        self._because = ""

    # ---- what the boss calls -----------------------------------------------------------------------

    def send(self, letter: Letter, due: float) -> None:
        """Send one message. due: when it should have begun, by the clock that was given."""
        self.due = due
        self._letter = letter
        self._taken = False
        self.step = Step.MAIL
        self._began = self._now()
        self._write(letter.mail + letter.rcpt + b"DATA\r\n" if self._pipelines else letter.mail)

    def quit(self) -> None:
        """Say goodbye and end."""
        self.step = Step.QUIT
        self._write(b"QUIT\r\n")

    def abort(self, because: str) -> None:
        """Drop the connection."""
        self._because = because
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_sending(self) -> bool:
        """Whether a message waits for its answer."""
        return self.step in (Step.MAIL, Step.RCPT, Step.DATA, Step.DOT, Step.RESET)

    # ---- asyncio -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are of a class of their own
        self._transport.set_write_buffer_limits(high=0)
        if self._manner.tls == "implicit":
            self._secure()

    def connection_lost(self, exc: Exception | None) -> None:
        ended_by_us = self.step is Step.QUIT
        self._boss.gone(self, self._because or ("" if ended_by_us else "closed by the server"))
        self.step = Step.GONE

    def resume_writing(self) -> None:
        if self._draining:
            self._draining = False
            self._dot()

    def data_received(self, data: bytes) -> None:
        try:
            if self._layer is None:
                self._read(data)
                return
            layer = self._layer
            layer.feed(data)
            while plain := layer.read():
                self._read(plain)
            if self.step is Step.HANDSHAKE and layer.done:
                self._secured()
                while plain := layer.read():
                    self._read(plain)
            self._flush()
        except (ProtocolError, ValueError) as error:
            self.abort(str(error))

    # ---- replies -----------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        start = 0
        while (end := data.find(b"\r\n", start)) >= 0:
            if data[start + 3:start + 4] != b"-":
                self._reply(int(data[start:start + 3]), data[start:end])
            elif self.step is Step.EHLO and len(self._offers) < 100:
                self._offers.append(data[start + 4:end].upper())
            start = end + 2
        self._rest = data[start:]
        if len(self._rest) > _LINE_BYTES:
            raise ValueError("a reply without an end")

    def _reply(self, code: int, line: bytes) -> None:
        self._boss.replied(code)
        step = self.step
        if step is Step.MAIL:
            self._boss.mail_took(self._now() - self._began)
            self._after_mail(code)
        elif step is Step.RCPT:
            self._taken = self._sender_taken and code in (250, 251)
            self._after_rcpt()
        elif step is Step.DATA:
            self._after_data(code)
        elif step is Step.DOT:
            self._boss.dot_took(self._now() - self._began)
            self._done(code == 250 and self._taken)
        elif step is Step.RESET:
            self._done(False)
        elif step is Step.QUIT:
            self._close()
        else:
            self._begin(code, line)

    def _begin(self, code: int, line: bytes) -> None:
        """Replies before the first message."""
        if code >= 400:
            self.abort(line[:200].decode("ascii", "replace"))
        elif code == _WANTED.get(self.step):
            self._go_on(line)
        else:
            raise ValueError(f"not what was asked: {line[:100]!r}")

    def _go_on(self, line: bytes) -> None:
        manner = self._manner
        if self.step is Step.BANNER:
            self._say_hello()
        elif self.step is Step.STARTTLS:
            self._secure()
        elif self.step is Step.EHLO:
            self._offers.append(line[4:].upper())
            self._pipelines = b"PIPELINING" in self._offers
            if manner.tls == "starttls" and self._layer is None:
                self.step = Step.STARTTLS
                self._write(b"STARTTLS\r\n")
            elif manner.auth:
                self.step = Step.AUTH
                self._write(b"AUTH PLAIN " + manner.auth + b"\r\n")
            else:
                self._idle()
        else:
            self._idle()

    def _say_hello(self) -> None:
        self.step = Step.EHLO
        self._offers.clear()
        self._write(b"EHLO " + self._manner.hello.encode("ascii") + b"\r\n")

    def _idle(self) -> None:
        self.step = Step.IDLE
        self._boss.ready(self)

    # ---- one message -------------------------------------------------------------------------------

    def _after_mail(self, code: int) -> None:
        self.step = Step.RCPT
        self._sender_taken = code == 250
        if not self._pipelines:
            if self._sender_taken and self._letter is not None:
                self._write(self._letter.rcpt)
            else:
                self._reset()

    def _after_rcpt(self) -> None:
        self.step = Step.DATA
        if not self._pipelines:
            if self._taken:
                self._write(b"DATA\r\n")
            else:
                self._reset()

    def _after_data(self, code: int) -> None:
        if code != 354 or self._letter is None:
            self._reset()
            return
        self.step = Step.DOT
        if not self._taken:
            self._dot()  # RFC 2920 §3.1: the server waits for content although it took no recipient
            return
        content = self._letter.content
        if len(content) <= _AT_ONCE:
            self._began = self._now()
            self._write(content + b".\r\n")
            return
        self._draining = True
        self._write(content)
        if self._draining and self._transport is not None and not self._transport.get_write_buffer_size():
            self.resume_writing()

    def _dot(self) -> None:
        self._began = self._now()
        self._write(b".\r\n")

    def _reset(self) -> None:
        self.step = Step.RESET
        self._write(b"RSET\r\n")

    def _done(self, accepted: bool) -> None:
        self.sent += 1
        self._letter = None
        self.step = Step.IDLE
        self._boss.finished(self, accepted)

    # ---- bytes -------------------------------------------------------------------------------------

    def _secure(self) -> None:
        if self._manner.context is None:
            raise ValueError("no TLS context was given")
        self._layer = TlsLayer(self._manner.context, server_side=False, hostname=self._manner.server_name)
        self.step = Step.HANDSHAKE
        self._layer.handshake()
        self._flush()

    def _secured(self) -> None:
        if self._manner.tls == "implicit":
            self.step = Step.BANNER
        else:
            self._say_hello()

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._layer is None:
            self._transport.write(data)
        else:
            self._layer.write(data)
            self._flush()

    def _flush(self) -> None:
        if self._layer is not None and self._transport is not None and (output := self._layer.take_output()):
            self._transport.write(output)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
