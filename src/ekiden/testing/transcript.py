r"""Conversations written down as they look, played against a machine alone or through a socket.

A talk is a text file; each line is one step:

    ! listener mx              a setting of the server, for whoever opens it; before all steps
    # comment
    @ bob                      go on as the connection "bob", opened when it is named first; the first is called "main"
    C: NOOP                    the client sends this line and CRLF
    C| \x00abc\r\n             the client sends exactly these bytes, escapes as in Python
    S: 250 2.0.0 OK            the server sends this line
    S* 250-SIZE ...            lines that come together in any order
    S-                         the server says nothing more for now
    S.                         the server has closed the connection
    C.                         the client closes
    T.                         the TLS handshake

In C lines {NAME} is a variable and {x*505} repeats x. In S lines "..." stands for anything, {NAME} for the variable's value,
or, where it has none yet, for one word that becomes its value.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a talk. kind: the two characters it begins with."""

    number: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Talk:
    """A file. settings: from the lines with "!"."""

    name: str
    settings: Mapping[str, str]
    steps: tuple[Step, ...]


class TalkFailed(AssertionError):
    """The conversation went otherwise; the message names file and line."""


class Wire(Protocol):
    """One connection to the server, as a talk sees it."""

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        ...

    def line(self) -> bytes | None:
        """The next line without its CRLF; None where there is none: closed, or (machine alone) nothing said."""
        ...

    def is_quiet(self) -> bool:
        """True if the server has said nothing more; a socket cannot know for sure, and waits a moment."""
        ...

    def is_closed(self) -> bool:
        """True if the server has closed."""
        ...

    def start_tls(self) -> None:
        """Do the handshake."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


_KINDS = frozenset({"C:", "C|", "S:", "S*", "S-", "S.", "C.", "T.", "@ "})
_HOLE = re.compile(r"\{([A-Za-z_]\w*)\}|\{([^{}*])\*([0-9]{1,7})\}|(\.\.\.)")


def read_talk(path: Path) -> Talk:
    """The talk in a file. Raises ValueError with the line that is none."""
    settings: dict[str, str] = {}
    steps: list[Step] = []
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("! "):
            key, _, value = line[2:].strip().partition(" ")
            settings[key] = value.strip()
        elif line[:2] in _KINDS:
            steps.append(Step(number, line[:2], line[3:] if line[2:3] == " " and line[0] != "@" else line[2:].strip()))
        else:
            raise ValueError(f"{path.name}:{number}: not a step: {line}")
    return Talk(path.name, settings, tuple(steps))


@dataclass
class _Player:
    talk: Talk
    open_wire: Callable[[str], Wire]
    wires: dict[str, Wire] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    current: str = "main"
    group: list[Step] = field(default_factory=list)

    @property
    def wire(self) -> Wire:
        if self.current not in self.wires:
            self.wires[self.current] = self.open_wire(self.current)
        return self.wires[self.current]

    def run(self) -> None:
        try:
            for step in self.talk.steps:
                if step.kind == "S*":
                    self.group.append(step)
                    continue
                self.any_order()
                self.step(step)
            self.any_order()
        finally:
            for wire in self.wires.values():
                wire.close()

    def step(self, step: Step) -> None:
        match step.kind:
            case "@ ":
                self.current = step.text
            case "C:":
                self.wire.send(self.fill(step, step.text).encode("utf-8") + b"\r\n")
            case "C|":
                self.wire.send(_unescaped(self.fill(step, step.text)))
            case "S:":
                said = self.said(step)
                if not self.fits(step.text, said):
                    raise self.failed(step, step.text, said)
            case "S-":
                if not self.wire.is_quiet():
                    raise self.failed(step, "(nothing)", self.said(step))
            case "S.":
                if not self.wire.is_closed():
                    raise self.failed(step, "(closed)", _text(self.wire.line()) or "(open)")
            case "C.":
                self.wire.close()
            case "T.":
                self.wire.start_tls()

    def any_order(self) -> None:
        wanted, self.group = self.group, []
        for _ in range(len(wanted)):
            said = self.said(wanted[0])
            found = next((step for step in wanted if self.fits(step.text, said)), None)
            if found is None:
                raise self.failed(wanted[0], " or ".join(step.text for step in wanted), said)
            wanted.remove(found)

    def said(self, step: Step) -> str:
        line = self.wire.line()
        if line is None:
            raise self.failed(step, step.text, "(nothing)")
        return _text(line)

    def fill(self, step: Step, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[2] is not None:
                return match[2] * int(match[3])
            if match[1] is None:
                return match[0]
            if match[1] not in self.names:
                raise self.failed(step, f"a value for {{{match[1]}}}", "none")
            return self.names[match[1]]

        return _HOLE.sub(replace, text)

    def fits(self, pattern: str, said: str) -> bool:
        expression, at, fresh = "", 0, set[str]()
        for match in _HOLE.finditer(pattern):
            expression += re.escape(pattern[at : match.start()])
            at = match.end()
            if match[2] is not None:
                expression += re.escape(match[2] * int(match[3]))
            elif match[1] is None:
                expression += ".*"
            elif match[1] in self.names:
                expression += re.escape(self.names[match[1]])
            elif match[1] in fresh:
                expression += f"(?P={match[1]})"
            else:
                fresh.add(match[1])
                expression += rf"(?P<{match[1]}>\S+)"
        found = re.fullmatch(expression + re.escape(pattern[at:]), said, re.DOTALL)
        if found is not None:
            self.names |= found.groupdict()
        return found is not None

    def failed(self, step: Step, wanted: str, said: str) -> TalkFailed:
        return TalkFailed(f"{self.talk.name}:{step.number} ({self.current}): expected {wanted!r}, got {said!r}")


def play(talk: Talk, open_wire: Callable[[str], Wire]) -> None:
    """Play a talk; open_wire makes the connection of a name. Blocks; in an event loop use a thread. Raises TalkFailed."""
    _Player(talk, open_wire).run()


class TalkMachine(Protocol):
    """What a MachineWire needs of a machine (see base.machine)."""

    def receive(self, data: bytes) -> None: ...
    def receive_eof(self) -> None: ...
    def take_output(self) -> bytes: ...
    def secured(self) -> None: ...
    @property
    def wants_close(self) -> bool: ...


class MachineWire:
    """A Wire to a machine without a socket.

    work: plays the session: takes all events and answers them. cut: how what the client sends is cut into pieces.
    """

    def __init__(
        self, machine: TalkMachine, work: Callable[[], None], cut: Callable[[bytes], Iterable[bytes]] = lambda data: (data,)
    ) -> None:
        self._machine = machine
        self._work = work
        self._cut = cut
        self._said = b""

    def send(self, data: bytes) -> None:
        for piece in self._cut(data):
            self._machine.receive(piece)
            self._take()

    def line(self) -> bytes | None:
        self._take()
        line, end, rest = self._said.partition(b"\r\n")
        if not end:
            return None
        self._said = rest
        return line

    def is_quiet(self) -> bool:
        self._take()
        return not self._said

    def is_closed(self) -> bool:
        self._take()
        return not self._said and self._machine.wants_close

    def start_tls(self) -> None:
        self._machine.secured()

    def close(self) -> None:
        self._machine.receive_eof()
        self._take()

    def _take(self) -> None:
        self._work()
        self._said += self._machine.take_output()


class SocketWire:
    """A Wire through a socket. context: for start_tls(). quiet_s: how long silence must last to count as such."""

    def __init__(
        self, host: str, port: int, *, context: ssl.SSLContext | None = None, timeout_s: float = 10.0, quiet_s: float = 0.05
    ) -> None:
        self._socket: socket.socket = socket.create_connection((host, port), timeout=timeout_s)
        self._context = context
        self._timeout_s = timeout_s
        self._quiet_s = quiet_s
        self._said = b""
        self._eof = False

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> bytes | None:
        while b"\r\n" not in self._said and not self._eof:
            self._receive(self._timeout_s)
        line, end, rest = self._said.partition(b"\r\n")
        if not end:
            return None
        self._said = rest
        return line

    def is_quiet(self) -> bool:
        self._receive(self._quiet_s)
        return not self._said

    def is_closed(self) -> bool:
        while not self._eof and not self._said:
            self._receive(self._timeout_s)
        return not self._said

    def start_tls(self) -> None:
        if self._context is None:
            raise ValueError("start_tls() needs a context")
        self._socket.settimeout(self._timeout_s)
        self._socket = self._context.wrap_socket(self._socket, server_hostname="localhost")

    def close(self) -> None:
        self._socket.close()

    def _receive(self, timeout_s: float) -> None:
        self._socket.settimeout(timeout_s)
        try:
            data = self._socket.recv(65_536)
        except TimeoutError:
            if timeout_s == self._timeout_s:
                raise
            return
        except ConnectionError:
            data = b""
        self._said += data
        self._eof = self._eof or not data


def _unescaped(text: str) -> bytes:
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")


def _text(line: bytes | None) -> str:
    return "" if line is None else line.decode("utf-8", "backslashreplace")
