"""SMTP hosts that do what a test tells them: on loopback, each in threads of its own, for any event loop or none.

    with ScriptedHost(says={"RCPT": ["451 4.3.0 later", "250 ok"]}) as host:
        …                                     # send mail to host.ip, host.port
    assert host.messages[0].content == b"Subject: x\r\n\r\nhello\r\n"

says: what the host does when it is time for a phase: "banner", "EHLO", "HELO", "LHLO", "STARTTLS", "TLS" (instead of the
handshake), "AUTH", "MAIL", "RCPT", "DATA", "content" (after the final dot), "after" (once a message was accepted and answered),
"RSET", "QUIT". One action for always, or a list whose last one repeats, counted over all connections.
An action is the text of a reply ("550 5.1.1 no such user"), or HANG, CLOSE, ABORT, Raw(bytes), Drip(bytes, seconds).
recipients: replies to RCPT by address, before says.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self, TypeAlias


@dataclass(frozen=True, slots=True)
class Deed:
    """Something else than a reply."""

    name: str


HANG = Deed("hang")
"""Say nothing, read nothing, until the client goes or the host is stopped."""
CLOSE = Deed("close")
"""End the connection in order (FIN)."""
ABORT = Deed("abort")
"""End the connection by RST."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Send exactly these bytes, then go on as after a reply with their first digit."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """Send these bytes one by one, with a pause in seconds before each."""

    data: bytes
    pause_s: float


Action: TypeAlias = str | Deed | Raw | Drip


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that the host has accepted. content: dot-stuffing undone; wire: as it came, with the final dot."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    wire: bytes
    secure: bool


DEFAULTS: Mapping[str, str] = {
    "HELO": "250 {name}", "STARTTLS": "220 2.0.0 go ahead", "AUTH": "235 2.7.0 welcome", "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok", "DATA": "354 go ahead", "content": "250 2.0.0 taken", "RSET": "250 2.0.0 ok", "QUIT": "221 2.0.0 bye",
    "NOOP": "250 2.0.0 ok", "banner": "220 {name} ESMTP",
}  # fmt: skip
_PATH = re.compile(r"<([^>]*)>")


class _Gone(Exception):
    """The conversation is over."""


@dataclass
class ScriptedHost:
    """A host at an address of loopback, at a free port unless one is given. Use it with `with`.

    keywords: of the EHLO reply; STARTTLS is added where tls is given. messages, heard (all command lines), connections: what happened.
    """

    says: Mapping[str, Action | Sequence[Action]] = field(default_factory=dict)
    recipients: Mapping[str, str] = field(default_factory=dict)
    name: str = "mx.remote.test"
    keywords: Sequence[str] = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    ip: IPv4Address = IPv4Address("127.0.0.1")  # noqa: RUF009  # immutable
    port: int = 0
    messages: list[Letter] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    connections: int = 0
    _turns: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)
    _listening: socket.socket | None = None

    def __enter__(self) -> Self:
        self._listening = socket.create_server((str(self.ip), self.port), backlog=128)
        self.port = self._listening.getsockname()[1]
        thread = threading.Thread(target=self._accept, args=(self._listening,), daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        if self._listening is not None:
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self, listening: socket.socket) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._sockets.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each reply leaves at once, as from a host that gathers none
        talk = _Talk(self, sock)
        try:
            talk.run()
        except (_Gone, OSError, ValueError):
            pass
        finally:
            talk.sock.close()
            with self._lock:
                self._sockets = [each for each in self._sockets if each is not talk.sock]

    def turn(self, phase: str) -> Action | None:
        """What is to be done in a phase now; None for the usual."""
        said = self.says.get(phase)
        if said is None or isinstance(said, (str, Deed, Raw, Drip)):
            return said
        with self._lock:
            at = self._turns.get(phase, 0)
            self._turns[phase] = at + 1
        return said[min(at, len(said) - 1)]

    @property
    def is_stopped(self) -> bool:
        """Whether the test is over."""
        return self._stopped.is_set()


class _Talk:
    """One connection."""

    def __init__(self, host: ScriptedHost, sock: socket.socket) -> None:
        self.host = host
        self.sock = sock
        self.secure = False
        self.buffer = b""
        self.sender = ""
        self.recipients: list[str] = []

    def run(self) -> None:
        if self.host.implicit_tls:
            self.handshake()
        self.act("banner", self.host.turn("banner"))
        while True:
            line = self.line()
            with self.host._lock:
                self.host.heard.append(line)
            self.command(line)

    def command(self, line: str) -> None:
        verb = line[:8].upper() if line.upper().startswith("STARTTLS") else line[:4].upper()
        match = _PATH.search(line)
        path = match[1] if match else ""
        action = self.host.turn(verb)
        if verb in ("EHLO", "LHLO"):
            keywords = list(self.host.keywords)
            if self.host.tls is not None and not self.secure:
                keywords.append("STARTTLS")
            lines = [self.host.name, *keywords]
            reply = "".join(f"250{'-' if n < len(lines) else ' '}{text}\r\n" for n, text in enumerate(lines, 1))
            self.act(verb, action if action is not None else Raw(reply.encode()))
        elif verb == "RCPT":
            if self.act(verb, self.host.recipients.get(path, action)) == "2":
                self.recipients.append(path)
        elif verb == "MAIL":
            if self.act(verb, action) == "2":
                self.sender, self.recipients = path, []
        elif verb == "STARTTLS":
            if self.act(verb, action) == "2" and not isinstance(action, Raw):
                self.handshake()
        elif verb == "DATA":
            self.data(action)
        else:
            self.act(verb, action)
            if verb == "QUIT":
                raise _Gone

    def data(self, action: Action | None) -> None:
        if action is None and not self.recipients:
            action = "554 5.5.1 no valid recipients"
        if self.act("DATA", action) != "3":
            return
        ending = self.host.turn("content")
        if ending is HANG:
            self.hang()
        wire = self.content()
        stuffed = wire[: -len(b".\r\n")]
        content = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in stuffed.split(b"\r\n"))
        accepts = ending is None or (isinstance(ending, str) and ending.startswith("2")) or isinstance(ending, Deed)
        if accepts and self.recipients:
            with self.host._lock:
                self.host.messages.append(Letter(self.sender, tuple(self.recipients), content, wire, self.secure))
        self.act("content", ending)
        self.recipients = []
        after = self.host.turn("after")
        if after is not None:
            self.act("after", after)

    def act(self, phase: str, action: Action | None) -> str:
        """Do it; the first digit of what was said."""
        if action is None:
            action = DEFAULTS.get(phase, "500 5.5.1 what?").format(name=self.host.name)
        if action is HANG:
            self.hang()
        if action is CLOSE:
            raise _Gone
        if action is ABORT:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _Gone
        if isinstance(action, Drip):
            for at in range(len(action.data)):
                time.sleep(action.pause_s)
                self.sock.sendall(action.data[at : at + 1])
            return action.data[:1].decode("latin-1")
        data = action.data if isinstance(action, Raw) else f"{action}\r\n".encode()
        self.sock.sendall(data)
        return data[:1].decode("latin-1")

    def handshake(self) -> None:
        action = self.host.turn("TLS")
        if action is not None:
            self.act("TLS", action)
            raise _Gone
        if self.host.tls is None:
            raise ValueError("a host that speaks TLS needs a context")
        plain = self.sock
        self.sock = self.host.tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        with self.host._lock:
            self.host._sockets = [self.sock if each is plain else each for each in self.host._sockets]
        self.sock.do_handshake()
        self.secure = True
        self.buffer = b""

    def hang(self) -> None:
        while not self.host.is_stopped:
            time.sleep(0.01)
        raise _Gone

    def line(self) -> str:
        while b"\r\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode("utf-8", "backslashreplace")

    def content(self) -> bytes:
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            self.more()
        end = 3 if self.buffer.startswith(b".\r\n") else self.buffer.index(b"\r\n.\r\n") + 5
        wire, self.buffer = self.buffer[:end], self.buffer[end:]
        return wire

    def more(self) -> None:
        data = self.sock.recv(65_536)
        if not data:
            raise _Gone
        self.buffer += data
