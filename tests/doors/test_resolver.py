"""Ekiden's own resolver asks real name servers over UDP and TCP: mail finds its way by their MX records."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.peers.dns import Dnsmasq, Knot, Record
from tests.peers.process import free_port

LETTER = b"From: alice@one.test\r\nTo: bob@two.test\r\nSubject: by MX\r\n\r\nfound\r\n"
# A preferred host where nobody answers comes first.
ZONE = [
    Record("two.test", "MX", "5 dead.two.test."),
    Record("two.test", "MX", "10 mx.two.test."),
    Record("dead.two.test", "A", "127.0.0.99"),
    Record("mx.two.test", "A", "127.0.0.1"),
    Record("three.test", "A", "127.0.0.1"),
    Record("null.test", "MX", "0 ."),
]


@pytest.mark.parametrize(
    "server", [pytest.param(Knot, marks=pytest.mark.peer("knot")), pytest.param(Dnsmasq, marks=pytest.mark.peer("dnsmasq"))]
)
def test_mail_goes_where_the_mx_records_lead(
    server: type[Knot] | type[Dnsmasq], tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    names, far = free_port(), free_port()
    records = ZONE if server is Knot else [record for record in ZONE if record.value != "0 ."]
    zone = server(tmp_path / "dns", port=names, records=records)
    theirs = Ekiden(
        tmp_path / "two",
        certificate,
        Settings(domain="two.test", hostname="mx.two.test", ports={"mx": far}, accounts=("bob",), dns_port=names),
    )
    ours = Ekiden(tmp_path / "one", certificate, Settings(accounts=("alice",), dns_port=names, outbound_port=far))
    try:
        theirs.command("domain", "add", "three.test")
        theirs.command("account", "add", "bob3@three.test", "--password-stdin", input="correct horse\n")
        with ours.smtp("submissions", "alice") as client:
            client.sendmail("alice@one.test", ["bob@two.test"], LETTER)
            client.sendmail("alice@one.test", ["bob3@three.test"], LETTER)  # no MX: the address of the name itself
            if server is Knot:
                client.sendmail("alice@one.test", ["bob@null.test"], LETTER)  # RFC 7505 §3
                client.sendmail("alice@one.test", ["bob@no-such-name.test.two.test"], LETTER)
        assert theirs.wait_inbox("bob", 1)[0].endswith(LETTER.split(b"\r\n\r\n")[1])
        if server is Knot:
            reports = b"".join(ours.wait_inbox("alice", 2))
            assert b"bob@null.test" in reports
            assert b"bob@no-such-name.test.two.test" in reports
    finally:
        ours.stop()
        theirs.stop()
        zone.stop()
