"""A load that does not wait for the server: messages at the times of a timetable, whatever became of those before.

Run as a program of its own (bench/latency.py starts it), so that its memory and its interpreter are not those of who measures.
Each message goes over a connection that is free; MAIL, RCPT and DATA in one write, the content and its dot in the next. Two
times are taken of each: from the dot to its 250, and from the moment of the timetable to the 250, which also counts the wait for
a free connection. Prints one JSON object.

    python -m bench.open_loop PORT RATE SECONDS CONNECTIONS
"""

from __future__ import annotations

import contextlib
import gc
import json
import random
import select
import socket
import sys
import time
from collections import deque

from bench.servers import RECIPIENT

_GROUP = f"MAIL FROM:<load@client.test>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n".encode()
_LINE = b"The quick brown fox jumps over the lazy dog, and the dog does not mind.\r\n"
_CONTENT = b"From: load@client.test\r\nTo: inbox@bench.test\r\nSubject: load\r\n\r\n" + _LINE * 55 + b".\r\n"


class _Session:
    """One connection. waits_for: how many replies until the next step."""

    __slots__ = ("buffer", "planned", "sent", "socket", "waits_for")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.planned = self.sent = 0.0
        self.waits_for = 0
        self._ask(b"")
        self._ask(b"EHLO client.test\r\n")
        self.socket.setblocking(False)

    def _ask(self, line: bytes) -> None:
        self.socket.sendall(line)
        text = b""
        while not text.endswith(b"\r\n") or text.rsplit(b"\r\n", 2)[-2][3:4] != b" ":
            text += self.socket.recv(4096)

    def begin(self, planned: float) -> None:
        """MAIL, RCPT and DATA."""
        self.planned, self.sent, self.waits_for = planned, 0.0, 3
        self.socket.send(_GROUP)

    def readable(self) -> bool:
        """Go on; True once the 250 for the content has come. Raises RuntimeError for any other answer."""
        self.buffer += self.socket.recv(4096)
        while (end := self.buffer.find(b"\r\n")) >= 0:
            line, self.buffer = self.buffer[:end], self.buffer[end + 2 :]
            if line[:1] not in b"23" or not line:
                raise RuntimeError(line.decode("ascii", "replace"))
            self.waits_for -= 1
            if self.waits_for:
                continue
            if self.sent:
                return True
            self.waits_for = 1
            if self.socket.send(_CONTENT) != len(_CONTENT):
                raise RuntimeError("the server does not read")
            self.sent = time.perf_counter()
        return False


def main() -> None:
    """Run the timetable."""
    port, rate, seconds, connections = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    free = deque(_Session(port) for _ in range(connections))
    sessions = {session.socket.fileno(): session for session in free}
    poll = select.epoll()
    for number in sessions:
        poll.register(number, select.EPOLLIN)
    gaps = random.Random(4711)  # Poisson: strangers do not agree on when to write
    answered: list[float] = []
    whole: list[float] = []
    gc.disable()
    start = due = time.perf_counter() + 0.05
    waiting: deque[float] = deque()
    used = time.process_time()
    while True:
        now = time.perf_counter()
        while due <= now and due < start + seconds:
            waiting.append(due)
            due += gaps.expovariate(rate)
        while waiting and free:
            free.popleft().begin(waiting.popleft())
        if due >= start + seconds and not waiting and len(free) == connections:
            break
        if now > start + seconds + 30:
            raise SystemExit("the server did not answer within 30 seconds")
        pause = 0.5 if due >= start + seconds else max(0.0, due - time.perf_counter())
        with contextlib.suppress(InterruptedError):
            for number, _ in poll.poll(pause):
                session = sessions[number]
                if session.readable():
                    done = time.perf_counter()
                    answered.append(done - session.sent)
                    whole.append(done - session.planned)
                    free.append(session)
    took = time.perf_counter() - start
    answered.sort()
    whole.sort()
    print(
        json.dumps(
            {
                "messages": len(answered),
                "seconds": took,
                "cpu_s": time.process_time() - used,
                "dot_ms": [round(answered[len(answered) * part // 1000] * 1000, 3) for part in (500, 900, 990, 999)],
                "whole_ms": [round(whole[len(whole) * part // 1000] * 1000, 3) for part in (500, 900, 990, 999)],
            }
        )
    )


if __name__ == "__main__":
    main()
