"""What has been accepted outlives the process: mailboxes, flags and the queue."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.peers.dns import Dnsmasq, Record
from tests.peers.process import free_port

LETTER = (
    b"From: alice@one.test\r\nTo: bob@two.test\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <waits@one.test>\r\n"
    b"Subject: waits\r\n\r\nI can wait.\r\n"
)


@pytest.mark.peer("dnsmasq")
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_mail_waits_for_a_host_that_is_down_through_a_restart(tmp_path: Path, certificate: tuple[Path, Path, Path], end: str) -> None:
    names, far = free_port(), free_port()
    dns = Dnsmasq(
        tmp_path / "dns", port=names, records=[Record("two.test", "MX", "10 mx.two.test."), Record("mx.two.test", "A", "127.0.0.1")]
    )
    ours = Ekiden(tmp_path / "one", certificate, Settings(accounts=("alice",), dns_port=names, outbound_port=far))
    with ours.smtp("mx") as client:
        client.sendmail("carol@far.test", ["alice@one.test"], b"Subject: kept\r\n\r\n")
    with ours.imap("alice") as reader:
        reader.select("INBOX")
        reader.store("1", "+FLAGS", r"(\Flagged)")
        uid_validity = reader.response("UIDVALIDITY")
    with ours.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", ["bob@two.test"], LETTER)
    assert "bob@two.test" in ours.command("queue", "list")
    if end == "stop":
        ours.stop()
    else:
        ours.kill()
    ours.start()
    assert "bob@two.test" in ours.command("queue", "list")
    with ours.imap("alice") as reader:
        assert reader.select("INBOX") == ("OK", [b"1"])
        assert reader.response("UIDVALIDITY") == uid_validity
        (flags,) = reader.fetch("1", "(FLAGS)")[1]
        assert isinstance(flags, bytes)
        assert rb"\Flagged" in flags
    two = Settings(domain="two.test", hostname="mx.two.test", ports={"mx": far}, accounts=("bob",), dns_port=names)
    theirs = Ekiden(tmp_path / "two", certificate, two)
    ours.command("queue", "retry", "--all")
    assert theirs.wait_inbox("bob", 1, 60)[0].endswith(b"I can wait.\r\n")
    for server in (ours, theirs, dns):
        server.stop()
