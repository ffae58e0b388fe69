"""A client for tests that forgives nothing: every response must parse by the grammar, or the test fails."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field

from tests.imap.reading import NotAResponse, Value, read_value

_STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH) (?:\[([^\]\r\n\x80-\xff]+)\] )?([\x20-\x7e]+)\r\n")
_NUMBERED = re.compile(rb"([0-9]+) (EXISTS|RECENT|EXPUNGE)\r\n")
_FETCH = re.compile(rb"([1-9][0-9]*) FETCH (?=\()")
_SEARCH = re.compile(rb"SEARCH((?: [1-9][0-9]*)*)\r\n")
_LISTED = re.compile(rb"(LIST|LSUB|STATUS|FLAGS|NAMESPACE|ID|ESEARCH) ")
_BODY_NAME = re.compile(rb"(?:BODY|BINARY)\[[^\]]*\](?:<[0-9]+>)?")
_LITERAL_END = re.compile(rb"\{([0-9]+)\}\r\n\Z")


@dataclass(slots=True)
class Answer:
    """What came of one command. code is "" where there is none; fetched: by message number; values: other data, by their word."""

    status: str = ""
    code: str = ""
    text: str = ""
    lines: list[bytes] = field(default_factory=list)
    fetched: dict[int, dict[bytes, Value]] = field(default_factory=dict)
    values: list[tuple[str, list[Value]]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    numbers: list[tuple[str, int]] = field(default_factory=list)
    found: list[int] | None = None

    def of(self, word: str) -> list[list[Value]]:
        """The values of all responses of one kind."""
        return [values for each, values in self.values if each == word]


class Talk:
    """One connection."""

    def __init__(self, port: int, user: str = "", password: str = "secret", mailbox: str = "") -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 20)
        self._file = self._sock.makefile("rb")
        self._count = 0
        self.greeting = Answer()
        self._untagged(self._response(), self.greeting)
        if user:
            assert self.ask(f"LOGIN {user} {password}").status == "OK"
        if mailbox:
            assert self.ask(f"SELECT {mailbox}").status == "OK"

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._sock.close()

    def send(self, raw: bytes) -> None:
        """Bytes as they are."""
        self._sock.sendall(raw)

    def ask(self, command: str | bytes) -> Answer:
        """Send one command, its literals non-synchronising in it, and read up to its tagged response."""
        tag = self.begin(command)
        return self.answer(tag)

    def begin(self, command: str | bytes) -> bytes:
        """Send one command; its tag."""
        self._count += 1
        tag = b"t%d" % self._count
        raw = command.encode() if isinstance(command, str) else command
        self.send(tag + b" " + raw + b"\r\n")
        return tag

    def answer(self, tag: bytes) -> Answer:
        """All responses up to the one with this tag."""
        answer = Answer()
        while True:
            response = self._response()
            if not response:
                answer.status = "GONE"
                return answer
            if response.startswith(tag + b" "):
                status = _STATUS.fullmatch(response[len(tag) + 1 :])
                assert status is not None, response
                answer.status, answer.text = status[1].decode(), status[3].decode()
                answer.code = status[2].decode() if status[2] else ""
                return answer
            self._untagged(response, answer)

    def line(self) -> bytes:
        """The next response as it is, whatever it is; b"" at the end of the connection."""
        return self._response()

    def rest(self) -> bytes:
        """All that comes until the server hangs up."""
        return self._file.read()

    def append(self, content: bytes, mailbox: str = "INBOX", extra: str = "") -> Answer:
        """APPEND with a non-synchronising literal."""
        return self.ask(f"APPEND {mailbox} {extra}".encode() + b"{%d+}\r\n%b" % (len(content), content))

    def _response(self) -> bytes:
        """One whole response with its literals."""
        whole = b""
        while True:
            line = self._file.readline()
            assert line.endswith(b"\r\n") or not line, line
            whole += line
            literal = _LITERAL_END.search(line)
            if literal is None:
                return whole
            content = self._file.read(int(literal[1]))
            assert len(content) == int(literal[1])
            whole += content

    def _untagged(self, response: bytes, answer: Answer) -> None:
        answer.lines.append(response)
        if response.startswith(b"+ "):
            return
        assert response.startswith(b"* "), response
        rest = response[2:]
        if status := _STATUS.fullmatch(rest):
            answer.codes.append(status[2].decode() if status[2] else "")
        elif numbered := _NUMBERED.fullmatch(rest):
            answer.numbers.append((numbered[2].decode(), int(numbered[1])))
        elif found := _SEARCH.fullmatch(rest):
            assert answer.found is None
            answer.found = [int(number) for number in found[1].split()]
        elif fetch := _FETCH.match(rest):
            items = _fetch_items(rest[fetch.end() :])
            answer.fetched.setdefault(int(fetch[1]), {}).update(items)
        elif rest.startswith(b"CAPABILITY "):
            answer.values.append(("CAPABILITY", list(rest[11:-2].split(b" "))))
        elif listed := _LISTED.match(rest):
            answer.values.append((listed[1].decode(), _values(rest, listed.end())))
        else:
            raise NotAResponse(response)


def _values(raw: bytes, at: int) -> list[Value]:
    values: list[Value] = []
    while True:
        value, at = read_value(raw, at)
        values.append(value)
        if raw[at:] == b"\r\n":
            return values
        assert raw[at : at + 1] == b" ", raw
        at += 1


def _fetch_items(raw: bytes) -> dict[bytes, Value]:
    """The items of a FETCH response by their names."""
    items: dict[bytes, Value] = {}
    at = 1
    while True:
        name = _BODY_NAME.match(raw, at) or re.compile(rb"[A-Z0-9.]+").match(raw, at)
        assert name is not None, raw[at : at + 40]
        assert raw[name.end() : name.end() + 1] == b" ", raw[at : at + 40]
        value, at = read_value(raw, name.end() + 1)
        assert name[0] not in items
        items[name[0]] = value
        if raw[at:] == b")\r\n":
            return items
        assert raw[at : at + 1] == b" ", raw[at : at + 40]
        at += 1
