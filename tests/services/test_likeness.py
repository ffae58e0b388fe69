"""What readers have taught, asked about new mail: per account, once a message, and for nothing while nobody has taught."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import pytest
from tests.mail.letters import Letter, letters
from tests.services.taught import School, in_school
from tests.store.stores import NOW

from ekiden.base.errors import StoreError
from ekiden.base.ids import AccountId
from ekiden.mail.bayes import ENOUGH
from ekiden.mail.headers import parse_headers
from ekiden.mail.words import words_of
from ekiden.policy.learned import Likeness
from ekiden.services import likeness
from ekiden.services.learning import keys_in
from ekiden.services.likeness import opinion
from ekiden.store import lessons
from ekiden.store.changes import taught_of
from ekiden.store.database import Tx
from ekiden.store.lessons import EVERYBODY, Side

LESSONS = list(letters(30, 1, "en"))
NEW_SPAM = next(each.raw for each in letters(1, 2, "en") if each.is_spam)
NEW_HAM = next(each.raw for each in letters(1, 2, "en") if not each.is_spam)


async def teach(school: School, account: AccountId, lessons_given: Iterable[Letter], *, upside_down: bool = False) -> None:
    def work(tx: Tx) -> None:
        for one in lessons_given:
            side = Side.SPAM if one.is_spam != upside_down else Side.HAM
            lessons.learn(tx, account, sha256(one.raw).digest(), side, keys_in(one.raw), NOW)

    await school.database.write(work)
    school.changes.poke(taught_of(account))


async def ask(school: School, raw: bytes, *accounts: AccountId) -> tuple[Likeness, ...]:
    return await school.likenesses.about(raw, parse_headers(raw), accounts).likeness()


def test_each_account_has_its_own_opinion(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await teach(school, school.alice, LESSONS)
        assert await ask(school, NEW_SPAM, school.bob) == ()
        (alice,) = await ask(school, NEW_SPAM, school.alice, school.bob)
        assert (alice.account, alice.probability > 0.95, len(alice.words)) == (school.alice, True, 5)
        await teach(school, school.bob, LESSONS, upside_down=True)
        alice, bob = await ask(school, NEW_SPAM, school.bob, school.alice)
        assert (alice.probability > 0.95, bob.probability < 0.05) == (True, True)
        (alice,) = await ask(school, NEW_HAM, school.alice)
        assert alice.probability < 0.05

    in_school(tmp_path, work)


def test_what_everybody_was_taught_helps_who_has_taught_nothing(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await teach(school, EVERYBODY, LESSONS)
        alice, bob = await ask(school, NEW_SPAM, school.alice, school.bob)
        assert alice.probability == bob.probability > 0.95
        await teach(school, school.alice, list(letters(ENOUGH, 5, "en")), upside_down=True)
        alice, bob = await ask(school, NEW_SPAM, school.alice, school.bob)
        assert alice.probability < bob.probability
        assert await ask(school, NEW_SPAM) == ()

    in_school(tmp_path, work)


def test_while_nobody_has_taught_enough_no_word_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def noted_words(*given: object) -> tuple[str, ...]:
        asked.append("words")
        return ("x",)

    async def work(school: School) -> None:
        read = school.database.read

        async def noted_read(work: Callable[[Tx], object]) -> object:
            asked.append("store")
            return await read(work)

        monkeypatch.setattr(likeness, "words_of", noted_words)
        monkeypatch.setattr(school.database, "read", noted_read)
        await teach(school, school.alice, LESSONS[: 2 * ENOUGH - 1])
        for _ in range(100):
            assert await ask(school, NEW_SPAM, school.alice, school.bob) == ()
        assert asked == ["store"], "one look for all of them"
        school.clock.advance(minutes=2)
        await ask(school, NEW_SPAM, school.alice)
        assert asked == ["store", "store"], "and another one when that is old"
        await teach(school, school.alice, LESSONS)
        asked.clear()
        await ask(school, NEW_SPAM, school.alice, school.bob)
        assert asked == ["store", "words", "store"]
        asked.clear()
        await ask(school, NEW_SPAM, school.bob)
        assert asked == []

    in_school(tmp_path, work)


def test_one_message_is_read_once_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counting(*given: object) -> tuple[str, ...]:
        asked.append(1)
        return words_of(NEW_SPAM)

    async def work(school: School) -> None:
        await teach(school, school.alice, LESSONS)
        monkeypatch.setattr(likeness, "words_of", counting)
        learned = school.likenesses.about(NEW_SPAM, parse_headers(NEW_SPAM), {school.alice})
        assert await learned.likeness() == await learned.likeness()
        assert asked == [1]

    in_school(tmp_path, work)


def test_large_messages_are_judged_by_their_beginning(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await teach(school, school.alice, LESSONS)
        plain = b"From: x <x@win-now.test>\r\nSubject: You won\r\n\r\nclaim your casino bonus, cheap pills, act now\r\n"
        (found,) = await ask(school, plain + b"0 1 2 3 4 5 6 7 8 9\r\n" * 100_000, school.alice)
        (short,) = await ask(school, plain, school.alice)
        assert found.probability == short.probability > 0.9
        (headers,) = await ask(school, b"X: " + b"y" * 2_000_000 + b"\r\n" + plain, school.alice)
        assert 0.0 <= headers.probability <= 1.0

    in_school(tmp_path, work)


def test_words_of_a_stranger_are_shown_short_and_printable(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        odd = b"From: a@%s\x1b[2J.test\r\nSubject: \xe2\x80\xae\xe2\x80\xafabc\r\n\r\nx\r\n" % (b"y" * 90)
        await teach(school, school.alice, LESSONS)
        await teach(school, school.alice, [Letter(odd + b"%d\r\n" % number, True, "en") for number in range(30)])
        (found,) = await ask(school, odd, school.alice)
        assert found.words
        assert all(word.isprintable() and len(word) <= 60 for word in found.words)

    in_school(tmp_path, work)


def test_so_many_accounts_are_asked_and_no_more(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        await teach(school, EVERYBODY, LESSONS)
        assert len(await ask(school, NEW_SPAM, *map(AccountId, range(1, 100)))) == likeness.ACCOUNTS_MOST

    in_school(tmp_path, work)


def test_a_store_that_cannot_tell_is_no_opinion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(school: School) -> None:
        await teach(school, school.alice, LESSONS)

        async def fails(work: object) -> object:
            raise StoreError("no")

        monkeypatch.setattr(school.database, "read", fails)
        assert await ask(school, NEW_SPAM, school.alice) == ()
        assert school.logged == ["likeness-unknown"]

    in_school(tmp_path, work)


def test_an_opinion_is_asked_for_directly_too(tmp_path: Path) -> None:
    async def work(school: School) -> None:
        words = words_of(NEW_SPAM)
        assert await school.database.read(lambda tx: opinion(tx, words, school.alice)) is None
        await teach(school, EVERYBODY, LESSONS)
        common = await school.database.read(lambda tx: opinion(tx, words, EVERYBODY))
        assert common == await school.database.read(lambda tx: opinion(tx, words, school.alice))
        assert common is not None
        assert common.probability > 0.95

    in_school(tmp_path, work)


def test_what_changes_while_it_is_read_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(school: School) -> None:
        read = school.database.read

        async def read_and_hear(work: Callable[[Tx], object]) -> object:
            found = await read(work)
            monkeypatch.setattr(school.database, "read", read)
            await teach(school, school.alice, LESSONS)  # after the row was read, before the answer is here
            return found

        monkeypatch.setattr(school.database, "read", read_and_hear)
        assert await ask(school, NEW_SPAM, school.alice) == ()
        assert len(await ask(school, NEW_SPAM, school.alice)) == 1

    in_school(tmp_path, work)
