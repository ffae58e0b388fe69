"""One connection to a host: how it begins, how it ends. What hosts may do to a message is in test_attempt.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

import pytest
from tests.services.relay import SOON, server_tls

from ekiden.base.errors import StoreError
from ekiden.mail import journey
from ekiden.net.dial import dial
from ekiden.net.tls import client_context
from ekiden.services.conversation import Conversation, Failed, Manner, TlsFailed, converse
from ekiden.testing.clock import FakeClock
from ekiden.testing.peers import CLOSE, HANG, Raw, ScriptedHost

T = TypeVar("T")


def talk(host: ScriptedHost, work: Callable[[Conversation | Failed, list[journey.Step]], Awaitable[T]], *, tls: str = "opportunistic") -> T:
    """Begin a conversation with a host and work with what comes of it."""

    async def main() -> T:
        call = await dial(host.ip, host.port)
        steps: list[journey.Step] = []
        context = client_context(verify=False)
        begun = await converse(host.name, call, Manner("us.test", tls=tls, deadlines=SOON), lambda verify: context, FakeClock(), steps)
        return await work(begun, steps)

    return asyncio.run(main())


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def broken(data: bytes) -> AsyncIterator[bytes]:
    yield data
    raise StoreError("the file is gone")


def test_from_banner_to_quit() -> None:
    async def work(begun: Conversation | Failed, steps: list[journey.Step]) -> list[str]:
        assert isinstance(begun, Conversation)
        assert begun.is_still_there()
        done = await begun.send("a@b.test", ["c@d.test"], one(b"x\r\n"), size=3, eight_bit=False)
        assert done.results[0].reply.code == 250
        await begun.close()
        assert not begun.is_idle
        return [step.command for step in steps if isinstance(step, journey.RemoteReplied)]

    with ScriptedHost() as host:
        assert talk(host, work) == ["", "EHLO us.test", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA", ".", "QUIT"]


@pytest.mark.parametrize("action", ["554 5.7.1 no", CLOSE, HANG, Raw(b"\xff\r\n")])
def test_a_conversation_that_does_not_begin_is_closed(action: str) -> None:
    async def work(begun: Conversation | Failed, steps: list[journey.Step]) -> tuple[int, bool, bool]:
        assert isinstance(begun, Failed)
        return begun.reply.code, begun.is_remote, begun.same_host

    with ScriptedHost(says={"banner": action}) as host:
        expected = (554, True, False) if isinstance(action, str) else (451, False, True)
        assert talk(host, work) == expected


def test_content_that_cannot_be_read_ends_the_conversation() -> None:
    """Half a message must never look like a whole one."""

    async def work(begun: Conversation | Failed, steps: list[journey.Step]) -> None:
        assert isinstance(begun, Conversation)
        with pytest.raises(StoreError):
            await begun.send("a@b.test", ["c@d.test"], broken(b"x\r\n"), size=3, eight_bit=False)
        assert not begun.is_idle
        await begun.close()

    with ScriptedHost() as host:
        talk(host, work)
    assert host.messages == []


def test_a_failed_handshake_is_told_apart(tmp_path: Path) -> None:
    async def work(begun: Conversation | Failed, steps: list[journey.Step]) -> None:
        raise AssertionError

    with ScriptedHost(tls=server_tls(tmp_path), says={"TLS": CLOSE}) as host, pytest.raises(TlsFailed):
        talk(host, work)


def test_giving_up_from_outside() -> None:
    async def work(begun: Conversation | Failed, steps: list[journey.Step]) -> None:
        assert isinstance(begun, Conversation)
        begun.until = asyncio.get_running_loop().time() + 0.05
        done = await begun.send("a@b.test", ["c@d.test"], one(b"x\r\n"), size=3, eight_bit=False)
        assert (done.results[0].is_remote, done.ambiguous) == (False, True)
        await begun.close()

    with ScriptedHost(says={"content": HANG}, ip=IPv4Address("127.0.0.1")) as host:
        talk(host, work)
