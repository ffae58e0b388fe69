"""What a service tells systemd: that it is ready, reloads, stops, and that it lives.

One datagram to the socket that NOTIFY_SOCKET names; without that variable nothing is said.
Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress


class Notifier:
    """Speaks to the service manager. watchdog_s: how often it wants to hear that we live; None if it does not."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        path = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        wanted = bool(path) and usec.isascii() and usec.isdigit() and pid in ("", str(os.getpid()))
        self.watchdog_s: float | None = int(usec) / 1_000_000 if wanted and int(usec) else None
        self._petted_at = -float("inf")

    def ready(self, status: str) -> None:
        """We serve, for the first time or after reloading()."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")

    def status(self, status: str) -> None:
        """What a person sees in `systemctl status`."""
        self._send(f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; ready() must follow, whatever comes of it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=Reloading")

    def stopping(self) -> None:
        """We have begun to end."""
        self._send("STOPPING=1\nSTATUS=Stopping")

    def alive(self) -> None:
        """Call it at least once a second; says it as often as it must be said (twice in the time that is given)."""
        if self.watchdog_s is not None and (now := time.monotonic()) - self._petted_at >= self.watchdog_s / 2 - 0.5:
            self._petted_at = now
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(OSError):  # a manager that does not listen stops no mail
            sock.setblocking(False)
            sock.sendto(text.replace("\n\n", "\n").encode(), self._address)
