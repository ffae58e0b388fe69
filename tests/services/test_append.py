"""APPEND within its service: all messages of one command, or none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.services.test_mailbox import NOW, World, in_world, message

from ekiden.base.clock import Millis
from ekiden.services.mailbox import MailboxRefused, Why
from ekiden.services.mailbox_values import MailboxLimits


def test_several_messages_of_one_command_come_together(tmp_path: Path) -> None:
    async def work(world: World) -> None:  # RFC 3502 §6.3.11
        appending = await world.service.appending(world.account, "INBOX")
        for number in (1, 2):
            await appending.write(message(number)[:9])
            await appending.write(message(number)[9:])
            await appending.end_message(["\\Seen"] if number == 1 else [], Millis(NOW - number))
        assert await world.counts("INBOX") == (0, 0, 0)
        appended = await appending.commit()
        status = await world.service.status(world.account, "INBOX")
        assert (appended.uid_validity, appended.uids) == (status.uid_validity, (1, 2))
        entries = await world.service.entries(status.id, [(1, 2)])
        assert [entry.internal_date for entry in entries] == [NOW - 1, NOW - 2]
        assert (status.messages, status.unseen) == (2, 1)

    in_world(tmp_path, work)


def test_without_a_date_it_is_now(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        appending = await world.service.appending(world.account, "INBOX")
        await appending.write(message(1))
        await appending.end_message()
        await appending.commit()
        status = await world.service.status(world.account, "INBOX")
        assert (await world.service.entries(status.id, [(1, 1)]))[0].internal_date == NOW

    in_world(tmp_path, work)


def test_one_that_does_not_fit_takes_the_others_with_it(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        appending = await world.service.appending(world.account, "INBOX", len(message(1)))
        for number in (1, 2):
            await appending.write(message(number, 300_000 * (number - 1)))
            await appending.end_message()
        with pytest.raises(MailboxRefused) as caught:
            await appending.commit()
        assert caught.value.why is Why.OVER_QUOTA
        await appending.abort()
        assert await world.counts("INBOX") == (0, 0, 0)

    in_world(tmp_path, work, quota=1000)
    assert [file for file in (tmp_path / "blobs").rglob("*") if file.is_file()] == []


def test_a_folder_that_is_deleted_meanwhile_may_be_made_again(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        appending = await world.service.appending(world.account, "Junk")
        await appending.write(message(1))
        await appending.end_message()
        await world.service.delete(world.account, "Junk")
        with pytest.raises(MailboxRefused) as caught:
            await appending.commit()
        assert caught.value.why is Why.TRY_CREATE
        await appending.abort()

    in_world(tmp_path, work)


def test_too_many_keywords_are_refused(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        appending = await world.service.appending(world.account, "INBOX")
        await appending.write(message(1))
        await appending.end_message(["a", "b", "c"])
        with pytest.raises(MailboxRefused) as caught:
            await appending.commit()
        assert caught.value.why is Why.LIMIT
        await appending.abort()

    in_world(tmp_path, work, limits=MailboxLimits(keywords=2))


def test_an_empty_message_is_a_message(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        appending = await world.service.appending(world.account, "INBOX", 0)
        await appending.end_message()
        assert (await appending.commit()).uids == (1,)
        status = await world.service.status(world.account, "INBOX")
        content = await world.service.content(status.id, (await world.service.entries(status.id, [(1, 1)]))[0].uid)
        assert await content.read() == b""

    in_world(tmp_path, work)


def test_parallel_appends_get_uids_of_their_own(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        made = await asyncio.gather(*(world.append("INBOX", message(number)) for number in range(20)))
        assert sorted(uid for uids in made for uid in uids) == list(range(1, 21))

    in_world(tmp_path, work)
