"""Who really sent it, at a real server with a real name server: what is let in, refused, filed as Junk and put off, and what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.peers.dns import Dnsmasq, Record
from tests.peers.process import free_port

RECORDS = [
    Record("_dmarc.test", "TXT", '"nothing of DMARC"'),  # the walk up the tree comes by here
    Record("good.test", "TXT", '"v=spf1 ip4:127.0.0.1 -all"'),
    Record("_dmarc.good.test", "TXT", '"v=DMARC1; p=reject"'),
    Record("strict.test", "TXT", '"v=spf1 -all"'),
    Record("_dmarc.strict.test", "TXT", '"v=DMARC1; p=reject"'),
    Record("careful.test", "TXT", '"v=spf1 -all"'),
    Record("_dmarc.careful.test", "TXT", '"v=DMARC1; p=quarantine"'),
    Record("plain.test", "TXT", '"v=spf1 ip4:192.0.2.1 ~all"'),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    folder = tmp_path_factory.mktemp("origin")
    names = free_port()
    dns = Dnsmasq(folder / "dns", port=names, records=RECORDS)
    policies = 'policies = ["builtin:authentication", "builtin:dmarc"]'
    more = {"": [policies], "authentication": ["received_spf = true"]}
    ekiden = Ekiden(folder / "one", certificate, Settings(doors=("mx", "submissions", "imaps"), dns_port=names, more=more))
    try:
        yield ekiden
        ekiden.stop()
    finally:
        ekiden.kill()
        dns.stop()


def _send(server: Ekiden, author: str, subject: str, sender: str | None = None, top: str = "") -> tuple[int, bytes]:
    """The answer to the final dot."""
    letter = (
        f"{top}From: {author}\r\nTo: alice@one.test\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{subject}@x.test>\r\n"
        f"Subject: {subject}\r\n\r\nhello\r\n"
    )
    with server.smtp("mx") as client:
        client.ehlo("client.test")
        client.mail(author if sender is None else sender)
        client.rcpt("alice@one.test")
        return client.data(letter.encode())


def _found(server: Ekiden, subject: str, box: str = "INBOX") -> bytes:
    """The message of that subject, unfolded."""
    (message,) = [each for each in server.inbox("alice", box) if f"Subject: {subject}\r\n".encode() in each]
    return re.sub(rb"\r\n[ \t]+", b" ", message)


@pytest.mark.peer("dnsmasq")
def test_mail_of_whom_it_says_is_let_in_and_its_results_are_on_top(server: Ekiden) -> None:
    assert _send(server, "bob@good.test", "fine")[0] == 250
    message = _found(server, "fine")
    head = message.partition(b"\r\n\r\n")[0]
    (results,) = re.findall(rb"(?m)^Authentication-Results: ([^\r]*)", head)
    assert results.startswith(b"mx.one.test")
    assert b"spf=pass" in results
    assert b"smtp.mailfrom=good.test" in results or b"smtp.mailfrom=bob@good.test" in results
    assert re.search(rb"dmarc=pass[^;]*header\.from=good\.test", results)
    assert b"iprev=" in results
    assert re.search(rb"(?m)^Received-SPF: pass", head)
    steps = json.loads(server.command("message", "trace", "<fine@x.test>", "--json"))
    kinds = json.dumps(steps)
    assert "good.test. TXT" in kinds
    assert "_dmarc.good.test. TXT" in kinds
    assert '"method": "dmarc"' in kinds


@pytest.mark.peer("dnsmasq")
def test_a_forged_author_is_refused(server: Ekiden) -> None:
    code, words = _send(server, "ceo@strict.test", "forged")
    assert (code, words[:5]) == (550, b"5.7.1")
    code, words = _send(server, "ceo@strict.test", "forged-too", sender="x@good.test")  # SPF passes, for somebody else
    assert (code, words[:5]) == (550, b"5.7.1")
    assert not [each for each in server.inbox("alice") if b"forged" in each]


@pytest.mark.peer("dnsmasq")
def test_the_reply_to_what_is_refused_names_its_journey(server: Ekiden) -> None:
    code, words = _send(server, "ceo@strict.test", "unwanted")
    assert code == 550
    found = re.search(rb"Refused as ([0-9a-z]{13})$", words)
    assert found is not None
    for name in (found[1].decode(), "<unwanted@x.test>"):
        ((journey),) = json.loads(server.command("message", "trace", name, "--json"))
        steps = journey["steps"]
        kinds = [step["step"] for step in steps]
        assert (kinds[0], kinds[-2:]) == ("connected", ["judged", "refused"])
        assert {"strict.test. TXT", "_dmarc.strict.test. TXT"} <= {step["question"] for step in steps if step["step"] == "dns-answered"}
        said = {step["method"]: step["result"] for step in steps if step["step"] == "authenticated"}
        assert (said["spf"], said["dmarc"]) == ("fail", "fail")
        assert steps[-1]["reply"].startswith("550 5.7.1 ")
    listed = json.loads(server.command("message", "refused", "strict.test", "--json"))
    assert found[1].decode() in [each["id"] for each in listed]


@pytest.mark.peer("dnsmasq")
def test_quarantine_is_junk(server: Ekiden) -> None:
    assert _send(server, "bob@careful.test", "doubtful")[0] == 250
    assert b"dmarc=fail" in _found(server, "doubtful", "Junk")


@pytest.mark.peer("dnsmasq")
def test_no_policy_lets_in_and_says_what_was_found(server: Ekiden) -> None:
    assert _send(server, "bob@plain.test", "unknown")[0] == 250
    message = _found(server, "unknown")
    assert b"spf=softfail" in message
    assert b"dmarc=none" in message


@pytest.mark.peer("dnsmasq")
@pytest.mark.parametrize("author", ["a@good.test, b@plain.test", "bob@good.test\r\nFrom: ceo@strict.test"])
def test_two_authors_are_refused(server: Ekiden, author: str) -> None:
    """Row AX-11, AX-20."""
    code, words = _send(server, author, "two", sender="bob@good.test")
    assert (code, words[:5]) == (550, b"5.6.0")


@pytest.mark.peer("dnsmasq")
def test_forged_results_are_taken_out_and_others_stay(server: Ekiden) -> None:
    forged = "Authentication-Results: MX.one.test; dmarc=pass header.from=strict.test\r\nAuthentication-Results: other.test; spf=pass\r\n"
    assert _send(server, "bob@good.test", "claims", top=forged)[0] == 250
    head = _found(server, "claims").partition(b"\r\n\r\n")[0]
    fields = re.findall(rb"(?m)^Authentication-Results: ([^\r]*)", head)
    assert [field.partition(b";")[0] for field in fields] == [b"mx.one.test", b"other.test"]
    assert b"strict.test" not in head
    assert '"step": "stripped"' in server.command("message", "trace", "<claims@x.test>", "--json")


@pytest.mark.peer("dnsmasq")
def test_who_signed_in_is_not_asked_who_he_is(server: Ekiden) -> None:
    with server.smtp("submissions", "bob") as client:
        client.sendmail("bob@one.test", ["alice@one.test"], b"From: bob@one.test\r\nSubject: inside\r\n\r\nhello\r\n")
    server.wait_inbox("alice", 1)
    assert b"Authentication-Results" not in _found(server, "inside")


