"""One TCP connection that carries bytes to one protocol machine, and its events to one session.

The pump's duties (house.md §4): it stops reading when nobody takes what was read, stops the session when the peer does not read,
keeps the deadlines that the machine names, sends close_notify, and takes an end of stream without close_notify for a
broken connection, not for an end.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Generic, TypeVar, cast

from ekiden.base import measures
from ekiden.base.errors import ProtocolError, Unreachable
from ekiden.base.machine import Machine
from ekiden.mail.address import Ip
from ekiden.mail.envelope import Tls
from ekiden.net.tls import TlsLayer

E = TypeVar("E")

_READ_BYTES = 65_536
_TLS_READ_BYTES = 16_384
_UNREAD_LIMIT = 262_144  # what may wait for a busy session before reading pauses
_WRITE_LIMIT = 262_144
_LINGER_S = 10.0
_RATE_WINDOW_S = 60.0
_RATE_BYTES_PER_S = 500
_DEFAULT_DEADLINE_S = 300.0
_BETWEEN_COMMANDS = frozenset({"command", "login", "idle"})

_shared_buffer = bytearray(_READ_BYTES)
_shared_view = memoryview(_shared_buffer)
# OpenSSL keeps a buffer as large as the largest piece that it was ever given, for as long as the connection lives.
_record_view = _shared_view[:_TLS_READ_BYTES]


class DeadlinePassed(Unreachable):
    """The peer took longer than it may. what: the machine's name of the deadline."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"deadline passed: {what}")


class Connection(asyncio.BufferedProtocol, Generic[E]):
    """Carries one machine. Every method must be called in the loop's thread; next_event by one task only.

    deadlines: seconds for each name that machine.waiting_for may give; "write", "handshake" and "message" are the pump's own.
    secure_first: what comes before start_tls() is for TLS and not for the machine.
    While the machine waits for "data" the deadline is a rate: at least "rate" (500) bytes a second over 60 s, and "message" for the
    whole.
    """

    def __init__(
        self, machine: Machine[E], deadlines: Mapping[str, float], loop: asyncio.AbstractEventLoop, *, secure_first: bool = False
    ) -> None:
        self.machine = machine
        self.tls: Tls | None = None
        self.peer_ip: Ip = IPv4Address(0)
        self.peer_port = 0
        self.local_ip: Ip = IPv4Address(0)
        self.local_port = 0
        self.received_bytes = 0
        self._deadlines = deadlines
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._layer: TlsLayer | None = None
        self._early: bytes | None = b"" if secure_first else None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._unread = 0
        self._reading = True
        self._held = False  # plaintext that came with the end of the handshake waits in the layer
        self._write_paused = False
        self._eof = False
        self._ending = False
        self._lost = False
        self._problem: ProtocolError | None = None
        self._deadline_at = 0.0
        self._deadline_name = ""
        self._timer: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._data_since = 0.0
        self._data_bytes = 0
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    # ---- called by the transport ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # TCP and Unix stream transports are both read and written
        self._transport.set_write_buffer_limits(high=_WRITE_LIMIT)
        self.peer_ip, self.peer_port = _address(transport.get_extra_info("peername"))
        self.local_ip, self.local_port = _address(transport.get_extra_info("sockname"))
        if not self.opened.done():
            self.opened.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _shared_view if self._layer is None else _record_view

    def buffer_updated(self, nbytes: int) -> None:
        self.received_bytes += nbytes
        if self._early is not None:
            self._early += bytes(_shared_view[:nbytes])  # one ClientHello at most: more would need an answer first
        elif self._layer is None:
            self._take(bytes(_shared_view[:nbytes]))
        else:
            self._take_ciphertext(_shared_view[:nbytes])
        self._wake()

    def eof_received(self) -> bool:
        self._eof = True
        if self._layer is None or self._layer.closed_by_peer:
            self.machine.receive_eof()
        else:
            self._problem = self._problem or ProtocolError("the stream ended without close_notify")
        self._wake()
        return True  # the session decides when to close

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._linger is not None:  # it would keep all that belongs to the connection for that long
            self._linger.cancel()
        if not self.opened.done():
            self.opened.set_result(None)
        if not self.closed.done():
            self.closed.set_result(None)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # ---- called by the session ------------------------------------------------------------------

    async def next_event(self) -> E | None:
        """The machine's next event; None once the connection is over, from whichever side.

        Sends the machine's output before it waits. Raises DeadlinePassed, after which the session may still say goodbye.
        """
        machine = self.machine
        fresh = True
        if self._deadline_name == "data" and machine.waiting_for != "data":
            self._deadline_name = ""
        while True:
            event = machine.next_event()
            if event is not None:
                return event
            if getattr(machine, "delay_s", 0.0):
                await self.flush()
            else:
                output = machine.take_output()
                if output:
                    self._send(output)
                if self._write_paused:
                    await self._drain()
            if machine.wants_close:
                await self.close()
                return None
            if self._lost or self._eof or self._ending or self._problem is not None:
                return None
            self._unread = 0
            if self._held or not self._reading:
                self._resume()
                continue  # what the TLS layer held back may complete an event
            self._run_deadline(machine.waiting_for, fresh)
            fresh = False
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None

    async def flush(self) -> None:
        """Send what the machine has to say; return when the peer is reading fast enough. Raises DeadlinePassed ("write")."""
        delay_s = getattr(self.machine, "delay_s", 0.0)
        if delay_s:
            await asyncio.sleep(delay_s)  # a brake on peers that make many errors
        output = self.machine.take_output()
        if output:
            self._send(output)
        if self._write_paused:
            await self._drain()

    async def _drain(self) -> None:
        if self._lost:
            return
        self._drained = self._loop.create_future()
        try:
            async with asyncio.timeout(self._deadlines.get("write", _DEFAULT_DEADLINE_S)):
                await self._drained
        except TimeoutError:
            self.abort()
            raise DeadlinePassed("write") from None
        finally:
            self._drained = None

    async def start_tls(self, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None) -> Tls:
        """Put TLS under the machine: from now on every byte goes through it. Returns what was agreed.

        The machine must have nothing unread (it refuses STARTTLS otherwise: RFC 3207 §5, command injection).
        Raises ProtocolError if the handshake fails, DeadlinePassed if it takes too long, Unreachable if the peer left.
        """
        await self.flush()
        self._layer = TlsLayer(context, server_side=server_side, hostname=hostname)
        try:
            early, self._early = self._early, None
            if early:
                self._layer.feed(early)
            else:
                self._layer.handshake()
            self._send_ciphertext()
            self._set_deadline("handshake")
            while not self._layer.done:
                if self._problem is not None:
                    raise self._problem
                if self._lost or self._eof:
                    raise Unreachable("the peer left during the TLS handshake")
                await self._sleep()
        except ProtocolError:
            self._send_ciphertext()  # the alert that says why
            measures.TLS_FAILURES.of("server" if server_side else "client").value += 1
            raise
        self.tls = self._layer.about()
        measures.TLS_HANDSHAKES.of("server" if server_side else "client", self.tls.version).value += 1
        self._held = True
        return self.tls

    async def close(self) -> None:
        """Send what is left, say close_notify, close. Does not wait for a peer that no longer reads."""
        if self._lost or self._transport is None:
            return
        output = self.machine.take_output()
        if output:
            self._send(output)
        if self._layer is not None and self._layer.done:
            self._layer.say_goodbye()
            self._send_ciphertext()
        if self._lost:
            return
        self._transport.close()
        if self._linger is None:
            self._linger = self._loop.call_later(_LINGER_S, self.abort)

    def refuse(self, words: bytes) -> None:
        """Say words (in clear) and close, without asking the machine."""
        if self._transport is not None and not self._lost:
            self._transport.write(words)
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None and not self._lost:
            self._transport.abort()

    def hurry(self) -> None:
        """The deadlines have become shorter: what is waited for between two commands has to come within the new one from now on."""
        if self.is_between_commands and self._deadline_name in self._deadlines:
            sooner = self._loop.time() + self._deadlines[self._deadline_name]
            if sooner < self._deadline_at:
                self._deadline_at = sooner
                self._arm()

    def hang_up(self) -> None:
        """We end this: the session gets no further event, after what the machine has to say has been sent."""
        self._ending = True
        self._wake()

    @property
    def is_between_commands(self) -> bool:
        """Whether the session waits for the peer to ask for something new."""
        return self._waiter is not None and self._layer_is_ready and self.machine.waiting_for in _BETWEEN_COMMANDS

    @property
    def _layer_is_ready(self) -> bool:
        return self._layer is None or self._layer.done

    def peer_certificate(self) -> bytes | None:
        """The certificate that the peer showed, as DER, or None."""
        return self._layer.peer_certificate() if self._layer is not None else None

    @property
    def broken(self) -> str:
        """Why the connection ended early (TLS trouble), or ""."""
        return str(self._problem) if self._problem is not None else ""

    @property
    def is_over(self) -> bool:
        """True once nothing more can come from the peer."""
        return self._lost or self._eof or self._problem is not None

    # ---- inside ----------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        self._unread += len(data)
        self._data_bytes += len(data)
        self.machine.receive(data)
        if self._unread > _UNREAD_LIMIT:
            self._pause()

    def _take_ciphertext(self, data: memoryview) -> None:
        layer = self._layer
        if layer is None or self._problem is not None:
            return
        try:
            was_done = layer.done
            layer.feed(data)
            if layer.done and (was_done or self.tls is not None):
                self._read_plaintext(layer)
            self._send_ciphertext()
        except ProtocolError as error:
            self._problem = error
            self._send_ciphertext()

    def _read_plaintext(self, layer: TlsLayer) -> None:
        while plain := layer.read():
            self._take(plain)
            if not self._reading:
                break
        if layer.closed_by_peer and not self._eof:
            self._eof = True
            self.machine.receive_eof()

    def _pause(self) -> None:
        if self._reading and self._transport is not None and not self._lost and not self._eof:
            self._reading = False
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._reading = True
        self._held = False
        if self._transport is None or self._lost:
            return
        if self._layer is not None and self.tls is not None:
            self._take_ciphertext(memoryview(b""))
        if self._reading and not self._transport.is_closing():
            self._transport.resume_reading()

    def _send(self, data: bytes) -> None:
        if self._lost or self._transport is None:
            return
        if self._layer is None:
            self._transport.write(data)
            return
        try:
            self._layer.write(data)
        except ProtocolError as error:
            self._problem = error
        self._send_ciphertext()

    def _send_ciphertext(self) -> None:
        if self._layer is None or self._transport is None or self._lost:
            return
        data = self._layer.take_output()
        if data:
            self._transport.write(data)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _run_deadline(self, name: str, fresh: bool) -> None:
        """Start the deadline, or let it run on: only an event renews it, single bytes do not."""
        if name == "data":
            self._watch_rate()
        elif fresh or name != self._deadline_name:
            self._set_deadline(name)

    def _set_deadline(self, name: str) -> None:
        seconds = self._deadlines.get(name, _DEFAULT_DEADLINE_S)
        self._deadline_name = name
        self._deadline_at = self._loop.time() + seconds
        self._arm()

    def _watch_rate(self) -> None:
        now = self._loop.time()
        if self._deadline_name != "data":
            self._deadline_name = "data"
            self._data_since = now
            self._data_bytes = 0
            self._deadline_at = now + _RATE_WINDOW_S
        self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline_at, self._on_timer)
        elif self._timer.when() > self._deadline_at:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._lost or self._waiter is None:
            return
        now = self._loop.time()
        if now < self._deadline_at:
            self._arm()
            return
        if self._deadline_name == "data":
            slow = self._data_bytes < self._deadlines.get("rate", _RATE_BYTES_PER_S) * _RATE_WINDOW_S
            if not slow and now - self._data_since < self._deadlines.get("message", 1800.0):
                self._data_bytes = 0
                self._deadline_at = now + _RATE_WINDOW_S
                self._arm()
                return
        if not self._waiter.done():
            self._waiter.set_exception(DeadlinePassed(self._deadline_name))

    async def _sleep(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


def _address(name: object) -> tuple[Ip, int]:
    """Address and port of a socket name; IPv4 in IPv6 is IPv4 (row SS-32); a Unix socket counts as 127.0.0.1."""
    if not isinstance(name, tuple) or len(name) < 2:
        return IPv4Address("127.0.0.1"), 0
    ip = ip_address(str(name[0]).partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped, int(name[1])
    return ip, int(name[1])
