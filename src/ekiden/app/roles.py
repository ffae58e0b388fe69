"""Which process does what.

One process does everything. More than one: as many processes for the doors as the configuration says, and one more that carries
the queue out and keeps house; so a courier that hangs keeps nobody from delivering mail here, and what opens a port dials nobody.
Source: house.md §11; docs/adr/0006.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto


class Role(Flag):
    """What a process does. DOOR accepts connections; COURIER carries the queue out; KEEPER does upkeep."""

    DOOR = auto()
    COURIER = auto()
    KEEPER = auto()


EVERYTHING = Role.DOOR | Role.COURIER | Role.KEEPER


@dataclass(frozen=True, slots=True)
class Part:
    """One process of several. name: as the log has it. door: its number among the processes of the doors, None for the others."""

    name: str
    roles: Role
    seat: int
    door: int | None = None

    def node(self, generation: int) -> int:
        """Its number in ids and in the names of its files: not that of its predecessor, which may still be finishing."""
        return 2 * self.seat + generation % 2


def parts(doors: int) -> list[Part]:
    """The processes of a server with so many of them for its doors (at most 100)."""
    others = Part("delivery", Role.COURIER | Role.KEEPER, 0)
    return [*(Part(f"door-{number + 1}", Role.DOOR, number + 1, number) for number in range(doors)), others]
