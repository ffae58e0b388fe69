"""A session for a server machine without sockets: says yes, except to what it is told to refuse, and keeps what was accepted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ekiden.mail.address import format_path
from ekiden.smtp import replies
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
from ekiden.smtp.replies import Reply
from ekiden.smtp.server import SmtpServer

Cut = Callable[[bytes], Iterable[bytes]]


def whole(data: bytes) -> Iterable[bytes]:
    """In one piece."""
    return (data,)


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    """One byte at a time."""
    return (data[at : at + 1] for at in range(len(data)))


def at_random(data: bytes) -> Iterable[bytes]:
    """In pieces of 1 to 7 bytes, the same ones each time."""
    chance = random.Random(len(data))
    at = 0
    while at < len(data):
        step = chance.randint(1, 7)
        yield data[at : at + step]
        at += step


CUTS = (whole, byte_by_byte, at_random)


@dataclass
class Message:
    """What was promised to be kept."""

    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class Desk:
    """Plays the session. Local parts decide: "unknown" 550, "carol" 452; domain remote.test 550 relay denied.

    Passwords: PLAIN and LOGIN succeed for alice with "alice-pw".
    """

    machine: SmtpServer
    events: list[ServerEvent] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    body_reply: Reply = replies.OK
    data_reply: Reply | None = None
    _sender: str = ""
    _recipients: list[str] = field(default_factory=list)
    _content: list[bytes] = field(default_factory=list)
    _login: list[bytes] = field(default_factory=list)
    _mechanism: str = ""

    def tell(self, *writes: bytes, cut: Cut = whole) -> bytes:
        """Feed the machine, answer its questions, return all it says."""
        said = b""
        for data in writes:
            for piece in cut(data):
                self.machine.receive(piece)
                self.work()
                said += self.machine.take_output()
        return said

    def work(self) -> None:
        """Answer until the machine needs more bytes."""
        while (event := self.machine.next_event()) is not None:
            self.events.append(event)
            self.on(event)

    def on(self, event: ServerEvent) -> None:
        """Answer one event."""
        machine = self.machine
        match event:
            case Hello():
                self._forget()
                machine.accept()
            case MailFrom():
                self._forget()
                self._sender = format_path(event.path)
                machine.accept()
            case RcptTo():
                self._recipient(event)
            case DataStart():
                if self.data_reply is not None:
                    machine.answer(self.data_reply)
                else:
                    machine.accept()
            case BodyChunk():
                self._content.append(event.data)
            case BodyEnd():
                reply = event.problem or self.body_reply
                if reply.is_positive:
                    self.messages.append(Message(self._sender, self._recipients, b"".join(self._content)))
                self._forget()
                machine.answer(reply)
            case AuthStart():
                self._login, self._mechanism = [], event.mechanism
                self._auth(event.initial)
            case AuthResponse():
                if event.data is not None:
                    self._auth(event.data)
            case StartTls():
                machine.accept()
            case Reset():
                self._forget()
            case Quit() | Refused():
                pass

    def _forget(self) -> None:
        self._sender, self._recipients, self._content = "", [], []

    def _recipient(self, event: RcptTo) -> None:
        path = event.recipient.path
        reply = {"unknown": replies.NO_SUCH_MAILBOX, "carol": replies.MAILBOX_FULL}.get(path.local, replies.RECIPIENT_OK)
        if format_path(path).endswith("@remote.test"):
            reply = replies.RELAY_DENIED
        if reply.is_positive:
            self._recipients.append(format_path(path))
        self.machine.answer(reply)

    def _auth(self, data: bytes | None) -> None:
        if data is not None:
            self._login.append(data)
        if self._mechanism == "PLAIN" and not self._login:
            self.machine.challenge(b"")
        elif self._mechanism == "LOGIN" and len(self._login) < 2:
            self.machine.challenge((b"Username:", b"Password:")[len(self._login)])
        else:
            good = self._login in ([b"\0alice\0alice-pw"], [b"alice", b"alice-pw"])
            self.machine.answer(replies.SIGNED_IN if good else replies.WRONG_CREDENTIALS)
