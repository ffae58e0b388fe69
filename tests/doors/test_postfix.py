"""Postfix and Ekiden send to each other: STARTTLS both ways, a refusal reported, a temporary failure tried again."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.peers.dns import Dnsmasq, Record
from tests.peers.postfix import Postfix
from tests.peers.process import free_port, until

pytestmark = pytest.mark.peer("postfix", "dnsmasq")
LETTER = (
    b"From: alice@one.test\r\nTo: bob@two.test\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@one.test>\r\n"
    b"Subject: a letter\r\n\r\n.dot first\r\nend\r\n"
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[tuple[Ekiden, Postfix]]:
    """one.test is ours, two.test is Postfix's; the zone that names their hosts is served by dnsmasq."""
    folder = tmp_path_factory.mktemp("pair")
    ours, theirs, names = free_port(), free_port(), free_port()
    zone = Dnsmasq(
        folder / "dns",
        port=names,
        records=[
            Record("two.test", "MX", "10 mx.two.test."),
            Record("mx.two.test", "A", "127.0.0.1"),
            Record("one.test", "MX", "10 mx.one.test."),
            Record("mx.one.test", "A", "127.0.0.1"),
        ],
    )
    postfix = Postfix(
        folder / "postfix",
        port=theirs,
        certificate=certificate[2],
        domains=["two.test"],
        hostname="mx.two.test",
        boxes=["bob@two.test", "carol@two.test"],
        routes={"one.test": f"127.0.0.1:{ours}"},
    )
    ekiden = Ekiden(folder / "ekiden", certificate, Settings(ports={"mx": ours}, dns_port=names, outbound_port=theirs))
    yield ekiden, postfix
    try:
        ekiden.stop()
    finally:
        postfix.stop()
        zone.stop()


def test_postfix_sends_to_us_over_tls(pair: tuple[Ekiden, Postfix]) -> None:
    ekiden, postfix = pair
    before = len(ekiden.inbox("alice"))
    postfix.sendmail("bob@two.test", ["alice@one.test"], LETTER.replace(b"\r\n", b"\n"))
    stored = ekiden.wait_inbox("alice", before + 1)[-1]
    assert stored.endswith(LETTER.split(b"\r\n\r\n")[1])
    assert b"with ESMTPS" in stored.split(b"\r\n\r\n")[0]
    until(lambda: "empty" in postfix.queue(), "Postfix's queue is empty")


def test_postfix_is_told_of_an_unknown_mailbox_and_its_report_reaches_our_sender(pair: tuple[Ekiden, Postfix]) -> None:
    ekiden, postfix = pair
    before = len(ekiden.inbox("alice"))
    with smtplib.SMTP("localhost", postfix.port, timeout=20) as client:
        client.sendmail("alice@one.test", ["nobody@one.test"], LETTER)
    report = ekiden.wait_inbox("alice", before + 1)[-1]
    assert report.startswith(b"Return-Path: <>\r\n")
    assert b"550 5.1.1" in report
    assert "dsn=5.1.1" in postfix.log_text()


def test_many_messages_over_reused_connections(pair: tuple[Ekiden, Postfix]) -> None:
    ekiden, postfix = pair
    before = len(ekiden.inbox("bob"))
    for number in range(20):
        postfix.sendmail("bob@two.test", ["bob@one.test"], LETTER.replace(b"a letter", b"letter %d" % number).replace(b"\r\n", b"\n"))
    stored = ekiden.wait_inbox("bob", before + 20)[before:]
    assert sorted(int(message.split(b"Subject: letter ")[1].split(b"\r\n")[0]) for message in stored) == list(range(20))


def test_we_send_to_postfix_over_tls_both_recipients_at_once(pair: tuple[Ekiden, Postfix]) -> None:
    ekiden, postfix = pair
    before = postfix.count("bob@two.test"), postfix.count("carol@two.test")
    with ekiden.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", ["bob@two.test", "carol@two.test"], LETTER)
    until(lambda: (postfix.count("bob@two.test"), postfix.count("carol@two.test")) == (before[0] + 1, before[1] + 1), "both have it")
    for address in ("bob@two.test", "carol@two.test"):
        assert postfix.mailbox(address)[-1].endswith(b"\n\n.dot first\nend\n")
    received = postfix.mailbox("bob@two.test")[-1].split(b"\n\n")[0]
    assert b"with ESMTPS" in received
    assert postfix.log_text().count("nrcpt=2") >= 1


def test_postfix_refuses_an_address_and_the_report_names_it(pair: tuple[Ekiden, Postfix]) -> None:
    ekiden, _postfix = pair
    before = len(ekiden.inbox("alice"))
    with ekiden.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", ["nobody@two.test"], LETTER)
    report = ekiden.wait_inbox("alice", before + 1)[-1]
    assert report.startswith(b"Return-Path: <>\r\n")
    assert b"multipart/report" in report
    assert b"Final-Recipient: rfc822; nobody@two.test" in report
    assert b"550 5.1.1" in report


def test_postfix_as_smarthost_takes_all_outgoing_mail(
    pair: tuple[Ekiden, Postfix], tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    _ekiden, postfix = pair
    smarthost = [f'server = "127.0.0.1:{postfix.port}"', 'tls = "opportunistic"']
    inner = Ekiden(tmp_path, certificate, Settings(domain="inner.test", accounts=("alice",), more={"outbound.smarthost": smarthost}))
    before = postfix.count("carol@two.test")
    with inner.smtp("submissions", "alice") as client:
        client.sendmail("alice@inner.test", ["carol@two.test"], LETTER.replace(b"alice@one", b"alice@inner"))
    until(lambda: postfix.count("carol@two.test") == before + 1, "it went through the smarthost")
    inner.stop()
