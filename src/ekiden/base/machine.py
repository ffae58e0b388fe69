"""What every protocol machine offers to the pump that carries its bytes.

A machine owns no socket, no clock and no disk: bytes in, events out; answers in, bytes out.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

E_co = TypeVar("E_co", covariant=True)


class Machine(Protocol[E_co]):
    """One side of one conversation.

    The pump calls receive() with what the peer sent, then next_event() until it returns None, then sends take_output().
    After an event that is a question the machine gives no further event until the session has answered it with the
    method which that event's docstring names; what the peer pipelined meanwhile waits in the machine's buffer.
    """

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer; never raises on their content."""
        ...

    def receive_eof(self) -> None:
        """The peer sends no more."""
        ...

    def next_event(self) -> E_co | None:
        """The next event, or None when more bytes (or an answer) are needed first."""
        ...

    def take_output(self) -> bytes:
        """All bytes for the peer that have gathered since the last call."""
        ...

    @property
    def waiting_for(self) -> str:
        """Which deadline is running now: a key of the listener's table of seconds ("command", "data", …)."""
        ...

    @property
    def wants_close(self) -> bool:
        """True once the connection is to be closed after the output has been sent."""
        ...
