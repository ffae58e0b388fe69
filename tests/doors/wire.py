"""Small clients that send exactly the bytes they are given: what the clients of others tidy up, these do not."""

from __future__ import annotations

import socket
import ssl
from types import TracebackType
from typing import Self


class Wire:
    """One connection: whole lines out and in, nothing added."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, host: str = "localhost") -> None:
        plain = socket.create_connection((host, port), timeout=30)
        self._socket = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """These bytes."""
        self._socket.sendall(data)

    def line(self) -> bytes:
        """One line with its CRLF; b"" when the peer has closed."""
        return self._file.readline(1_000_000)

    def reply(self) -> tuple[int, str]:
        """One SMTP reply: code and text, its lines joined by a line feed."""
        texts = []
        while True:
            line = self.line()
            assert line.endswith(b"\r\n"), f"not a whole reply line: {line!r}"
            texts.append(line[4:-2].decode("ascii"))
            if line[3:4] != b"-":
                return int(line[:3]), "\n".join(texts)

    def ask(self, line: bytes) -> tuple[int, str]:
        """Send one SMTP command line (CRLF is added here) and read its reply."""
        self.send(line + b"\r\n")
        return self.reply()

    def until_dot(self) -> bytes:
        """A multi-line answer of POP3 up to its final dot, dots unstuffed (RFC 1939 §3)."""
        lines = []
        while (line := self.line()) != b".\r\n":
            assert line, "the connection ended in the middle of an answer"
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)


def stuffed(message: bytes) -> bytes:
    """A message as it goes after DATA, with the end-of-data line (RFC 5321 §4.5.2). It must end in CRLF to come out the same."""
    body = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in message.split(b"\r\n"))
    return body + (b".\r\n" if message.endswith(b"\r\n") else b"\r\n.\r\n")


class Smtp(Wire):
    """An SMTP client that has said EHLO."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, host: str = "localhost") -> None:
        super().__init__(port, context, host)
        assert self.reply()[0] == 220
        code, self.keywords = self.ask(b"EHLO client.test")
        assert code == 250

    def message(self, sender: str, recipient: str, content: bytes) -> tuple[int, str]:
        """One transaction with one recipient; the reply to the end of data."""
        for line, wanted in ((f"MAIL FROM:<{sender}>", 250), (f"RCPT TO:<{recipient}>", 250), ("DATA", 354)):
            code, text = self.ask(line.encode())
            assert code == wanted, f"{line}: {code} {text}"
        self.send(stuffed(content))
        return self.reply()
