"""Lessons of readers are learned once each, in the background, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from tests.mail.letters import letters
from tests.services.taught import School, in_school

from ekiden.base.errors import StoreError
from ekiden.mail.bayes import Seen
from ekiden.mail.words import keys_of, words_of
from ekiden.services import learning
from ekiden.services.learning import keys_in
from ekiden.services.mailbox import FlagMode, MailboxRefused
from ekiden.services.upkeep import Upkeep
from ekiden.store import accounts, lessons
from ekiden.store.database import Tx

SPAM = [each.raw for each in letters(5, 1, "ja") if each.is_spam]


async def _counts(school: School, raw: bytes) -> set[Seen]:
    """Which counts the words of a message have."""

    def work(tx: Tx) -> set[Seen]:
        me = lessons.learners(tx, [school.alice])[school.alice]
        return set(lessons.counted(tx, [me.id], keys_of(words_of(raw)))[me.id].values())

    return await school.database.read(work)


async def _side(school: School, raw: bytes) -> str | None:
    """What has been learned of a message of alice's."""

    def work(tx: Tx) -> str | None:
        row = tx.one("learned_get", learner=lessons.learners(tx, [school.alice])[school.alice].id, sha256=sha256(raw).digest())
        return None if row is None else str(row[0])

    return await school.database.read(work)


def test_into_junk_and_out_again_is_undone_and_taught_the_other_way(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.put("INBOX", SPAM[0])
        assert await school.learning.look() == 0
        await school.move("INBOX", "Junk")
        assert await school.waiting() == 1
        assert await school.learning.look() == 1
        assert (await school.taught(), await _counts(school, SPAM[0])) == ((1, 0), {Seen(1, 0)})
        await school.move("Junk", "INBOX")
        assert await school.learning.look() == 1
        assert (await school.taught(), await _counts(school, SPAM[0])) == ((0, 1), {Seen(0, 1)})
        await school.move("INBOX", "Junk")
        await school.move("Junk", "INBOX")  # before anybody looked: the last word counts, and it is known already
        assert await school.learning.look() == 0
        assert (await school.taught(), await school.waiting()) == ((0, 1), 0)
        assert await school.taught(school.bob) == (0, 0)

    in_school(tmp_path, work)


def test_from_junk_into_trash_teaches_nothing_and_neither_do_other_folders(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.put("Junk", SPAM[0])
        await school.learning.look()
        for source, target in (("Junk", "Trash"), ("Trash", "Archive"), ("Archive", "INBOX"), ("INBOX", "Trash")):
            await school.move(source, target)
            assert await school.waiting() == 0
        assert await school.taught() == (1, 0)

    in_school(tmp_path, work)


def test_what_was_read_and_left_beside_it_is_wanted(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        kept = [each.raw for each in letters(6, 2, "en") if not each.is_spam]
        await school.put("INBOX", *kept[:2], flags=["\\Seen"])
        await school.put("INBOX", kept[2])  # nobody has looked at it yet
        await school.put("INBOX", kept[3], flags=["\\Seen", "\\Deleted"])
        await school.put("INBOX", kept[4], flags=["\\Seen", "$Junk", "$NotJunk"])
        await school.put("Junk", SPAM[0])
        await school.learning.look()
        assert await school.taught() == (1, 2), "there is no other that was read"
        assert [await _side(school, each) for each in kept[:2]] == ["ham", "ham"]
        await school.put("INBOX", *(each.raw for each in letters(9, 3, "en") if not each.is_spam), flags=["\\Seen"])
        await school.put("Junk", SPAM[1])
        await school.learning.look()
        assert await school.taught() == (2, 5), "three for each"
        await school.put("INBOX", *kept[5:6], flags=["\\Answered"], account=school.bob)
        assert (await school.waiting(), await school.taught(school.bob)) == (0, (0, 0)), "who throws nothing away teaches nothing"
        await school.move("INBOX", "Junk")
        await school.learning.look()
        assert await school.taught() == (16, 0), "what is thrown away after all"

    in_school(tmp_path, work)


def test_copies_appends_and_keywords_teach_too(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.put("INBOX", *SPAM[:3])
        inbox = await school.folder("INBOX")
        await school.mailboxes.copy(inbox, [(1, 1)], "Junk")
        await school.put("Junk", SPAM[3])
        await school.mailboxes.store_flags(inbox, [(2, 3)], FlagMode.ADD, ["$Junk"])
        assert await school.learning.look() == 4
        assert await school.taught() == (4, 0)
        await school.mailboxes.store_flags(inbox, [(3, 3)], FlagMode.REPLACE, ["$NotJunk"])
        assert await school.learning.look() == 1
        assert await school.taught() == (3, 1)
        await school.mailboxes.store_flags(inbox, [(3, 3)], FlagMode.ADD, ["$Junk"])  # both: as if none (RFC 9051 §2.3.2)
        await school.mailboxes.store_flags(inbox, [(2, 2)], FlagMode.REMOVE, ["$Junk"])
        assert (await school.learning.look(), await school.taught()) == (0, (3, 1))

    in_school(tmp_path, work)


def test_a_move_that_fails_teaches_nothing(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.put("INBOX", SPAM[0])
        with pytest.raises(MailboxRefused):
            await school.mailboxes.move(await school.folder("INBOX"), [(1, 9)], "Nowhere")
        await school.mailboxes.move(await school.folder("INBOX"), [(7, 9)], "Junk")
        assert await school.waiting() == 0

    in_school(tmp_path, work)


def test_large_messages_lie_in_files_and_their_beginning_is_learned(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        large = SPAM[0] + b"\r\n" + b"filling\r\n" * 150_000
        await school.put("Junk", large)
        assert await school.learning.look() == 1
        assert await _counts(school, large[: learning.LOOKED_AT]) == {Seen(1, 0)}

    in_school(tmp_path, work)


def test_what_cannot_be_read_any_more_teaches_nothing_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        large = b"Subject: large\r\n\r\n" + b"filling\r\n" * 50_000
        await school.put("Junk", large, SPAM[0], SPAM[1])
        for file in (tmp_path / "blobs").rglob("*"):
            if file.is_file():
                file.unlink()
        first = (await school.database.read(lambda tx: lessons.waiting(tx, 9)))[1].message
        await school.database.write(lambda tx: tx.run("message_forget", id=first, nothing=b""))
        assert await school.learning.look() == 1
        assert (await school.taught(), await school.waiting()) == ((1, 0), 0)
        assert school.logged == ["lesson-unreadable"]

    in_school(tmp_path, work)


def test_a_message_on_which_our_reader_breaks_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(raw: bytes) -> list[int]:
        if raw == SPAM[0]:
            raise ValueError("a bug")
        return keys_in(raw)

    async def work(school: School) -> None:
        monkeypatch.setattr(learning, "keys_in", broken)
        await school.put("Junk", SPAM[0], SPAM[1])
        assert await school.learning.look() == 1
        assert (await school.taught(), await school.waiting(), school.logged) == ((1, 0), 0, ["lesson-failed"])

    in_school(tmp_path, work)


def test_who_changes_his_mind_while_his_message_is_read_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(school: School) -> None:
        await school.put("INBOX", SPAM[0])
        await school.move("INBOX", "Junk")
        (lesson,) = await school.database.read(lambda tx: lessons.waiting(tx, 9))
        read = await school.learning._read(lesson)  # the moment between reading and counting
        await school.move("Junk", "INBOX")
        assert await school.database.write(lambda tx: school.learning._take(tx, [read])) == []
        assert (await school.learning.look(), await school.taught()) == (1, (0, 1))

    in_school(tmp_path, work)


def test_two_who_learn_the_same_lessons_count_them_once(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        many = [each.raw for each in letters(60, 3, "en") if each.is_spam]
        await school.put("Junk", *many)
        other = learning.Learning(school.database, school.blobs, school.changes, school.clock, lambda event, **fields: None)
        assert sum(await asyncio.gather(school.learning.look(), other.look(), other.look())) == 60
        assert (await school.taught(), await school.waiting()) == ((60, 0), 0)

    in_school(tmp_path, work)


def test_lessons_are_learned_when_they_are_taught_and_after_a_failure_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(school: School) -> None:
        read = school.database.read
        failures = iter([StoreError("the disk")])

        async def sometimes(work: Callable[[Tx], object]) -> object:
            for failure in failures:
                raise failure
            return await read(work)

        monkeypatch.setattr(school.database, "read", sometimes)
        task = asyncio.ensure_future(school.learning.run())
        await school.clock.until_asleep(1)
        assert school.logged == ["learning-failed"]
        await school.put("INBOX", SPAM[0])
        await school.move("INBOX", "Junk")
        school.clock.advance(seconds=1)
        await school.clock.until_asleep(1)
        assert await school.taught() == (1, 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    in_school(tmp_path, work)


def test_a_whole_folder_is_learned_bit_by_bit(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await school.put("Junk", *[each.raw for each in letters(120, 3, "en") if each.is_spam])
        task = asyncio.ensure_future(school.learning.run())
        found = []
        for _ in range(3):
            await school.clock.until_asleep(1)
            found.append(await school.waiting())
            school.clock.advance(seconds=1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (found, await school.taught()) == ([70, 20, 0], (120, 0))

    in_school(tmp_path, work)


def test_upkeep_forgets_what_came_once_and_what_was_taught_by_who_is_gone(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        upkeep = Upkeep(school.database, school.blobs, school.clock, lambda event, **fields: None, owner="me")
        await school.put("Junk", SPAM[0], SPAM[0], SPAM[1])
        await school.put("Junk", SPAM[2], account=school.bob)
        await school.learning.look()
        await school.database.write(lambda tx: accounts.remove_account(tx, school.bob))
        await upkeep.round()
        assert len(await _words(school)) == len({*keys_in(SPAM[0]), *keys_in(SPAM[1])}), "alice's alone"
        await school.put("Junk", SPAM[0] + b"again\r\n")
        await school.learning.look()
        twice = await _words(school, 2)
        school.clock.advance(days=181)
        await upkeep.round()
        assert await _words(school) == twice
        assert await school.taught() == (3, 0)
        school.clock.advance(days=400)
        await upkeep.round()
        assert (await _words(school), await school.taught()) == (twice, (3, 0))
        await school.move("Junk", "INBOX")
        await school.learning.look()
        assert await school.taught() == (3, 3), "which messages were taught is forgotten, too: nothing to take back"

    in_school(tmp_path, work)


async def _words(school: School, least: int = 0) -> set[int]:
    """The keys of all words of the store that were seen so often."""

    def work(tx: Tx) -> set[int]:
        known = {key: "" for raw in SPAM for key in (*keys_in(raw), *keys_in(raw + b"again\r\n"))}
        words = {key: str(key) for key in known}
        counted = lessons.counted(tx, range(1, 9), words)
        return {int(word) for found in counted.values() for word, seen in found.items() if seen.spam + seen.ham >= least}

    return await school.database.read(work)
