"""What the configuration makes of the house: policies, held mail, doors."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import pytest
from tests.services.houses import SETTINGS, Running, open_house
from tests.services.test_arrive import arrive_outside

from ekiden.base.errors import ConfigError
from ekiden.store import queue

POLICIES = '''
from ekiden.policy import NOT_ALLOWED, Quarantine, RecipientContext, MessageContext, Reject, Verdict, message, recipient

@recipient
async def bob_is_away(ctx: RecipientContext) -> Verdict | None:
    """Nobody writes to bob."""
    if ctx.recipient.local == "bob":
        return Reject(NOT_ALLOWED, because="bob is away")
    return None

@message
async def breaks(ctx: MessageContext) -> Verdict | None:
    return ctx.no_such_thing
'''


def _settings(more: str) -> str:
    return f"{more}\n{SETTINGS}"


def _send(running: Running, recipient: str) -> int:
    with smtplib.SMTP("127.0.0.1", running.port("mx"), timeout=20) as client:
        try:
            client.sendmail("a@remote.test", [recipient], b"Subject: s\r\n\r\nx\r\n")
        except smtplib.SMTPRecipientsRefused as error:
            return int(error.recipients[recipient][0])
        except smtplib.SMTPDataError as error:
            return error.smtp_code
    return 250


def test_an_operators_policies_judge_and_a_broken_one_delays(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(POLICIES)

    async def main(policies: str) -> tuple[int, int]:
        async with open_house(tmp_path, ("mx",), _settings(f"policies = [{policies}]")) as running:
            bob = await asyncio.to_thread(_send, running, "bob@local.test")
            return bob, await asyncio.to_thread(_send, running, "alice@local.test")

    assert asyncio.run(main('"mine.py:bob_is_away"')) == (550, 250)
    assert asyncio.run(main('"mine.py:bob_is_away", "mine.py:breaks"')) == (550, 451)


@pytest.mark.parametrize(
    ("policies", "says"),
    [
        ('"builtin:sendr"', "sender"),
        ('"mine.py:nobody"', "no policy function"),
        ('"nowhere.py:x"', "nowhere.py"),
        ('"broken.py:x"', "SyntaxError"),
    ],
)
def test_a_policy_that_is_not_there_is_named(tmp_path: Path, policies: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(POLICIES)
    (tmp_path / "broken.py").write_text("def x(:\n")

    async def main() -> None:
        async with open_house(tmp_path, (), _settings(f"policies = [{policies}]")):
            raise AssertionError("it started")

    with pytest.raises(ConfigError, match=says):
        asyncio.run(main())


def test_outgoing_mail_can_be_held(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with open_house(tmp_path, (), SETTINGS + "\n[outbound]\nhold = true\n") as running:
            await arrive_outside(running)
            return [each.status for each in await running.house.database.read(queue.waiting)]

    assert asyncio.run(main()) == ["held"]
