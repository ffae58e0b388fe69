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
from tests.mailauth.signing import record_of, rsa_key
from tests.peers.dns import Dnsmasq, Record
from tests.peers.milters import Milters, results
from tests.peers.network import two_hosts
from tests.peers.postfix import Postfix
from tests.peers.process import until

JUDGED = {"": ['policies = ["builtin:authentication", "builtin:dmarc"]']}
LETTER = b"From: alice@one.test\r\nTo: bob@two.test\r\nSubject: %s\r\n\r\nhello  \r\n\r\nthere\r\n"


@dataclass(frozen=True, slots=True)
class Three:
    """Who takes part. to_ekiden, to_postfix: one.test, whose mail leaves for port 25 and for port 2525."""

    to_ekiden: Ekiden
    to_postfix: Ekiden
    two: Ekiden
    postfix: Postfix


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
        ]
        keys: dict[str, bytes] = {}
        for sender in senders:
            for made in json.loads(sender.command("dkim", "new", "one.test", "--selector", f"s{sender.ports['mx']}", "--json")):
                records.append(Record(made["name"], "TXT", _text(made["value"].encode())))
                keys[made["name"]] = made["value"].encode()
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


def _submit(sender: Ekiden, subject: bytes) -> None:
    with sender.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", ["bob@two.test"], LETTER % subject)


@pytest.mark.peer("milters", "postfix", "dnsmasq", "netns")
def test_ekiden_finds_good_what_ekiden_signs(three: Three) -> None:
    _submit(three.to_ekiden, b"to-ekiden")
    (message,) = three.two.wait_inbox("bob", 1)
    assert message.count(b"DKIM-Signature:") == 2  # RSA and Ed25519
    assert results(message, "mx.two.test") == {"spf": {"pass"}, "dkim": {"pass"}, "dmarc": {"pass"}}


@pytest.mark.peer("milters", "postfix", "dnsmasq", "netns")
def test_postfix_finds_good_what_ekiden_signs(three: Three) -> None:
    _submit(three.to_postfix, b"to-postfix")
    until(lambda: three.postfix.count("bob@two.test") == 1, "postfix delivers", 30)
    found = results(three.postfix.mailbox("bob@two.test")[0], "postfix.test")
    assert "pass" in found["dkim"]
    assert (found["spf"], found["dmarc"]) == ({"pass"}, {"pass"})


@pytest.mark.peer("milters", "postfix", "dnsmasq", "netns")
def test_ekiden_finds_good_what_postfix_signs(three: Three) -> None:
    three.postfix.sendmail("carol@postfix.test", ["alice@one.test"], b"From: carol@postfix.test\nTo: alice@one.test\nSubject: back\n\nhi\n")
    (message,) = three.to_ekiden.wait_inbox("alice", 1)
    assert results(message, "mx.one.test") == {"spf": {"pass"}, "dkim": {"pass"}, "dmarc": {"pass"}}
