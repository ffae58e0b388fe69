"""How much machine time does one 4-KiB message cost on a persistent session? (bar: 25 µs)

The machine alone: no socket, no session, every question answered at once. Two ways of sending: one write a command, and
pipelined (MAIL, RCPT and DATA in one write).

    python bench/smtp_machine.py [messages]
"""

from __future__ import annotations

import sys
import time

from ekiden.smtp.replies import OK
from ekiden.smtp.server import BodyChunk, BodyEnd, Quit, Refused, ServerSettings, SmtpServer

LINE = b"The quick brown fox jumps over the lazy dog, and the dog does not mind.\r\n"
BODY = b"From: a@remote.test\r\nTo: b@local.test\r\nSubject: bench\r\n\r\n" + LINE * 55
MAIL, RCPT = b"MAIL FROM:<alice@remote.test> SIZE=4096\r\n", b"RCPT TO:<bob@local.test>\r\n"
GROUPS = {
    "one command a write": (MAIL, RCPT, b"DATA\r\n", BODY + b".\r\n"),
    "pipelined": (MAIL + RCPT + b"DATA\r\n", BODY + b".\r\n"),
}


def converse(machine: SmtpServer, writes: tuple[bytes, ...]) -> int:
    """One message; returns the bytes of content that came out."""
    size = 0
    for data in writes:
        machine.receive(data)
        while (event := machine.next_event()) is not None:
            if isinstance(event, BodyChunk):
                size += len(event.data)
            elif isinstance(event, BodyEnd):
                machine.answer(OK)
            elif isinstance(event, Refused | Quit):
                raise SystemExit(f"not expected: {event}")
            else:
                machine.accept()
        machine.take_output()
    return size


def main() -> None:
    """Print microseconds a message for both ways."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for name, writes in GROUPS.items():
        machine = SmtpServer(ServerSettings("mx.local.test", messages=0))
        machine.greet()
        converse(machine, (b"EHLO client.test\r\n",))
        best = float("inf")
        for _ in range(count // 200):
            start = time.perf_counter()
            for _ in range(200):
                if converse(machine, writes) != len(BODY):
                    raise SystemExit("content was lost")
            best = min(best, (time.perf_counter() - start) / 200)
        print(f"{name:20} {best * 1e6:6.1f} µs a message, {len(BODY)} bytes")


if __name__ == "__main__":
    main()
