"""The development mode: a whole mail server on loopback with two demo accounts, and a first message that shows its way.

The outside world is replaced by a zone of our own: mail from alice to bob goes through submission, queue, MX lookup, SMTP to our
own MX door, judgement and commit into bob's mailbox, as it would between two servers. Mail to other domains is held.
"""

from __future__ import annotations

import asyncio
import imaplib
import os
import secrets
import smtplib
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from ipaddress import IPv4Address
from pathlib import Path

from ekiden.app import config as configuration
from ekiden.app.config import Config
from ekiden.app.data_dir import DEVELOPMENT_MARK, prepare_data_dir
from ekiden.app.wiring import House, Mode
from ekiden.app.worker import run
from ekiden.base.endpoint import parse_endpoint
from ekiden.base.errors import EkidenError
from ekiden.base.texts import text
from ekiden.sasl.passwords import Passwords
from ekiden.services import timeline
from ekiden.store import accounts, journeys
from ekiden.testing.certificates import make_certificate
from ekiden.testing.dns import FakeZone, ServedZone

HOSTNAME = "mail.example.test"
DOMAIN = "example.test"
PEOPLE = ("alice", "bob")
PASSWORD = "ekiden"
_FIRST_MARK = "first-mail-sent"
_WAIT_S = 30.0

_SETTINGS = f"""\
# Made by the development mode; change what you like. Outside mail is held unless outbound.smarthost.server is set.
hostname = "{HOSTNAME}"
domains = ["{DOMAIN}"]
data_dir = "."

[listeners]
mx = ["127.0.0.1:1025"]
submission = ["127.0.0.1:1587"]
submissions = ["127.0.0.1:1465"]
imap = ["127.0.0.1:1143"]
imaps = ["127.0.0.1:1993"]
pop3 = ["127.0.0.1:1110"]
pop3s = ["127.0.0.1:1995"]

[tls]
certificate = "certificate.pem"
key = "key.pem"

[outbound]
port = 1025

[log]
level = "warning"
"""


def main(data: Path, once: bool, lang: str = "en") -> int:
    """Start the development mode; the exit status. once: end after the first message, 0 only if bob's copy equals alice's."""
    prepare_data_dir(data, development=True)
    (data / DEVELOPMENT_MARK).touch(mode=0o600)
    settings = data / "ekiden.toml"
    if not settings.exists():
        settings.write_text(_SETTINGS, "utf-8")
    make_certificate(data / "certificate.pem", data / "key.pem", HOSTNAME)
    config = configuration.load(settings, os.environ)
    doors = config.listeners.mx
    mode = Mode(
        whole_way=True,
        hold_outside=text("dev.held", lang),
        may_dial=frozenset((IPv4Address(door.host), door.port) for door in doors if door.host[0].isdigit()),
    )
    zone = FakeZone({DOMAIN: [f"MX 10 {HOSTNAME}."], HOSTNAME: ["A 127.0.0.1"]})
    served = ServedZone(zone)

    @asynccontextmanager
    async def around() -> AsyncIterator[Mode]:
        async with served as server:
            yield replace(mode, name_servers=(parse_endpoint(server.address),))

    async def ready(house: House) -> int | None:
        return await _begin(house, data, once, lang)

    return run(config, around=around, development=True, ready=ready)


async def _begin(house: House, data: Path, once: bool, lang: str) -> int | None:
    """Accounts, the first message, what to do next. Serves on, unless once."""
    await _make_people(house)
    first = data / _FIRST_MARK
    worked = True
    if once or not first.exists():
        worked = await _first_message(house, data, lang)
        if worked:
            first.touch(mode=0o600)
    if once:
        return 0 if worked else 1
    print(_next_steps(house.config, data, lang), flush=True)
    await asyncio.Event().wait()
    return None


async def _make_people(house: House) -> None:
    passwords = Passwords()
    for name in PEOPLE:
        stored = await asyncio.to_thread(passwords.hash, PASSWORD.encode())

        def make(tx: journeys.Tx, name: str = name, stored: str = stored) -> None:
            if accounts.credentials_of(tx, name) is None:
                accounts.create_account(tx, name, [f"{name}@{DOMAIN}"], stored, house.clock.now())

        await house.database.write(make)


async def _first_message(house: House, data: Path, lang: str) -> bool:
    """alice writes to bob and bob reads it; prints the journey. True if bob's copy equals alice's message."""
    mark = secrets.token_hex(8)
    raw = (
        f"From: Alice <alice@{DOMAIN}>\r\nTo: Bob <bob@{DOMAIN}>\r\nSubject: {text('dev.subject', 'en')}\r\n"
        f"Date: {formatdate(localtime=True)}\r\nMessage-ID: <{mark}@{DOMAIN}>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        f"{text('dev.body', 'en')}\r\n{text('dev.body', 'ja')}\r\n"
    ).encode()
    trust = ssl.create_default_context(cafile=str(data / "certificate.pem"))
    trust.check_hostname = False
    try:
        await asyncio.to_thread(_send, house.config, trust, raw)
        copy = await asyncio.to_thread(_fetch, house.config, trust, f"<{mark}@{DOMAIN}>")
    except (OSError, smtplib.SMTPException, imaplib.IMAP4.error, EkidenError) as error:
        print(text("dev.first-failed", lang, error=f"{type(error).__name__}: {error}"), file=sys.stderr, flush=True)
        return False
    print(await _journey(house, f"<{mark}@{DOMAIN}>", lang), flush=True)
    same = copy is not None and copy.endswith(raw)
    print(text("dev.same" if same else "dev.different", lang), flush=True)
    return same


def _send(config: Config, trust: ssl.SSLContext, raw: bytes) -> None:
    door = config.listeners.submission[0]
    with smtplib.SMTP(door.host, door.port, timeout=_WAIT_S) as client:
        client.starttls(context=trust)
        client.login("alice", PASSWORD)
        client.sendmail(f"alice@{DOMAIN}", [f"bob@{DOMAIN}"], raw, ["BODY=8BITMIME"])


def _fetch(config: Config, trust: ssl.SSLContext, message_id: str) -> bytes | None:
    """Wait until bob's INBOX has the message and fetch it; None if it does not come."""
    door = config.listeners.imaps[0]
    with imaplib.IMAP4_SSL(door.host, door.port, ssl_context=trust, timeout=_WAIT_S) as client:
        client.login("bob", PASSWORD)
        client.select("INBOX")
        for _ in range(int(_WAIT_S * 10)):
            _, found = client.search(None, "HEADER", "Message-ID", f'"{message_id}"')
            if found and found[0]:
                number = found[0].split(b" ")[-1].decode()
                _, answer = client.fetch(number, "(BODY.PEEK[])")
                item = answer[0] if answer else None
                return item[1] if isinstance(item, tuple) else None
            client.noop()
            _pause()
    return None


def _pause() -> None:
    import time  # in a thread of its own, between two looks into the mailbox

    time.sleep(0.1)


async def _journey(house: House, message_id: str, lang: str) -> str:
    def both(tx: journeys.Tx) -> list[str]:
        return [timeline.render(journeys.steps_of(tx, found), lang) for found in sorted(journeys.find(tx, message_id))]

    await house.database.write(lambda tx: None)  # takes along what waits for the next batch: that bob has fetched it
    return "\n\n".join(await house.database.read(both))


def _command() -> str:
    """How whoever reads this calls us, from where he stands."""
    called = Path(sys.argv[0])
    if called.name != "ekiden":
        return "python -m ekiden"
    path = called.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else "ekiden"


def _next_steps(config: Config, data: Path, lang: str) -> str:
    doors = config.listeners
    return text(
        "dev.next",
        lang,
        mx=doors.mx[0],
        submission=doors.submission[0],
        submissions=doors.submissions[0],
        imap=doors.imap[0],
        imaps=doors.imaps[0],
        pop3=doors.pop3[0],
        pop3s=doors.pop3s[0],
        command=_command(),
        password=PASSWORD,
        domain=DOMAIN,
        settings=data / "ekiden.toml",
        data=data,
    )
