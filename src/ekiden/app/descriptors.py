"""Who gets how many file descriptors: connections, the files of large messages, the courier, the store.

The system gives a process a number of descriptors and not one more. So that connections cannot take those of the queue and of the
database, each has a share, and what does not fit is said at the start.
Source: reliability.md F-52; docs/adr/0008.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

_MOST = 1 << 20
"""More is never asked for: some systems would give a thousand million, and count through them in places."""
_SPARE = 40  # database, log, certificates, name servers, the page of numbers, a command that looks in
_OF_A_DELIVERY = 2  # the connection, and the file of a large message or a question to a name server
_UNKNOWN_OPEN = 40


@dataclass(frozen=True, slots=True)
class Shares:
    """How many there may be at the same time in this process. files: of large messages that come in. needed: descriptors for all wishes."""

    connections: int
    deliveries: int
    files: int
    needed: int


def raise_limit() -> int:
    """Take as many descriptors as the system lets us have without asking anybody; how many those are. Blocks nothing, never raises."""
    if sys.platform == "win32":
        return _MOST
    import resource  # not on every system

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    for wanted in (most, 10_240):  # where "without limit" is said and not meant, this many can be had
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            continue
        soft = wanted
        break
    return _MOST if soft == resource.RLIM_INFINITY else soft


def count_open() -> int:
    """How many descriptors this process has now."""
    try:
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return _UNKNOWN_OPEN


def share_out(limit: int, taken: int, connections: int, deliveries: int) -> Shares:
    """Divide limit descriptors, of which so many are taken. connections, deliveries: how many are wished for.

    Connections and files come to two thirds of what the courier leaves; it may take a third at most. Of them a third is for
    files: not every connection brings a large message at the same moment.
    """
    free = max(3, limit - taken - _SPARE)
    for_courier = min(_OF_A_DELIVERY * deliveries, free // 3)
    rest = free - for_courier
    allowed = min(connections, max(1, rest * 2 // 3))
    return Shares(
        connections=allowed,
        deliveries=max(1, for_courier // _OF_A_DELIVERY) if deliveries else 0,
        files=max(1, rest - allowed),
        needed=taken + _SPARE + _OF_A_DELIVERY * deliveries + connections + -(-connections // 2),
    )
