"""The foreign servers start, answer and end: proof that a failing door test is about our door."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import ssl
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from dns.resolver import Resolver
from tests.peers.dns import Dnsmasq, Knot, Record, Unbound
from tests.peers.dovecot import Dovecot
from tests.peers.postfix import Postfix
from tests.peers.process import answers, free_port, until

Certificate = tuple[Path, Path, Path]
ZONE = [
    Record("two.test", "MX", "10 mx.two.test."),
    Record("mx.two.test", "A", "127.0.0.7"),
    Record("two.test", "TXT", '"v=spf1 mx -all"'),
]


@pytest.mark.peer("postfix", "smtplib")
def test_postfix_takes_mail_over_tls_and_from_its_own_sendmail(tmp_path: Path, certificate: Certificate) -> None:
    postfix = Postfix(tmp_path, port=free_port(), certificate=certificate[2], domains=["two.test"], boxes=["bob@two.test"])
    try:
        with smtplib.SMTP("localhost", postfix.port, timeout=20) as client:
            client.starttls(context=ssl.create_default_context(cafile=str(certificate[0])))
            client.sendmail("alice@one.test", ["bob@two.test"], b"Subject: one\r\n\r\n.dot\r\n")
        postfix.sendmail("alice@one.test", ["bob@two.test"], b"Subject: two\n\ntext\n")
        until(lambda: postfix.count("bob@two.test") == 2, "both messages are delivered")
        assert any(b"\n\n.dot\n" in message for message in postfix.mailbox("bob@two.test"))
        assert "empty" in postfix.queue()
    finally:
        postfix.stop()
    until(lambda: not answers(postfix.port), "its namespace took all its processes along")


@pytest.mark.peer("dovecot", "imaplib", "poplib")
def test_dovecot_shows_a_message_over_imap_and_pop3(tmp_path: Path, certificate: Certificate) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    dovecot = Dovecot(tmp_path, imap=free_port(), pop3=free_port(), certificate=certificate[2])
    try:
        dovecot.put("bob", b"Subject: hello\r\n\r\nbody\r\n")
        with imaplib.IMAP4("localhost", dovecot.imap, timeout=20) as imap:
            imap.starttls(trusted)
            imap.login("bob", dovecot.password)
            assert imap.select() == ("OK", [b"1"])
        pop3 = poplib.POP3("localhost", dovecot.pop3, timeout=20)
        pop3.stls(trusted)
        pop3.user("bob")
        pop3.pass_(dovecot.password)
        assert pop3.retr(1)[1] == [b"Subject: hello", b"", b"body"]
        pop3.quit()
    finally:
        dovecot.stop()


@pytest.mark.parametrize(
    "server", [pytest.param(Knot, marks=pytest.mark.peer("knot")), pytest.param(Dnsmasq, marks=pytest.mark.peer("dnsmasq"))]
)
def test_name_servers_answer_from_the_zone_over_udp_and_tcp(server: type[Knot] | type[Dnsmasq], tmp_path: Path) -> None:
    running = server(tmp_path, port=free_port(), records=ZONE)
    try:
        resolver = Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], running.port
        assert [str(found) for found in resolver.resolve("two.test", "MX")] == ["10 mx.two.test."]
        assert [str(found) for found in resolver.resolve("mx.two.test", "A", tcp=True)] == ["127.0.0.7"]
        assert [str(found) for found in resolver.resolve("two.test", "TXT")] == ['"v=spf1 mx -all"']
    finally:
        running.stop()


@pytest.mark.peer("unbound", "knot")
def test_unbound_proves_what_knot_has_signed_and_asks_nobody_else(tmp_path: Path) -> None:
    knot = Knot(tmp_path / "knot", port=free_port(), records=ZONE, signed={"two.test": 0})
    try:
        unbound = Unbound(tmp_path / "unbound", port=free_port(), stubs={"two.test": knot.port}, anchors=[knot.anchor("two.test")])
        try:
            for name, rcode, flags in (("two.test", "NOERROR", "QR RD RA AD"), ("one.example", "NXDOMAIN", "QR AA RD RA")):
                query = dns.message.make_query(name, "MX", flags=dns.flags.RD | dns.flags.AD)
                answer = dns.query.udp(query, "127.0.0.1", port=unbound.port, timeout=10)
                assert (dns.rcode.to_text(answer.rcode()), dns.flags.to_text(answer.flags)) == (rcode, flags)
        finally:
            unbound.stop()
    finally:
        knot.stop()
