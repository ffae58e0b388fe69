"""The bounds of one process, and who is told when one is near."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ekiden.app.config import Config, Limits
from ekiden.app.pressure import Pressure
from ekiden.app.roles import EVERYTHING, Role
from ekiden.base import measures
from ekiden.net.listener import Refused
from ekiden.services.space import Floor, Space
from ekiden.smtp import replies


def _pressure(told: list[str], roles: Role = EVERYTHING, **limits: int) -> tuple[Pressure, Space]:
    def log(event: str, **_: object) -> None:
        told.append(event)

    space = Space([Path("/")], Floor(0, 0), log)
    config = replace(Config(hostname="mx.test"), limits=Limits(**limits))
    return Pressure(config, roles, space, log), space


def test_deadlines_are_short_while_there_is_strain_and_no_longer() -> None:
    told: list[str] = []
    pressure, _ = _pressure(told, connections=10)
    mx = pressure.deadlines({"command": 300.0, "message": 1800.0}, command=10.0)
    imap = pressure.deadlines({"login": 5.0, "idle": 1800.0}, login=10.0)
    for number in range(8):
        assert pressure.crowd.enter(f"192.0.2.{number}") is None
    assert mx["command"] == 300.0
    assert pressure.crowd.enter("192.0.2.8") is None
    assert (mx, imap) == ({"command": 10.0, "message": 1800.0}, {"login": 5.0, "idle": 1800.0})
    assert measures.STRAINED.of().value == 1
    assert pressure.deadlines({"command": 300.0}, command=10.0) == {"command": 10.0}
    pressure.crowd.leave("192.0.2.8")
    assert pressure.crowd.strained
    pressure.crowd.leave("192.0.2.7")
    assert mx == {"command": 300.0, "message": 1800.0}
    assert told == ["strain-begins", "strain-ends"]
    assert measures.STRAINED.of().value == 0


def test_without_memory_neither_connections_nor_mail_come_in() -> None:
    told: list[str] = []
    pressure, space = _pressure(told, memory=1)
    pressure.memory.look()
    assert pressure.crowd.enter("192.0.2.1") is Refused.FULL
    assert space.refusal == replies.MEMORY_SHORT
    assert space.because == "memory"
    assert told == ["memory-short", "mail-refused"]


def test_who_opens_no_door_needs_no_descriptors_for_connections() -> None:
    pressure, _ = _pressure([], Role.COURIER)
    assert pressure.shares.connections == 0
    assert pressure.shares.deliveries == 100
    door, _ = _pressure([], Role.DOOR)
    assert door.shares.deliveries == 0


def test_content_has_a_quarter_of_the_memory_or_what_the_operator_says() -> None:
    pressure, _ = _pressure([], memory=1 << 20)
    assert pressure.room.most == 16 << 20
    pressure, _ = _pressure([], content_memory=5 << 20)
    assert pressure.room.most == 5 << 20
