"""The SMTP doors over real sockets, with Python's own client and with bytes of our own."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from pathlib import Path

import pytest
from tests.services.houses import PASSWORD, SETTINGS, Running, in_house, open_house, stored

from ekiden.app.wiring import Mode
from ekiden.mail import journey
from ekiden.store import journeys, queue

MESSAGE = b"From: a@remote.test\r\nSubject: hello\r\nMessage-ID: <1@remote.test>\r\n\r\nfirst line\r\n.dot\r\n"


def _client(running: Running, door: str = "mx", *, tls: bool = False, login: str = "") -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", running.port(door), timeout=20)
    client.ehlo("client.test")
    if tls:
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
        client.starttls(context=trust)
        client.ehlo("client.test")
    if login:
        client.login(login, PASSWORD.decode())
    return client


async def _talk(running: Running, *lines: bytes, door: str = "mx") -> list[bytes]:
    """Say lines one after the other; the last line of each answer, the banner first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port(door))
    answers = []
    for line in (b"", *lines):
        if line:
            writer.write(line)
        while (answer := await reader.readline())[3:4] == b"-":
            pass
        answers.append(answer)
        if not answer:
            break
    writer.close()
    return answers


def test_a_message_lies_in_the_mailbox_when_250_is_said(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        def send() -> None:
            with _client(running, tls=True) as client:
                client.sendmail("a@remote.test", ["alice@local.test", "team@local.test", "ALICE+tag@local.test"], MESSAGE)

        await asyncio.to_thread(send)
        (copy,) = await stored(running, "alice")
        assert copy.startswith(b"Return-Path: <a@remote.test>\r\nDelivered-To: alice@local.test\r\nReceived: from client.test ")
        assert copy.endswith(b"\r\n" + MESSAGE)
        assert b"with ESMTPS id" in copy
        (copy,) = await stored(running, "bob")
        assert b"Delivered-To: team@local.test\r\n" in copy

    in_house(tmp_path, work)


def test_the_journey_tells_every_step_up_to_the_commit(tmp_path: Path) -> None:
    async def work(running: Running) -> list[str]:
        def send() -> None:
            with _client(running, tls=True) as client:
                client.sendmail("a@remote.test", ["alice@local.test"], MESSAGE)

        await asyncio.to_thread(send)

        def look(tx: journeys.Tx) -> list[str]:
            (found,) = journeys.find(tx, "<1@remote.test>")
            return [type(step).__name__ for step in journeys.steps_of(tx, found)]

        return await running.house.database.read(look)

    assert in_house(tmp_path, work) == [
        "Connected", "Secured", "Greeted", "SenderGiven", "RecipientGiven", "ContentReceived", "Deposited", "Committed",
    ]  # fmt: skip


def test_a_policy_may_discard_what_comes_for_one_recipient(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(
        "from ekiden.policy import Discard, RecipientContext, recipient\n"
        "@recipient\n"
        "async def machines(ctx: RecipientContext) -> Discard | None:\n"
        "    return Discard('nobody reads it') if ctx.recipient.local == 'alice' else None\n"
    )

    async def main() -> None:
        settings = SETTINGS.replace("data_dir", 'policies = ["rules.py:machines"]\ndata_dir', 1)
        async with open_house(tmp_path, settings=settings) as running, asyncio.timeout(60):

            def send() -> None:
                with _client(running) as client:
                    client.sendmail("a@remote.test", ["alice@local.test"], MESSAGE)
                    client.sendmail("a@remote.test", ["alice@local.test", "bob@local.test"], MESSAGE)

            await asyncio.to_thread(send)
            assert await stored(running, "alice") == []
            assert len(await stored(running, "bob")) == 1
            assert [event for event, _ in running.lines].count("message-discarded") == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        (b"nobody@local.test", b"550 5.1.1"),
        (b"v@remote.test", b"550 5.7.1"),  # RL-01, RL-09: loopback is not trusted
        (b"v%remote.test@local.test", b"550 5.1.1"),  # RL-02
        (b"remote.test!v@local.test", b"550 5.1.1"),  # RL-03
        (b'"v@remote.test"@local.test', b"550 5.1.1"),  # RL-04
        (b"@local.test:v@remote.test", b"550 5.7.1"),  # RL-05
        (b"v@[10.0.0.1]", b"550 5.7.1"),  # RL-07
        (b"carol@local.test", b"452 4.2.2"),  # SS-34
        (b"Postmaster", b"250 2.1.5"),
        (b"postmaster@local.test", b"250 2.1.5"),
        (b"alice@LOCAL.test", b"250 2.1.5"),  # RL-10
    ],
)
def test_who_may_be_written_to_by_a_stranger(tmp_path: Path, recipient: bytes, reply: bytes) -> None:
    async def work(running: Running) -> bytes:
        lines = (b"EHLO c.test\r\n", b"MAIL FROM:<a@remote.test>\r\n", b"RCPT TO:<" + recipient + b">\r\n")
        return (await _talk(running, *lines))[-1]

    assert in_house(tmp_path, work).startswith(reply)


def test_a_smuggled_message_is_refused_whole(tmp_path: Path) -> None:
    """Rows SI-01 and SI-02."""
    ends = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n"]

    async def work(running: Running) -> None:
        for end in [*ends, b"\r\n\x00.\r\n"]:
            smuggled = b"MAIL FROM:<x@evil.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\nFrom: ceo@bank.test\r\n\r\nx\r\n.\r\n"
            answers = await _talk(
                running,
                b"EHLO c.test\r\n",
                b"MAIL FROM:<a@remote.test>\r\n",
                b"RCPT TO:<alice@local.test>\r\n",
                b"DATA\r\n",
                b"S: x\r\n\r\nA" + end + smuggled,
                b"NOOP\r\n",
            )
            assert answers[-2].startswith((b"550 5.5.2", b"554 5.6.0")), (end, answers)
            assert answers[-1].startswith(b"250"), (end, answers)
        assert await stored(running, "alice") == []
        assert await stored(running, "bob") == []

    in_house(tmp_path, work)


def test_submission_asks_for_a_login_and_for_tls_first(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        lines = (b"EHLO c.test\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"MAIL FROM:<alice@local.test>\r\n")
        answers = await _talk(running, *lines, door="submission")
        assert answers[2].startswith(b"538 5.7.11")
        assert answers[3].startswith(b"530 5.7.0")

        def wrong() -> int:
            with _client(running, "submission", tls=True) as client:
                try:
                    client.login("alice", "wrong")
                except smtplib.SMTPAuthenticationError as error:
                    return error.smtp_code
            return 0

        assert await asyncio.to_thread(wrong) == 535

    in_house(tmp_path, work)


def test_a_submitted_message_is_mended_and_goes_to_mailbox_and_queue(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        def send() -> None:
            with _client(running, "submission", tls=True, login="alice@local.test") as client:
                raw = b"From: alice@local.test\r\nBcc: secret@remote.test\r\nSubject: s\r\n\r\nbody\r\n"
                client.sendmail("alice@local.test", ["bob@local.test", "x@remote.test"], raw)

        await asyncio.to_thread(send)
        (copy,) = await stored(running, "bob")
        assert b"Bcc" not in copy
        assert b"\r\nMessage-ID: <" in copy
        assert b"\r\nDate: " in copy
        assert b"with ESMTPSA id" in copy
        waiting = await running.house.database.read(queue.waiting)
        assert [(each.recipient, each.next_hop, each.status) for each in waiting] == [("x@remote.test", "remote.test", "due")]

    in_house(tmp_path, work)


@pytest.mark.parametrize(
    ("sender", "author", "code"),
    [
        ("bob@local.test", "alice@local.test", 553),  # AU-26
        ("alice@local.test", "bob@local.test", 550),  # AU-27
        ("alice@local.test", "alice@local.test, bob@local.test", 550),
        ("alice+x@local.test", "Alice <alice+y@local.test>", 250),
    ],
)
def test_a_sender_must_be_the_accounts_own(tmp_path: Path, sender: str, author: str, code: int) -> None:
    async def work(running: Running) -> int:
        def send() -> int:
            with _client(running, "submission", tls=True, login="alice") as client:
                try:
                    client.sendmail(sender, ["bob@local.test"], f"From: {author}\r\n\r\nx\r\n".encode())
                except smtplib.SMTPSenderRefused as error:
                    return error.smtp_code
                except smtplib.SMTPDataError as error:
                    return error.smtp_code
            return 250

        return await asyncio.to_thread(send)

    assert in_house(tmp_path, work) == code


def test_a_large_message_goes_through_a_file_and_comes_back_whole(tmp_path: Path) -> None:
    raw = b"Subject: large\r\n\r\n" + (b"0123456789" * 7 + b"\r\n") * 20_000

    async def work(running: Running) -> None:
        def send() -> None:
            with _client(running) as client:
                client.sendmail("a@remote.test", ["alice@local.test"], raw)

        await asyncio.to_thread(send)
        (copy,) = await stored(running, "alice")
        assert copy.endswith(raw)

    in_house(tmp_path, work)
    files = [path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in files] == [len(raw)]


def test_a_loop_of_a_hundred_hops_is_stopped(tmp_path: Path) -> None:
    async def work(running: Running) -> int:
        def send() -> int:
            with _client(running) as client:
                try:
                    client.sendmail("a@remote.test", ["alice@local.test"], b"Received: from x by y\r\n" * 100 + MESSAGE)
                except smtplib.SMTPDataError as error:
                    return error.smtp_code
            return 250

        return await asyncio.to_thread(send)

    assert in_house(tmp_path, work) == 554


def test_half_a_message_leaves_nothing(tmp_path: Path) -> None:
    """Row SI-28."""

    async def work(running: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port("mx"))
        writer.write(b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@local.test>\r\nDATA\r\n")
        await reader.readuntil(b"354 ")
        writer.write(b"x" * 600_000)
        await writer.drain()
        writer.write_eof()
        await reader.read()
        writer.close()
        assert await stored(running, "alice") == []

    in_house(tmp_path, work)
    assert [path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()] == []


def test_commands_in_clear_behind_starttls_are_never_run(tmp_path: Path) -> None:
    """Row TL-01."""

    async def work(running: Running) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port("mx"))
        writer.write(b"EHLO c.test\r\n")
        await reader.readuntil(b"250 STARTTLS\r\n")
        writer.write(b"STARTTLS\r\nMAIL FROM:<x@evil.test>\r\n")
        assert (await reader.read()).startswith(b"501")
        writer.close()

    in_house(tmp_path, work)


def test_whole_way_puts_mail_for_our_own_people_into_the_queue(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        def send() -> None:
            with _client(running, "submission", tls=True, login="alice") as client:
                client.sendmail("alice@local.test", ["bob@local.test", "x@remote.test"], b"From: alice@local.test\r\n\r\nx\r\n")

        await asyncio.to_thread(send)
        waiting = await running.house.database.read(queue.waiting)
        assert sorted((each.recipient, each.status) for each in waiting) == [("bob@local.test", "due"), ("x@remote.test", "held")]
        steps = await running.house.database.read(lambda tx: journeys.steps_of(tx, waiting[0].envelope))
        assert [step.status for step in steps if isinstance(step, journey.Queued)] == ["due", "held"]

    in_house(tmp_path, work, mode=Mode(whole_way=True, hold_outside="development"))
