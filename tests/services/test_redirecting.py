"""What a policy sends elsewhere: to our own, to other servers, to nobody; and it does not go round."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import pytest
from tests.services.houses import SETTINGS, Running, in_house, open_house, stored
from tests.services.test_forwarding import chain
from tests.services.test_signing import LETTER

from ekiden.base.ids import EnvelopeId, id_from_text
from ekiden.mail import journey
from ekiden.mail.address import format_path, parse_mailbox
from ekiden.mail.headers import parse_headers
from ekiden.policy.verdict import Redirect
from ekiden.services.redirecting import MOST, redirected
from ekiden.services.routing import Local, Refused
from ekiden.smtp import replies
from ekiden.store import journeys, queue

MESSAGE = b"From: a@remote.test\r\nSubject: s\r\n\r\nbody\r\n"
POLICY = """from ekiden.mail.address import parse_mailbox
from ekiden.policy import MessageContext, RecipientContext, Redirect, message, recipient


@message
async def at_the_end(ctx: MessageContext) -> Redirect | None:
    subject = ctx.headers.first(b"subject") or b""
    return Redirect(tuple(parse_mailbox(each) for each in %s), "all mail goes there") if b"keep" not in subject else None


@recipient
async def at_rcpt(ctx: RecipientContext) -> Redirect | None:
    return Redirect((parse_mailbox("bob@local.test"),), "alice is away") if ctx.recipient.local == "alice" else None
"""


def _to(*addresses: str) -> Redirect:
    return Redirect(tuple(parse_mailbox(each) for each in addresses), "because")


@pytest.mark.parametrize(("redirects", "targets"), [
    ([_to("bob@local.test")], ["bob"]),
    ([_to("team@local.test"), _to("bob@local.test", "x@out.test")], ["alice", "bob", "x@out.test"]),
    ([_to("nobody@local.test", "alice@local.test")], ["alice"]),
    ([_to("nobody@local.test")], None),
    ([_to("carol@local.test")], None),  # over quota
    ([Redirect((), "nowhere")], None),
    ([_to(*(f"x{number}@out.test" for number in range(MOST + 1)))], None),
])
def test_everybody_may_be_named_and_who_is_not_there_is_left_out(
    tmp_path: Path, redirects: list[Redirect], targets: list[str] | None
) -> None:
    async def work(running: Running) -> None:
        found = await redirected(running.house.router, redirects, running.house.log, bounce=False)
        if targets is None:
            assert isinstance(found, Refused)
            assert found.reply is replies.REDIRECT_FAILED
            assert found.because
            return
        assert not isinstance(found, Refused)
        assert sorted({each.name if isinstance(each, Local) else format_path(each.path) for each in found}) == targets

    in_house(tmp_path, work, ())


def _send(running: Running, *recipients: str, raw: bytes = MESSAGE) -> tuple[int, str]:
    with smtplib.SMTP("127.0.0.1", running.port("mx"), timeout=30) as client:
        client.ehlo("c.test")
        client.mail("a@remote.test")
        for each in recipients:
            code, words = client.rcpt(each)
            if code != 250:
                return code, words.decode()
        code, words = client.data(raw)
        return code, words.decode()


def _settings(name: str) -> str:
    return SETTINGS.replace("data_dir", f'policies = ["rules.py:{name}"]\ndata_dir', 1)


def test_what_is_redirected_at_its_end_goes_there_and_nowhere_else(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "rules.py").write_text(POLICY % ["bob@local.test", "x@out.test"])
        async with open_house(tmp_path, ("mx",), _settings("at_the_end")) as running, asyncio.timeout(60):
            code, words = await asyncio.to_thread(_send, running, "alice@local.test", "team@local.test")
            assert code == 250
            envelope = EnvelopeId(id_from_text(words.split()[-1]))
            assert await stored(running, "alice") == []
            assert len(await stored(running, "bob")) == 1
            (copy,) = await running.house.database.read(lambda tx: queue.of_envelope(tx, envelope))
            assert copy.recipient == "x@out.test"
            assert copy.sender.startswith("SRS0=")
            steps = await running.house.database.read(lambda tx: journeys.steps_of(tx, envelope))
            told = [(step.verdict, step.because) for step in steps if isinstance(step, journey.Judged)]
            assert told == [("redirect", "all mail goes there")]
            assert [step.account for step in steps if isinstance(step, journey.Deposited)] == ["bob"]
            assert [step.recipient for step in steps if isinstance(step, journey.Queued)] == ["x@out.test"]
            assert (await asyncio.to_thread(_send, running, "alice@local.test", raw=MESSAGE.replace(b": s", b": keep")))[0] == 250
            assert len(await stored(running, "alice")) == 1

    asyncio.run(main())


def test_a_policy_that_names_nobody_delays_mail_and_loses_none(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "rules.py").write_text(POLICY % ["nobody@local.test"])
        async with open_house(tmp_path, ("mx",), _settings("at_the_end")) as running, asyncio.timeout(60):
            code, words = await asyncio.to_thread(_send, running, "alice@local.test")
            assert (code, words[:5]) == (451, "4.3.5")
            assert [event for event, _ in running.lines if event == "redirect-impossible"]
            assert await stored(running, "alice") == []

    asyncio.run(main())


def test_one_recipient_may_be_redirected_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "rules.py").write_text(POLICY % [])
        async with open_house(tmp_path, ("mx",), _settings("at_rcpt")) as running, asyncio.timeout(60):
            assert (await asyncio.to_thread(_send, running, "alice@local.test"))[0] == 250
            assert (await stored(running, "alice"), len(await stored(running, "bob"))) == ([], 1)

    asyncio.run(main())


def test_what_comes_back_is_redirected_no_more(tmp_path: Path) -> None:
    """The other server sends everything back to us, as it came; the second time it is refused as a loop."""

    async def main() -> None:
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "rules.py").write_text(POLICY % ["other@remote.test"])
        async with chain(tmp_path, policies='policies = ["rules.py:at_the_end"]') as there:
            await there.at_one.submit(LETTER, to=["info@two.test"])
            (sent,) = await there.at_one.received()
            assert there.host.messages[0].recipients == ("other@remote.test",)
            assert parse_headers(sent).all(b"delivered-to") == (b" info@two.test",)

            def again() -> tuple[int, bytes]:
                with smtplib.SMTP("127.0.0.3", there.host.port, timeout=30) as client:
                    client.ehlo("mx.remote.test")
                    client.mail("x@remote.test")
                    client.rcpt("info@two.test")
                    return client.data(sent)

            code, words = await asyncio.to_thread(again)
            assert (code, words[:5]) == (554, b"5.4.6")

    asyncio.run(main())
