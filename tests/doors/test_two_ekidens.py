"""Two Ekidens, one.test and two.test, write to each other through MX: on one host with two ports; on two hosts, port 25."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings, without_prefix
from tests.peers.dns import Dnsmasq, Record
from tests.peers.network import two_hosts
from tests.peers.process import free_port

Pair = tuple[Ekiden, Ekiden]


def _zone(first: str, second: str) -> list[Record]:
    return [
        Record("one.test", "MX", "10 mx.one.test."),
        Record("mx.one.test", "A", first),
        Record("two.test", "MX", "10 mx.two.test."),
        Record("mx.two.test", "A", second),
    ]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("ports", marks=pytest.mark.peer("dnsmasq")),
        pytest.param("hosts", marks=pytest.mark.peer("dnsmasq", "netns")),
    ],
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Pair]:
    """Two running servers that find each other in the DNS."""
    folder = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        if request.param == "ports":
            names, one, two = free_port(), free_port(), free_port()
            dns = Dnsmasq(folder / "dns", port=names, records=_zone("127.0.0.1", "127.0.0.1"))
            stack.callback(dns.stop)
            first = Settings(ports={"mx": one}, dns_port=names, outbound_port=two)
            second = Settings(domain="two.test", hostname="mx.two.test", ports={"mx": two}, dns_port=names, outbound_port=one)
        else:
            left, right = stack.enter_context(two_hosts())
            dns = Dnsmasq(folder / "dns", port=53, host=left.address, network=left.network, records=_zone(left.address, right.address))
            stack.callback(dns.stop)
            shared = {"ports": {"mx": 25}, "dns_host": left.address, "dns_port": 53}
            first = Settings(network=left.network, mx_host=left.address, **shared)  # type: ignore[arg-type]  # checked by the fields' use
            second = Settings(
                domain="two.test",
                hostname="mx.two.test",
                network=right.network,
                mx_host=right.address,
                **shared,  # type: ignore[arg-type]
            )
        servers = Ekiden(folder / "one", certificate, first), Ekiden(folder / "two", certificate, second)
        yield servers
        for server in servers:
            server.stop()


def _letter(sender: str, recipient: str, subject: str) -> bytes:
    return (
        f"From: {sender}\r\nTo: {recipient}\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{subject.replace(' ', '-')}@test>\r\n"
        f"Subject: {subject}\r\n\r\n.dear reader\r\n\r\n..\r\n"
    ).encode()


@pytest.mark.peer("smtplib", "imaplib", "poplib")
def test_a_letter_and_its_answer(pair: Pair) -> None:
    one, two = pair
    letter = _letter("alice@one.test", "bob@two.test", "a question")
    with one.smtp("submission", "alice") as client:
        client.sendmail("alice@one.test", ["bob@two.test"], letter)
    (stored,) = two.wait_inbox("bob", 1)
    head = without_prefix(stored, letter)
    assert head.startswith(b"Return-Path: <alice@one.test>\r\n")
    assert head.count(b"\r\nReceived: ") == 2
    assert b"ESMTPSA" in head  # what one.test saw
    answer = _letter("bob@two.test", "alice@one.test", "an answer")
    with two.smtp("submissions", "bob") as client:
        client.sendmail("bob@two.test", ["alice@one.test"], answer)
    one.wait_inbox("alice", 1)
    with one.pop3("alice") as pop3:
        read = b"\r\n".join(pop3.retr(1)[1]) + b"\r\n"
    assert without_prefix(read, answer).startswith(b"Return-Path: <bob@two.test>\r\n")


@pytest.mark.peer("smtplib", "imaplib")
def test_an_unknown_address_comes_back_as_a_report_with_the_remote_reply(pair: Pair) -> None:
    one, _two = pair
    before = len(one.inbox("bob"))
    letter = _letter("bob@one.test", "nobody@two.test", "to nobody")
    with one.smtp("submission", "bob") as client:
        client.sendmail("bob@one.test", ["nobody@two.test"], letter)
    report = one.wait_inbox("bob", before + 1)[-1]
    assert report.startswith(b"Return-Path: <>\r\n")
    assert b"report-type=delivery-status" in report
    status = report[report.index(b"message/delivery-status") :]
    for field in (b"\r\nFinal-Recipient: rfc822; nobody@two.test\r\n", b"\r\nAction: failed\r\n", b"\r\nStatus: 5.1.1\r\n"):
        assert field.lower() in status.lower(), (field, report.decode("utf-8", "replace"))
    assert b"\r\ndiagnostic-code: smtp; 550 5.1.1" in status.lower()
    assert b"to nobody" in report


@pytest.mark.peer("smtplib", "imaplib")
def test_the_queue_is_empty_and_the_journey_is_told_on_both_sides(pair: Pair) -> None:
    one, two = pair
    before = len(two.inbox("alice"))
    letter = _letter("alice@one.test", "alice@two.test", "a journey")
    with one.smtp("submission", "alice") as client:
        client.sendmail("alice@one.test", ["alice@two.test"], letter)
    two.wait_inbox("alice", before + 1)
    told = one.command("message", "trace", "a-journey@test"), two.command("message", "trace", "a-journey@test")
    for server_text in told:
        assert "alice@two.test" in server_text
        assert "250" in server_text
    assert "nobody@" not in one.command("queue", "list")
