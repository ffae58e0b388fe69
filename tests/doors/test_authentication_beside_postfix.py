"""The same mail to Ekiden and to Postfix with OpenDKIM and OpenDMARC, on a host of their own: both say the same of it."""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.doors.server import Ekiden, Settings
from tests.mailauth.signing import public_of, record_of, rsa_key
from tests.peers.dns import Dnsmasq, Record
from tests.peers.milters import Milters, results
from tests.peers.network import Host, inside, two_hosts
from tests.peers.postfix import Postfix
from tests.peers.process import until

from ekiden.base.clock import Millis
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dkim import sign
from ekiden.mailauth.dkim_key import SigningKey

METHODS = ("spf", "dkim", "dmarc")


@dataclass(frozen=True, slots=True)
class Case:
    """One letter. wanted: SPF, DKIM and DMARC, or () if it is refused; sender: of the envelope; signer: the domain that signs it, or "" for
    nobody; harm: what changes it afterwards."""

    name: str
    wanted: tuple[str, ...]
    author: str
    sender: str
    signer: str = ""
    harm: tuple[bytes, bytes] = (b"", b"")


CASES = [
    Case("all-well", ("pass", "pass", "pass"), "bob@good.test", "bob@good.test", "good.test"),
    Case("spf-alone", ("pass", "none", "pass"), "bob@good.test", "bob@good.test"),
    Case("dkim-alone", ("fail", "pass", "pass"), "bob@good.test", "bob@away.test", "good.test"),
    Case("neither-aligned", ("pass", "pass", "fail"), "bob@lax.test", "bob@good.test", "good.test"),
    Case("body-changed", ("fail", "fail", "fail"), "bob@lax.test", "bob@away.test", "lax.test", (b"hello", b"jello")),
    Case("subject-changed", ("fail", "fail", "fail"), "bob@lax.test", "bob@away.test", "lax.test", (b"Subject: ", b"Subject: [list] ")),
    Case("sub-domain", ("pass", "pass", "pass"), "bob@news.good.test", "bob@good.test", "good.test"),
    Case("strict", ("pass", "pass", "fail"), "bob@strict.test", "bob@mail.strict.test", "mail.strict.test"),
    Case("no-policy", ("pass", "none", "none"), "bob@plain.test", "bob@plain.test"),
    Case("spoofed", (), "ceo@good.test", "x@away.test"),
    Case("spoofed-with-a-signature-of-its-own", (), "ceo@good.test", "x@plain.test", "plain.test"),
]
OTHERWISE = {"strict"}
"""OpenDMARC 1.4.2 lets a sub-domain pass although aspf=s and adkim=s want the very domain of From (RFC 7489 §3.1.1, §3.1.2)."""
SIGNERS = ("good.test", "lax.test", "plain.test", "mail.strict.test")


def _records(sender: str, names: str) -> list[Record]:
    key = base64.b64encode(public_of(rsa_key())).decode()
    text = f'"v=DKIM1; k=rsa; p={key[:200]}" "{key[200:]}"'
    return [
        Record("_dmarc.test", "TXT", '"nothing of DMARC"'),
        Record("good.test", "TXT", f'"v=spf1 ip4:{sender} -all"'),
        Record("news.good.test", "A", "192.0.2.9"),
        Record("_dmarc.good.test", "TXT", '"v=DMARC1; p=reject"'),
        Record("away.test", "TXT", '"v=spf1 -all"'),
        Record("lax.test", "TXT", '"v=spf1 -all"'),
        Record("_dmarc.lax.test", "TXT", '"v=DMARC1; p=none"'),
        Record("mail.strict.test", "TXT", f'"v=spf1 ip4:{sender} -all"'),
        Record("_dmarc.strict.test", "TXT", '"v=DMARC1; p=none; aspf=s; adkim=s"'),
        Record("plain.test", "TXT", f'"v=spf1 ip4:{sender} -all"'),
        *(Record(f"sel._domainkey.{domain}", "TXT", text) for domain in SIGNERS),
        Record("sel._domainkey.postfix.test", "TXT", text),
    ]


@dataclass(frozen=True, slots=True)
class Both:
    """The two receivers on one host, and the host that sends."""

    ekiden: Ekiden
    postfix: Postfix
    sender: Host
    receiver: Host


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("both")
    with ExitStack() as stack:
        left, right = stack.enter_context(two_hosts())
        records = _records(left.address, right.address)
        dns = Dnsmasq(folder / "dns", port=53, host=right.address, network=right.network, records=records)
        stack.callback(dns.stop)
        pem = rsa_key().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        milters = Milters(
            folder / "milters", ports=(8891, 8893), authserv_id="postfix.test", domain="postfix.test", selector="sel", key=pem,
            dns=right.address, network=right.network,
            keys={f"sel._domainkey.{domain}": record_of(rsa_key()) for domain in (*SIGNERS, "postfix.test")},
        )  # fmt: skip
        stack.callback(milters.stop)
        postfix = Postfix(
            folder / "postfix", port=2525, certificate=certificate[2], domains=["two.test"], boxes=["bob@two.test"], host=right.address,
            network=right.network, settings={**milters.settings, "mynetworks": "127.0.0.0/8"},
        )  # fmt: skip
        stack.callback(postfix.stop)
        chosen = Settings(
            domain="two.test", hostname="mx.two.test", network=right.network, mx_host=right.address, ports={"mx": 25},
            doors=("mx", "imaps"), dns_host=right.address, dns_port=53,
            more={"": ['policies = ["builtin:authentication", "builtin:dmarc"]']},
        )  # fmt: skip
        ekiden = Ekiden(folder / "ekiden", certificate, chosen)
        stack.callback(ekiden.kill)
        yield Both(ekiden, postfix, left, right)
        ekiden.stop()


def _letter(case: Case) -> bytes:
    raw = (
        f"From: {case.author}\r\nTo: bob@two.test\r\nSubject: {case.name}\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{case.name}@x.test>\r\n\r\nhello  \r\n\r\nthere\r\n\r\n"
    ).encode()
    if case.signer:
        key = SigningKey(case.signer, "sel", rsa_key().key)
        raw = sign(raw, parse_headers(raw), [key], Millis(1_790_000_000_000)) + raw
    return raw.replace(*case.harm, 1) if case.harm[0] else raw


def _send(both: Both, port: int, case: Case) -> int:
    """The code of the answer to the final dot."""
    with inside(both.sender.network), smtplib.SMTP(both.receiver.address, port, local_hostname="out.good.test", timeout=30) as client:
        client.ehlo()
        client.mail(case.sender)
        client.rcpt("bob@two.test")
        return client.data(_letter(case))[0]


def _of(messages: list[bytes], case: Case) -> bytes:
    (found,) = [each for each in messages if f"<{case.name}@x.test>".encode() in each]
    return found


@pytest.mark.peer("milters", "postfix", "dnsmasq", "netns")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_say_the_same(both: Both, case: Case) -> None:
    assert {_send(both, port, case) for port in (25, 2525)} == {250 if case.wanted else 550}
    if not case.wanted:
        return
    until(lambda: any(f"<{case.name}@x.test>".encode() in each for each in both.postfix.mailbox("bob@two.test")), "postfix delivers", 30)
    theirs = results(_of(both.postfix.mailbox("bob@two.test"), case), "postfix.test")
    ours = results(_of(both.ekiden.inbox("bob"), case), "mx.two.test")
    wanted = {method: {result} for method, result in zip(METHODS, case.wanted, strict=True)}
    assert {method: ours.get(method, {"none"}) for method in METHODS} == wanted
    if case.name in OTHERWISE:
        assert theirs.pop("dmarc") == {"pass"}
        del wanted["dmarc"]
    assert {method: theirs.get(method, {"none"}) for method in wanted} == wanted
