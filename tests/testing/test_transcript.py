"""Talks are read exactly, and fail where the conversation goes otherwise."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from ekiden.testing.transcript import SocketWire, Talk, TalkFailed, play, read_talk


class Script:
    """A wire whose other side is written down: what it says after each thing that it hears."""

    def __init__(self, said: str, answers: dict[bytes, str]) -> None:
        self.heard = b""
        self._said = said
        self._answers = answers
        self.closed = False

    def send(self, data: bytes) -> None:
        self.heard += data
        self._said += self._answers.get(data, "")

    def line(self) -> bytes | None:
        line, end, rest = self._said.partition("\n")
        if not end:
            return None
        self._said = rest
        return line.encode()

    def is_quiet(self) -> bool:
        return not self._said

    def is_closed(self) -> bool:
        return not self._said

    def start_tls(self) -> None:
        self.heard += b"(tls)"

    def close(self) -> None:
        self.closed = True


def talk(tmp_path: Path, text: str) -> Talk:
    (tmp_path / "x.talk").write_text(text)
    return read_talk(tmp_path / "x.talk")


def test_settings_and_steps(tmp_path: Path) -> None:
    read = talk(tmp_path, "# why\n! listener mx\n! flag\n\nC: NOOP  \nS-\n@ bob\n")
    assert read.settings == {"listener": "mx", "flag": ""}
    assert [(step.number, step.kind, step.text) for step in read.steps] == [(5, "C:", "NOOP  "), (6, "S-", ""), (7, "@ ", "bob")]
    with pytest.raises(ValueError, match=r"x\.talk:2: not a step"):
        talk(tmp_path, "C: a\nX: b\n")


def test_a_conversation_with_everything(tmp_path: Path) -> None:
    steps = (
        "S: hi {who}, ...\nC: I am {who} {x*3}\nS* b {tag}\nS* a ...\nS: done {tag} aaa\nS-\n"
        "C| \\x00\\r\\n\nT.\nS.\n@ two\nS: for {who}\nC.\n"
    )
    one = Script("hi bob, and welcome\n", {b"I am bob xxx\r\n": "a 1\nb 77\ndone 77 aaa\n"})
    two = Script("for bob\n", {})
    play(talk(tmp_path, steps.replace("aaa", "{a*3}")), {"main": one, "two": two}.__getitem__)
    assert one.heard == b"I am bob xxx\r\n\x00\r\n(tls)"
    assert (one.closed, two.closed) == (True, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S: hello\n", "x.talk:1 (main): expected 'hello', got 'hi bob'"),
        ("S: hi {a}\nS: more\n", "x.talk:2 (main): expected 'more', got '(nothing)'"),
        ("S: hi {a}{a}\n", "got 'hi bob'"),
        ("S-\n", "got 'hi bob'"),
        ("S.\n", "got 'hi bob'"),
        ("S* x\nS* y\n", "expected 'x or y'"),
        ("C: {nobody}\n", "a value for {nobody}"),
    ],
)
def test_what_goes_otherwise(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TalkFailed) as failed:
        play(talk(tmp_path, text), lambda _: Script("hi bob\n", {}))
    assert message in str(failed.value)


def test_through_a_socket(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 hi\r\n")
                assert connection.recv(100) == b"QUIT\r\n"
                connection.sendall(b"221 bye\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        play(talk(tmp_path, "S: 220 hi\nS-\nC: QUIT\nS: 221 bye\nS.\n"), lambda _: SocketWire("127.0.0.1", port))
        thread.join()
