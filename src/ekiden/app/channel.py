"""The line between a worker and its supervisor: small JSON messages of a kind and a payload, in both directions.

A worker says `channel.tell("metrics", snapshot)`; the supervisor calls what was given as `on_told["metrics"]` with the worker's
name and the payload. Between them is a pair of sockets that keeps messages apart (SOCK_SEQPACKET): a message arrives whole or
not at all, and who finds the other end closed knows that the other has died.

How to send something on it. In a worker: `house.tell(kind, payload)` from the event loop; it never waits, costs one system
call, and answers False if the supervisor is behind, in which case the message is gone (so send states, not differences). In a
process that is alone, `house.tell` answers False too: there is nobody to tell, ask the process itself. In the supervisor: put a
function (worker: str, payload: object) -> None into `on_told` under the kind. Kinds in use here: "alive", "serving", "failed".
Payloads are trusted no further than what a worker may be: check their shape. A message has at most 128 KiB.
Source: house.md §11.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

LARGEST_BYTES = 131_072
_AT_ONCE = 256  # messages that are heard in one go, so that one talker does not keep the listener from the others

Told = Callable[[str, object], None]
"""What hears a kind of message in the supervisor: the worker's name, the payload."""
Tell = Callable[[str, object], bool]
"""What a worker says messages with; False where it was not heard."""


def nobody(kind: str, payload: object) -> bool:
    """Tell, where there is no supervisor."""
    return False


class Channel:
    """One end. It owns its socket and never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.ended = False
        """The other end is closed."""

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """Our end, and the socket to hand to the other process (Channel(socket) there)."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def fileno(self) -> int:
        """For selectors."""
        return self._sock.fileno()

    def tell(self, kind: str, payload: object) -> bool:
        """Send; False if it could not be sent now. Raises ValueError for what is too large or no JSON: that is a mistake of ours."""
        raw = json.dumps([kind, payload], ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        if len(raw) > LARGEST_BYTES:
            raise ValueError(f"a message of {len(raw)} bytes: {kind}")
        try:
            self._sock.send(raw)
        except BlockingIOError:
            return False
        except OSError:  # the other end is gone
            self.ended = True
            return False
        return True

    def hear(self) -> Iterator[tuple[str, object]]:
        """What has come, a bounded number of messages; sets `ended`. What is no message of this form is passed over."""
        for _ in range(_AT_ONCE):
            try:
                raw = self._sock.recv(LARGEST_BYTES + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                raw = b""
            if not raw:
                self.ended = True
                return
            try:
                said = json.loads(raw)
            except (ValueError, RecursionError):
                continue
            if isinstance(said, list) and len(said) == 2 and isinstance(said[0], str):
                yield said[0], said[1]

    def close(self) -> None:
        """Close this end."""
        self._sock.close()
