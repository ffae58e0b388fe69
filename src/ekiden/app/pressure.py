"""What a process does when connections, descriptors or memory run short: the bounds, and who is told when one is near.

Source: reliability.md §1.1 (overload), §5.6, F-52, F-53; docs/adr/0008.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from ekiden.app.config import Config
from ekiden.app.descriptors import count_open, raise_limit, share_out
from ekiden.app.roles import Role
from ekiden.base import measures
from ekiden.net.listener import Crowd
from ekiden.policy.stage import Log
from ekiden.services.intake import Room
from ekiden.services.memory import Memory, budgets
from ekiden.services.space import Space

_LEAST_CONTENT = 16 * 1024 * 1024


class Pressure:
    """The bounds of one process. crowd: of its connections. room: of the content under way. memory: what watches it; run() that."""

    def __init__(self, config: Config, roles: Role, space: Space, log: Log) -> None:
        limits = config.limits
        self._log = log
        self._space = space
        self._strained_at = 0.0
        self._doors: list[tuple[dict[str, float], dict[str, float], dict[str, float]]] = []
        limit, taken = raise_limit(), count_open()
        wanted = limits.connections if Role.DOOR in roles else 0
        self.shares = share_out(limit, taken, wanted, config.queue.concurrency if Role.COURIER in roles else 0)
        if self.shares.connections < wanted or self.shares.needed > limit:
            log(
                "descriptors-few",
                level="warning",
                limit=limit,
                needed=self.shares.needed,
                connections=f"{self.shares.connections} of {wanted}",
                deliveries=self.shares.deliveries,
                large_messages=self.shares.files,
            )
        self.memory = Memory(
            budgets(limits.memory, 1 if config.processes == 1 else config.processes + 1), limits.memory_percent, log, self._memory_is_short
        )
        content = limits.content_memory or max(_LEAST_CONTENT, self.memory.least // 4 // max(1, config.processes)) or 1 << 40
        self.room = Room(content, self.shares.files)
        self.crowd = Crowd(max(1, self.shares.connections), limits.connections_per_address, limits.strained_percent)
        self.crowd.on_strain.append(self._strain)

    def deadlines(self, usual: Mapping[str, float], **strained: float) -> dict[str, float]:
        """A door's deadlines, of which some become shorter while there is strain; the dictionary itself changes."""
        short = {name: min(seconds, usual[name]) for name, seconds in strained.items()}
        now = {**usual, **short} if self.crowd.strained else dict(usual)
        self._doors.append((now, {name: usual[name] for name in short}, short))
        return now

    def _strain(self, strained: bool) -> None:
        for now, usual, short in self._doors:
            now.update(short if strained else usual)
        measures.STRAINED.of().value = int(strained)
        crowd = self.crowd
        if strained:
            self._strained_at = time.monotonic()
            self._log("strain-begins", level="warning", connections=crowd.total, limit=crowd.total_limit)
        else:
            lasted_s = round(time.monotonic() - self._strained_at, 1)
            self._log("strain-ends", level="warning", connections=crowd.total, limit=crowd.total_limit, lasted_s=lasted_s)

    def _memory_is_short(self, short: bool) -> None:
        self.crowd.shut = short
        self._space.memory_is_short(short)
