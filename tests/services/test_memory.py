"""Memory is watched: what limits it is found, and shortness begins and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from ekiden.services.memory import Budget, Memory, budgets, cgroup_budgets, machine_bytes, resident, trim

MIB = 1 << 20


def _group(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, "ascii")
    return folder


def _membership(folder: Path, *lines: str) -> Path:
    file = folder / "cgroup"
    file.write_text("\n".join(lines) + "\n", "ascii")
    return file


def test_version_2_of_control_groups_limits_on_every_level(tmp_path: Path) -> None:
    mounted = tmp_path / "fs"
    stat = f"anon 5\ninactive_file {3 * MIB}\nactive_file {2 * MIB}\n"
    _group(mounted / "a", memory__max=f"{512 * MIB}\n", memory__current=f"{100 * MIB}\n", memory__stat=stat)
    _group(mounted / "a" / "b", memory__max="max\n", memory__current="1\n", memory__stat=stat)
    _group(mounted / "a" / "b" / "c", memory__max=f"{256 * MIB}\n", memory__current=f"{50 * MIB}\n", memory__stat=stat)
    found = list(cgroup_budgets(_membership(tmp_path, "0::/a/b/c"), mounted))
    assert [(budget.limit // MIB, budget.used() // MIB) for budget in found] == [(256, 45), (512, 95)]


def test_version_1_has_other_names_and_a_number_for_no_limit(tmp_path: Path) -> None:
    mounted = tmp_path / "fs"
    stat = f"cache 1\ninactive_file 7\ntotal_inactive_file {1 * MIB}\ntotal_active_file {4 * MIB}\n"
    _group(mounted / "memory", memory__limit_in_bytes="9223372036854771712\n")
    _group(
        mounted / "memory" / "a", memory__limit_in_bytes=f"{64 * MIB}\n", memory__usage_in_bytes=f"{60 * MIB}\n", memory__stat=stat
    )
    found = list(cgroup_budgets(_membership(tmp_path, "3:cpu:/a", "4:memory:/a", "0::/"), mounted))
    assert [(budget.limit // MIB, budget.used() // MIB) for budget in found] == [(64, 55)]


def test_in_a_container_what_is_mounted_is_our_own_group(tmp_path: Path) -> None:
    mounted = _group(tmp_path / "fs", memory__max=f"{32 * MIB}", memory__current="10", memory__stat="inactive_file 30\n")
    (found,) = cgroup_budgets(_membership(tmp_path, "0::/known/only/outside"), mounted)
    assert (found.limit, found.used()) == (32 * MIB, 0)


def test_without_control_groups_nothing_is_found(tmp_path: Path) -> None:
    assert list(cgroup_budgets(tmp_path / "none", tmp_path)) == []
    assert list(cgroup_budgets(_membership(tmp_path, "", "nonsense", "0::/"), tmp_path / "none")) == []


def test_what_the_operator_gives_is_a_budget_of_the_process() -> None:
    assert (budgets(77 * MIB)[-1].limit, budgets(77 * MIB)[-1].used) == (77 * MIB, resident)
    assert all(budget.limit > 0 for budget in budgets())
    assert machine_bytes() > resident() > MIB


class _Watched:
    """A memory whose use a test decides."""

    def __init__(self) -> None:
        self.used = 0
        self.told: list[str] = []
        self.changes: list[bool] = []
        self.memory = Memory([Budget("test", 100, self._used)], 80, lambda event, **_: self.told.append(event), self.changes.append)

    def _used(self) -> int:
        if self.used < 0:
            raise OSError("unknown")
        return self.used

    def at(self, used: int) -> bool:
        self.used = used
        self.memory.look()
        return self.memory.is_short


def test_shortness_begins_above_the_share_and_ends_well_below_it() -> None:
    watched = _Watched()
    seen = [watched.at(used) for used in (0, 80, 81, 95, 73, 72, 80, 81, 10)]
    assert seen == [False, False, True, True, True, False, False, True, False]
    assert watched.told == ["memory-short", "memory-enough"] * 2
    assert watched.changes == [True, False] * 2


def test_what_cannot_be_measured_limits_nothing() -> None:
    watched = _Watched()
    assert watched.at(90)
    assert not watched.at(-1)


def test_freed_memory_can_be_given_back() -> None:
    held = [bytes(64 * 1024) for _ in range(1500)]  # what is free already goes into these
    before = resident()
    taken = [bytes(64 * 1024) for _ in range(1500)]
    assert resident() > before + 60 * MIB
    taken.clear()
    trim()
    assert resident() < before + 40 * MIB
    assert len(held) == 1500


@pytest.mark.parametrize(("limits", "least"), [([], 0), ([5], 5), ([7, 3, 9], 3)])
def test_the_smallest_budget_counts(limits: list[int], least: int) -> None:
    assert Memory([Budget("x", limit, lambda: 0) for limit in limits], 80, lambda *_, **__: None).least == least
