"""The half of the server's side of SMTP that knows nothing of mail: lines in, replies out, errors counted, a question that waits.

smtp/server.py is the other half, and the one to be read first.
Source: RFC 5321 §4.5.3.1.4 (lines), §4.3.2 (421).
"""

from __future__ import annotations

from collections.abc import Callable

from ekiden.base import measures
from ekiden.base.errors import ProtocolError
from ekiden.smtp import replies
from ekiden.smtp.commands import shown
from ekiden.smtp.events import AuthResponse, Refused, ServerEvent
from ekiden.smtp.replies import Reply
from ekiden.smtp.settings import ServerSettings


class Talk:
    """What SmtpServer stands on; of no use alone. The names with an underscore are for it, too."""

    def __init__(self, settings: ServerSettings, *, secure: bool) -> None:
        self._settings = settings
        self._secure = secure
        self._buffer = b""
        self._at = 0
        self._more: list[bytes] = []
        self._more_bytes = 0
        self._output: list[bytes] = []
        self._said = measures.code_cells(settings.listener)
        self._closing = False
        self._eof = False
        self._handshaking = False
        self._clear_after_starttls = False
        self._question: Callable[[Reply | None], None] | None = None
        self._in_auth = False
        self._plain_bytes = settings.command_bytes - 2
        self._too_long: Reply | None = None
        self._dropped = 0
        self._errors = 0
        self._idle_commands = 0
        self._delay_s = 0.0

    # ---- what the pump calls -----------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._closing:
            return
        if self._handshaking:
            self._clear_after_starttls = True
        elif self._at >= len(self._buffer) and not self._more:
            self._buffer, self._at = data, 0
        else:
            self._more.append(data)
            self._more_bytes += len(data)

    def receive_eof(self) -> None:
        """The peer sends no more; what it sent before is still worked on."""
        self._eof = True

    def take_output(self) -> bytes:
        """All replies that have gathered since the last call."""
        if not self._output:
            return b""
        output = b"".join(self._output)
        self._output.clear()
        self._delay_s = 0.0
        return output

    @property
    def wants_close(self) -> bool:
        """True once the connection is to be closed after the output has been sent."""
        return self._closing

    @property
    def delay_s(self) -> float:
        """How long the pump should wait before it sends the output: a brake on peers that make many errors."""
        return self._delay_s

    @property
    def buffered_bytes(self) -> int:
        """How much of what the peer sent has not been looked at: a bound on it is the pump's duty."""
        return len(self._buffer) - self._at + self._more_bytes

    # ---- what the session calls --------------------------------------------------------------------

    def answer(self, reply: Reply) -> None:
        """Answer the question that the last event asked. A 421 also closes. Raises ProtocolError if nothing was asked."""
        question, self._question = self._question, None
        if question is None:
            raise ProtocolError("the machine has asked nothing")
        question(reply)
        if reply.code == 421:
            self._closing = True

    def accept(self) -> None:
        """Answer yes, in the words that fit the question; for the end of a message only accepted() knows them."""
        question, self._question = self._question, None
        if question is None:
            raise ProtocolError("the machine has asked nothing")
        question(None)

    def say(self, reply: Reply) -> None:
        """Say something unasked: 421 on shutdown or timeout, which also closes."""
        self._output.append(reply.encode())
        self._said[reply.code // 100].value += 1
        if reply.code == 421:
            self._closing = True

    # ---- lines -------------------------------------------------------------------------------------

    def _next_line(self, end: int) -> bytes | ServerEvent | None:
        """The next line where its end is missing or far; or what became of one that was too long; None if there is none yet."""
        at = self._at
        if self._too_long is not None:
            return self._drop(self._too_long, end)
        size = (end if end >= 0 else len(self._buffer) - self._buffer.endswith(b"\r")) - at
        if size > self._plain_bytes:
            is_auth = self._in_auth or self._buffer[at : at + 4].upper() == b"AUTH"
            if not is_auth or size > self._settings.auth_bytes - 2:
                return self._drop(replies.AUTH_LINE_TOO_LONG if is_auth else replies.LINE_TOO_LONG, end)
        if end >= 0:
            self._at = end + 2
            return self._buffer[at:end]
        if self._buffer.startswith(b"\x16\x03", at) and not self._secure:
            return self._refuse(b"", replies.TLS_UNEXPECTED, close=True)  # a handshake has no CRLF to wait for
        return None

    def _drop(self, reply: Reply, end: int) -> ServerEvent | None:
        """Throw away an over-long line, or what is there of it (RFC 5321 §4.5.3.1.4); refuse it when its end is seen."""
        stop = end if end >= 0 else len(self._buffer) - self._buffer.endswith(b"\r")
        self._dropped += stop - self._at
        self._at = stop
        too_much = self._dropped > self._settings.dropped_bytes
        if end < 0 and not too_much:
            self._too_long = reply
            return None
        self._at = min(stop + 2, len(self._buffer))
        self._dropped, self._too_long = 0, None
        refused = self._refuse(b"", reply, close=too_much)
        if self._in_auth:
            self._in_auth = False
            return AuthResponse(None)
        return refused

    # ---- replies -----------------------------------------------------------------------------------

    def _write(self, reply: Reply) -> Reply:
        """Reply to a command; the last error that is allowed becomes 421 and closes. Returns what was said."""
        if reply.code >= 500:
            self._errors += 1
            if self._errors >= self._settings.errors_soft:
                self._delay_s = self._settings.error_delay_s
            if self._errors >= self._settings.errors_hard:
                reply = replies.TOO_MANY_ERRORS
                self._closing = True
        self._output.append(reply.encode())
        self._said[reply.code // 100].value += 1
        return reply

    def _refuse(self, line: bytes, reply: Reply, *, close: bool = False) -> Refused:
        if close:
            self._output.append(reply.encode())
            self._said[reply.code // 100].value += 1
            self._closing = True
        else:
            reply = self._write(reply)
        return Refused(shown(line), reply)

    def _is_idle_too_long(self) -> bool:
        self._idle_commands += 1
        return self._idle_commands > self._settings.idle_commands
