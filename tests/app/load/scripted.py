"""A server that says what a test wants: for each line that begins with a word, a reply; content up to the dot has one too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from ekiden.base.endpoint import Endpoint

USUAL = {
    "": b"220 scripted\r\n",
    "EHLO": b"250-scripted\r\n250-PIPELINING\r\n250 SIZE\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 taken\r\n",
    "RSET": b"250 ok\r\n",
    "QUIT": b"221 bye\r\n",
}


class Scripted:
    """What it has heard: lines, and messages. stall: is awaited before each reply to a final dot."""

    def __init__(self, replies: Mapping[str, bytes]) -> None:
        self.lines: list[bytes] = []
        self.messages: list[bytes] = []
        self.connections = 0
        self.stall: asyncio.Event | None = None
        self.stalled = asyncio.Event()
        self._replies = {**USUAL, **replies}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._replies[""])
        while line := await reader.readline():
            self.lines.append(line.rstrip(b"\r\n"))
            word = line[:4].decode("ascii").strip().upper()
            reply = self._replies.get(word, b"500 what?\r\n")
            if reply == b"":
                return
            writer.write(reply)
            if word == "QUIT":
                return
            if word == "DATA" and reply.startswith(b"354"):
                first = await reader.readexactly(3)
                content = first if first == b".\r\n" else first + await reader.readuntil(b"\r\n.\r\n")
                self.messages.append(content)
                if self.stall is not None:
                    self.stalled.set()
                    await self.stall.wait()
                writer.write(self._replies["."])


@asynccontextmanager
async def scripted(**replies: bytes) -> AsyncIterator[tuple[Scripted, Endpoint]]:
    """A scripted server on a free port. Keywords are words of SMTP; "banner" and "dot" stand for what is no word."""
    names = {"banner": "", "dot": "."}
    script = Scripted({names.get(name, name.upper()): reply for name, reply in replies.items()})
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, limit=1 << 24)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield script, Endpoint(str(host), int(port))
    finally:
        server.close()
