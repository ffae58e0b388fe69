"""Who does what, and under which number."""

from __future__ import annotations

from ekiden.app.roles import EVERYTHING, Role, parts


def test_all_roles_are_somebodys_and_the_queue_is_nobodys_who_opens_doors() -> None:
    found = parts(3)
    assert [part.name for part in found] == ["door-1", "door-2", "door-3", "delivery"]
    assert [part.door for part in found] == [0, 1, 2, None]
    together = Role(0)
    for part in found:
        together |= part.roles
        assert not (Role.DOOR in part.roles and Role.COURIER in part.roles)
    assert together == EVERYTHING


def test_no_two_processes_of_two_generations_share_a_number() -> None:
    numbers = [part.node(generation) for generation in (7, 8) for part in parts(100)]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) <= 255  # what an id has room for
