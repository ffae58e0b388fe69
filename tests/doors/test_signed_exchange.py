"""Two Ekidens and a Postfix with OpenDKIM and OpenDMARC write to each other: what each signs, the others find to be good.

one.test (Ekiden) is on one host; two.test is on the other, once as an Ekiden at port 25 and once as a Postfix at port 2525, which also
sends, as postfix.test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.doors.server import Ekiden, Settings
from tests.mailauth.signing import ed_key, record_of, rsa_key
from tests.peers.dns import Dnsmasq, Record
from tests.peers.milters import Milters, results
from tests.peers.network import two_hosts
from tests.peers.postfix import Postfix
from tests.peers.process import until

from ekiden.base.clock import Millis
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dkim import sign
from ekiden.mailauth.dkim_key import SigningKey

JUDGED = {"": ['policies = ["builtin:authentication", "builtin:dmarc"]']}
LETTER = b"From: alice@one.test\r\nTo: bob@two.test\r\nSubject: %s\r\n\r\nhello  \r\n\r\nthere\r\n"


@dataclass(frozen=True, slots=True)
class Three:
    """Who takes part. to_ekiden, to_postfix: one.test, whose mail leaves for port 25 and for port 2525."""

    to_ekiden: Ekiden
    to_postfix: Ekiden
    two: Ekiden
    postfix: Postfix


def _another_key(algorithm: str) -> bytes:
    """A record as it stands where somebody has published the wrong one."""
    return record_of(rsa_key() if algorithm == "rsa" else ed_key())


def _text(record: bytes) -> str:
    return " ".join(f'"{record[at : at + 200].decode()}"' for at in range(0, len(record), 200))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Three]:
    folder = tmp_path_factory.mktemp("three")
    with ExitStack() as stack:
        left, right = stack.enter_context(two_hosts())
        shared = {"mx_host": left.address, "network": left.network, "dns_host": right.address, "dns_port": 53}
        doors = ("mx", "submissions", "imaps")
        senders = []
        for port, mx in ((25, 25), (2525, 2526)):
            sender = Ekiden(
                folder / f"one-{port}", certificate, Settings(doors=doors, ports={"mx": mx}, outbound_port=port, more=JUDGED, **shared)  # type: ignore[arg-type]
            )  # fmt: skip
            stack.callback(sender.kill)
            senders.append(sender)
        records = [
            Record("_dmarc.test", "TXT", '"nothing of DMARC"'),
            Record("one.test", "TXT", f'"v=spf1 ip4:{left.address} -all"'),
            Record("one.test", "MX", "10 mx.one.test."),
            Record("mx.one.test", "A", left.address),
            Record("_dmarc.one.test", "TXT", '"v=DMARC1; p=reject"'),
            Record("two.test", "MX", "10 mx.two.test."),
            Record("mx.two.test", "A", right.address),
            Record("postfix.test", "TXT", f'"v=spf1 ip4:{right.address} -all"'),
            Record("_dmarc.postfix.test", "TXT", '"v=DMARC1; p=reject"'),
            Record("sel._domainkey.postfix.test", "TXT", _text(record_of(rsa_key()))),
            Record("lax.test", "TXT", '"v=spf1 -all"'),
            Record("_dmarc.lax.test", "TXT", '"v=DMARC1; p=none"'),
        ]
        keys: dict[str, bytes] = {"sel._domainkey.lax.test": record_of(rsa_key())}
        for sender in senders:
            for made in json.loads(sender.command("dkim", "new", "one.test", "--selector", f"s{sender.ports['mx']}", "--json")):
                records.append(Record(made["name"], "TXT", _text(made["value"].encode())))
                keys[made["name"]] = made["value"].encode()
            sender.command("domain", "add", "lax.test")
            sender.command("account", "add", "alice@lax.test", "--password-stdin", input=sender.settings.password + "\n")
            for made in json.loads(sender.command("dkim", "new", "lax.test", "--selector", f"s{sender.ports['mx']}", "--json")):
                keys[made["name"]] = _another_key(made["algorithm"])
            sender.command("dkim", "activate", "lax.test", "--force")
        records += [Record(name, "TXT", _text(value)) for name, value in keys.items() if name.endswith(".lax.test")]
        dns = Dnsmasq(folder / "dns", port=53, host=right.address, network=right.network, records=records)
        stack.callback(dns.stop)
        for sender in senders:
            sender.command("dkim", "activate", "one.test")
        pem = rsa_key().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        milters = Milters(
            folder / "milters", ports=(8891, 8893), authserv_id="postfix.test", domain="postfix.test", selector="sel", key=pem,
            dns=right.address, network=right.network, keys=keys,
        )  # fmt: skip
        stack.callback(milters.stop)
        postfix = Postfix(
            folder / "postfix", port=2525, certificate=certificate[2], domains=["two.test"], boxes=["bob@two.test"], host=right.address,
            routes={"one.test": f"{left.address}:25"}, network=right.network, settings=milters.settings,
        )  # fmt: skip
        stack.callback(postfix.stop)
        chosen = Settings(
            domain="two.test", hostname="mx.two.test", network=right.network, mx_host=right.address, ports={"mx": 25},
            doors=("mx", "imaps"), dns_host=right.address, dns_port=53, more=JUDGED,
        )  # fmt: skip
        two = Ekiden(folder / "two", certificate, chosen)
        stack.callback(two.kill)
        yield Three(senders[0], senders[1], two, postfix)
        for ekiden in (*senders, two):
            ekiden.stop()


def _submit(sender: Ekiden, subject: bytes, domain: str = "one.test") -> None:
    with sender.smtp("submissions") as client:
        client.login(f"alice@{domain}", sender.settings.password)
        letter = (LETTER % subject).replace(b"alice@one.test", f"alice@{domain}".encode())
        client.sendmail(f"alice@{domain}", ["bob@two.test"], letter)


def _with_subject(messages: list[bytes], subject: bytes) -> bytes:
    (found,) = [each for each in messages if b"\nSubject: %s\n" % subject in each.replace(b"\r", b"")]
    return found


@pytest.mark.peer("milters", "postfix", "dnsmasq", "netns")
def test_ekiden_finds_good_what_ekiden_signs(three: Three) -> None:
    _submit(three.to_ekiden, b"to-ekiden")
    until(lambda: any(b"Subject: to-ekiden" in each for each in three.two.inbox("bob")), "it arrives", 30)
    message = _with_subject(three.two.inbox("bob"), b"to-ekiden")
    assert message.count(b"DKIM-Signature:") == 2  # RSA and Ed25519
    assert results(message, "mx.two.test") == {"spf": {"pass"}, "dkim": {"pass"}, "dmarc": {"pass"}}


@pytest.mark.peer("milters", "postfix", "dnsmasq", "netns")
def test_postfix_finds_good_what_ekiden_signs(three: Three) -> None:
    _submit(three.to_postfix, b"to-postfix")
    until(lambda: any(b"Subject: to-postfix" in each for each in three.postfix.mailbox("bob@two.test")), "postfix delivers", 30)
    found = results(_with_subject(three.postfix.mailbox("bob@two.test"), b"to-postfix"), "postfix.test")
    assert "pass" in found["dkim"]
    assert (found["spf"], found["dmarc"]) == ({"pass"}, {"pass"})


@pytest.mark.peer("milters", "postfix", "dnsmasq", "netns")
def test_ekiden_finds_good_what_postfix_signs(three: Three) -> None:
    three.postfix.sendmail("carol@postfix.test", ["alice@one.test"], b"From: carol@postfix.test\nTo: alice@one.test\nSubject: back\n\nhi\n")
    until(lambda: any(b"Subject: back" in each for each in three.to_ekiden.inbox("alice")), "it arrives", 30)
    message = _with_subject(three.to_ekiden.inbox("alice"), b"back")
    assert results(message, "mx.one.test") == {"spf": {"pass"}, "dkim": {"pass"}, "dmarc": {"pass"}}


FAILED = {"spf": {"fail"}, "dkim": {"fail"}, "dmarc": {"fail"}}


@pytest.mark.peer("milters", "postfix", "dnsmasq", "netns")
def test_ekiden_and_postfix_find_bad_what_ekiden_signs_with_a_key_that_nobody_published(three: Three) -> None:
    """lax.test names no host that may send for it, and its records are of other keys; it wants nothing done."""
    _submit(three.to_ekiden, b"lax-to-ekiden", "lax.test")
    _submit(three.to_postfix, b"lax-to-postfix", "lax.test")
    until(lambda: any(b"Subject: lax-to-ekiden" in each for each in three.two.inbox("bob")), "it arrives", 30)
    assert results(_with_subject(three.two.inbox("bob"), b"lax-to-ekiden"), "mx.two.test") == FAILED
    until(lambda: any(b"Subject: lax-to-postfix" in each for each in three.postfix.mailbox("bob@two.test")), "postfix delivers", 30)
    assert results(_with_subject(three.postfix.mailbox("bob@two.test"), b"lax-to-postfix"), "postfix.test") == FAILED


@pytest.mark.peer("milters", "postfix", "dnsmasq", "netns")
def test_ekiden_finds_bad_what_was_changed_before_postfix_sent_it(three: Three) -> None:
    raw = b"From: carol@lax.test\r\nTo: alice@one.test\r\nSubject: changed\r\n\r\nhi\r\n"
    field = sign(raw, parse_headers(raw), [SigningKey("lax.test", "sel", rsa_key().key)], Millis(1_790_000_000_000))
    three.postfix.sendmail("carol@lax.test", ["alice@one.test"], (field + raw.replace(b"hi", b"bye")).replace(b"\r\n", b"\n"))
    until(lambda: any(b"Subject: changed" in each for each in three.to_ekiden.inbox("alice")), "it arrives", 30)
    assert results(_with_subject(three.to_ekiden.inbox("alice"), b"changed"), "mx.one.test") == FAILED
