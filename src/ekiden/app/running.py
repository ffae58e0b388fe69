"""The server that runs on a data directory, seen from another process: who it is, a signal to it, its end.

Source: pidfd_open(2): a number of a process may be another's by the time that it is used, a descriptor of it never is.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ekiden.app.data_dir import who_serves
from ekiden.base.errors import EkidenError

_PAUSE_S = 0.05


class NobodyServes(EkidenError):
    """No server has the directory."""


class NotOurs(EkidenError):
    """We may not look or must not send it signals: another user has to."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server. fd: a pidfd."""

    pid: int
    fd: int

    def signal(self, number: int) -> None:
        """Send it a signal. Raises NobodyServes, NotOurs."""
        try:
            signal.pidfd_send_signal(self.fd, number)
        except ProcessLookupError:
            raise NobodyServes from None
        except PermissionError:
            raise NotOurs from None

    def has_ended(self, within_s: float = 0.0) -> bool:
        """Whether it has ended; waits for that as long as it may."""
        return bool(select.select([self.fd], [], [], within_s)[0])

    def wait_for(self, true: Callable[[], bool], within_s: float) -> bool:
        """Whether something came true in time, while it lived."""
        deadline = time.monotonic() + within_s
        while not true():
            if time.monotonic() > deadline or self.has_ended(_PAUSE_S):
                return true()
        return True


@contextmanager
def running_on(data_dir: Path) -> Iterator[Running]:
    """The server of a data directory. Raises NobodyServes, NotOurs."""
    pid = _who(data_dir)
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise NobodyServes from None
    try:
        if _who(data_dir) != pid:  # it ended, and its number may be another's
            raise NobodyServes
        yield Running(pid, fd)
    finally:
        os.close(fd)


def _who(data_dir: Path) -> int:
    try:
        pid = who_serves(data_dir)
    except PermissionError:
        raise NotOurs from None
    except OSError:
        raise NobodyServes from None
    if pid is None:
        raise NobodyServes
    return pid
