"""The floor of free space, and damage: whether new mail may come in."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

import pytest

from ekiden.services.space import Floor, Space, is_closed
from ekiden.smtp import replies

_MIB = 1024 * 1024


@dataclass
class Disk:
    """A file system as statvfs shows it, in blocks of 1 MiB."""

    f_blocks: int = 10_000
    f_bavail: int = 5_000
    f_files: int = 1_000
    f_favail: int = 500
    f_frsize: int = _MIB


@pytest.mark.parametrize(("disk", "lacking"), [
    (Disk(), ""),
    (Disk(f_bavail=512), ""),
    (Disk(f_bavail=511), "space"),                         # 512 MiB are more than 5 % of 10,000 MiB
    (Disk(f_blocks=100_000, f_bavail=4_999), "space"),     # 5 % of 100,000 MiB are more than 512 MiB
    (Disk(f_blocks=100_000, f_bavail=5_000), ""),
    (Disk(f_favail=49), "inodes"),
    (Disk(f_favail=50), ""),
    (Disk(f_files=0, f_favail=0), ""),                     # a file system that makes inodes as it needs them
])
def test_the_floor(disk: Disk, lacking: str) -> None:
    assert Floor().lacks(disk) == lacking


def _space(disk: Disk, told: list[str]) -> Space:
    def log(event: str, **_: object) -> None:
        told.append(event)

    return Space([Path("/one"), Path("/two")], Floor(), log, measure=lambda folder: disk if folder == Path("/two") else Disk())


def test_mail_is_refused_below_the_floor_of_any_folder_and_taken_again_above_it() -> None:
    told: list[str] = []
    disk = Disk()
    space = _space(disk, told)
    space.look()
    assert space.takes_mail
    assert told == []
    disk.f_bavail = 500
    space.look()
    space.look()
    assert space.refusal == replies.STORAGE_FULL
    assert space.because == "space"
    disk.f_bavail = 520  # above the floor, but a message would bring it below again
    space.look()
    assert not space.takes_mail
    disk.f_bavail = 600
    space.look()
    assert space.takes_mail
    assert told == ["mail-refused", "mail-taken-again"]


def test_damage_is_not_healed_by_space() -> None:
    told: list[str] = []
    space = _space(Disk(), told)
    space.damaged("page 7")
    space.damaged("page 8")
    space.look()
    assert space.refusal == replies.LOCAL_ERROR
    assert space.because == "damage"
    assert told == ["mail-refused"]


def test_a_file_system_that_takes_no_writing_takes_no_mail_and_is_tried_until_it_does() -> None:
    told: list[tuple[str, object]] = []
    closed, thorough = [False], []

    def is_closed(folder: Path, well: bool) -> bool:
        thorough.append(well)
        return closed[0] and well  # as ext4 after an error: it says so only to who writes

    def log(event: str, **more: object) -> None:
        told.append((event, more.get("because")))

    space = Space([Path("/one")], Floor(), log, measure=lambda folder: Disk(), closed=is_closed)
    for _ in range(20):
        space.look()
    assert thorough.count(True) == 2  # not more often than that while all is well
    closed[0] = True
    for _ in range(12):
        space.look()
    assert (space.refusal, space.because) == (replies.LOCAL_ERROR, "read-only")
    closed[0] = False
    space.look()
    assert space.takes_mail
    assert told == [("mail-refused", "read-only"), ("mail-taken-again", None)]


def test_whether_a_folder_takes_writing_is_tried_without_leaving_anything(tmp_path: Path) -> None:
    assert not is_closed(tmp_path, True)
    assert list(tmp_path.iterdir()) == []
    assert is_closed(Path("/proc/self/fd"), True) is False  # another error than a closed file system is for others to tell


def test_what_cannot_be_measured_stays_as_it_was() -> None:
    told: list[str] = []

    def log(event: str, **_: object) -> None:
        told.append(event)

    def measure(folder: Path) -> Disk:
        raise OSError(errno.EIO, "Input/output error")

    space = Space([Path("/one")], Floor(), log, measure=measure)
    space.look()
    assert space.takes_mail
    assert told == ["space-unknown"]


def test_damage_that_was_noted_is_known_to_all_processes_and_to_the_next_start(tmp_path: Path) -> None:
    told: list[str] = []

    def log(event: str, **_: object) -> None:
        told.append(event)

    def space() -> Space:
        return Space([tmp_path], Floor(), log, note=tmp_path / "store.damaged", measure=lambda folder: Disk())

    one, two = space(), space()
    one.look()
    two.look()
    one.damaged("page 7")
    two.look()
    assert not two.takes_mail
    later = space()
    later.look()
    assert later.because == "damage"
    (tmp_path / "store.damaged").unlink()
    healed = space()
    healed.look()
    assert healed.takes_mail
