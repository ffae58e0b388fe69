"""An alias that leads to another server, on real servers: what arrives there, where bounces go, and that no letter goes round.

one.test is an Ekiden with aliases to two.test, which is another one and also has the mail of the authors at sender.test. The SPF record of
sender.test forbids us all to send for it, so only what survives the way can pass there.
"""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dkim as dkimpy
import pytest
from tests.app.zones import served
from tests.doors.server import Ekiden, Settings
from tests.mailauth.signing import record_of, rsa_key
from tests.peers.milters import results
from tests.peers.process import free_port, until

from ekiden.base.clock import Millis
from ekiden.dns.records import Txt
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dkim import sign
from ekiden.mailauth.dkim_key import SigningKey
from ekiden.testing.dns import FakeZone

JUDGED = ['policies = ["builtin:authentication", "builtin:dmarc"]']
ALIASES = {"list": "bob@two.test", "gone": "nobody@two.test", "round": "round@two.test"}
AT = Millis(1_790_000_000_000)


@dataclass(frozen=True, slots=True)
class Two:
    """The forwarder, the server behind it, and the DNS."""

    one: Ekiden
    two: Ekiden
    zone: FakeZone

    def txt(self, name: bytes, timeout: int = 5) -> bytes | None:
        """What dkimpy asks for."""
        records = self.zone.get(name.decode().rstrip("."), ())
        return next((record.value for record in records if isinstance(record, Txt)), None)


def _key_record(value: bytes) -> Txt:
    return Txt(tuple(value[at : at + 200] for at in range(0, len(value), 200)))


def _zone() -> FakeZone:
    zone = FakeZone({f"mx.{name}.test": ["A 127.0.0.1"] for name in ("one", "two")})
    zone["one.test"] = ["MX 10 mx.one.test.", 'TXT "v=spf1 ip4:127.0.0.1 -all"']
    zone["two.test"] = ["MX 10 mx.two.test.", 'TXT "v=spf1 ip4:127.0.0.1 -all"']
    zone["sender.test"] = ["MX 10 mx.two.test.", 'TXT "v=spf1 -all"']
    zone["_dmarc.sender.test"] = ['TXT "v=DMARC1; p=reject"']
    zone["sel._domainkey.sender.test"] = [_key_record(record_of(rsa_key()))]
    return zone


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("forwarding")
    zone = _zone()
    with ExitStack() as stack:
        names = int(stack.enter_context(served(zone)).rpartition(":")[2])
        ports = free_port(), free_port()
        more = {"": JUDGED, "forwarding": ["seal = true"]}
        first = Settings(doors=("mx", "submissions"), ports={"mx": ports[0]}, dns_port=names, outbound_port=ports[1], more=more)
        second = Settings(
            domain="two.test", hostname="mx.two.test", doors=("mx", "imaps"), ports={"mx": ports[1]}, dns_port=names,
            outbound_port=ports[0],
            more=more,
        )  # fmt: skip
        one, two = Ekiden(folder / "one", certificate, first), Ekiden(folder / "two", certificate, second)
        stack.callback(one.kill)
        stack.callback(two.kill)
        for made in json.loads(one.command("dkim", "new", "one.test", "--json")):
            zone[made["name"]] = [_key_record(made["value"].encode())]
        one.command("dkim", "activate", "one.test")
        for name, target in ALIASES.items():
            one.command("alias", "add", f"{name}@one.test", target)
        two.command("alias", "add", "round@two.test", "round@one.test")
        two.command("domain", "add", "sender.test")
        for name in ("carol", "dave", "erin"):
            two.command("account", "add", f"{name}@sender.test", "--password-stdin", input=two.settings.password + "\n")
        yield Two(one, two, zone)
        one.stop()
        two.stop()


def _letter(author: str, subject: str) -> bytes:
    raw = (
        f"From: {author}@sender.test\r\nTo: list@one.test\r\nSubject: {subject}\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{subject}@sender.test>\r\nX-Odd:  two  blanks\t\r\n\r\nhello  \r\n\r\n.\r\nthere \t \r\n\r\n\r\n"
    ).encode()
    return sign(raw, parse_headers(raw), [SigningKey("sender.test", "sel", rsa_key().key)], AT) + raw


def _send(server: Ekiden, sender: str, recipient: str, raw: bytes) -> tuple[int, bytes]:
    """The answer to the final dot, or to the command that was refused before it."""
    with smtplib.SMTP("127.0.0.1", server.ports["mx"], local_hostname="out.sender.test", timeout=30) as client:
        client.ehlo()
        for answer in (client.mail(sender), client.rcpt(recipient)):
            if answer[0] != 250:
                return answer
        return client.data(raw)


def _sender_at_the_end(message: bytes) -> str:
    return parse_headers(message).all(b"return-path")[0].strip().decode().strip("<>")


def _login(server: Ekiden, address: str) -> list[bytes]:
    """The INBOX of an account of a second domain."""
    name, _, domain = address.partition("@")
    settings = server.settings
    server.settings = Settings(domain=domain, doors=settings.doors, password=settings.password)
    try:
        return server.inbox(name)
    finally:
        server.settings = settings


def _wait(server: Ekiden, address: str, count: int) -> list[bytes]:
    until(lambda: len(_login(server, address)) >= count, f"{address} has {count} messages", 40)
    return _login(server, address)


def test_what_is_sent_on_passes_spf_dkim_dmarc_and_arc(servers: Two) -> None:
    letter = _letter("carol", "onwards")
    assert _send(servers.one, "carol@sender.test", "list@one.test", letter)[0] == 250
    (message,) = servers.two.wait_inbox("bob", 1)
    assert message.endswith(letter), "not an octet of what the author signed may change"
    assert _sender_at_the_end(message).startswith("SRS0=")
    assert _sender_at_the_end(message).endswith("=sender.test=carol@one.test")
    assert results(message, "mx.one.test") == {"spf": {"fail"}, "dkim": {"pass"}, "dmarc": {"pass"}}
    assert results(message, "mx.two.test") == {"spf": {"pass"}, "dkim": {"pass"}, "dmarc": {"pass"}}
    assert b"arc=pass" in message[: message.index(b"ARC-Seal:")]
    assert dkimpy.verify(letter, dnsfunc=servers.txt)
    sent = message[message.index(b"ARC-Seal:") :]
    assert dkimpy.verify(sent, dnsfunc=servers.txt)
    status, sets, because = dkimpy.arc_verify(sent, dnsfunc=servers.txt)
    assert (status, len(sets)) == (b"pass", 1), because
    assert dkimpy.arc_verify(sent.replace(b"hello", b"jello"), dnsfunc=servers.txt)[0] == b"fail"


def test_a_bounce_finds_the_author(servers: Two) -> None:
    """As a server far behind the alias would send it, days later."""
    assert _send(servers.one, "dave@sender.test", "list@one.test", _letter("dave", "too-far"))[0] == 250
    until(lambda: any(b"<too-far@" in each for each in servers.two.inbox("bob")), "it is delivered", 40)
    (message,) = [each for each in servers.two.inbox("bob") if b"<too-far@" in each]
    rewritten = _sender_at_the_end(message)
    bounce = b"From: postmaster@far.test\r\nTo: x@one.test\r\nSubject: not delivered\r\nMessage-ID: <b@far.test>\r\n\r\nsorry\r\n"
    refused = _send(servers.one, "mallory@far.test", rewritten, bounce)
    assert refused[0] == 550, refused
    broken = rewritten.replace("=sender.test=dave", "=sender.test=erin")
    assert _send(servers.one, "", broken, bounce)[0] == 550
    assert _send(servers.one, "", rewritten.swapcase(), bounce)[0] == 250
    (arrived,) = _wait(servers.two, "dave@sender.test", 1)
    assert arrived.endswith(bounce)
    assert _sender_at_the_end(arrived) == ""


def test_the_author_hears_of_an_alias_that_leads_nowhere(servers: Two) -> None:
    assert _send(servers.one, "carol@sender.test", "gone@one.test", _letter("carol", "nowhere"))[0] == 250
    (report,) = _wait(servers.two, "carol@sender.test", 1)
    assert _sender_at_the_end(report) == ""
    assert b"Final-Recipient: rfc822;nobody@two.test" in report.replace(b"rfc822; ", b"rfc822;")
    assert b"<nowhere@sender.test>" in report


def test_two_aliases_that_lead_to_each_other_end_in_one_report(servers: Two) -> None:
    assert _send(servers.one, "erin@sender.test", "round@one.test", _letter("erin", "round"))[0] == 250
    (report,) = _wait(servers.two, "erin@sender.test", 1)
    assert _sender_at_the_end(report) == ""
    assert b"<round@sender.test>" in report
    assert b"5.4.6" in report
    for server in (servers.one, servers.two):
        until(lambda server=server: json.loads(server.command("queue", "list", "--json")) == [], "nothing waits", 30)  # type: ignore[misc]
    assert len(_login(servers.two, "erin@sender.test")) == 1
