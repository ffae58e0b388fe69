"""Judgement that adds up, at a real server on a public address with a real name server: marked, filed, refused, and why.

The client comes from another host, for machines on private addresses are asked neither for names nor by lists.
"""

from __future__ import annotations

import json
import re
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.doors.server import Ekiden, Settings
from tests.mail.letters import letters
from tests.peers.dns import Dnsmasq, Record
from tests.peers.network import Host, inside, two_hosts

pytestmark = [pytest.mark.peer("dnsmasq", "netns"), pytest.mark.timeout(120)]

OURS, THEIRS = "203.0.113.1", "203.0.113.2"
_SPF = f'"v=spf1 ip4:{THEIRS} -all"'
RECORDS = [
    Record("_dmarc.test", "TXT", '"nothing of DMARC"'),  # the walk up the tree comes by here
    Record("client.out.test", "A", THEIRS),  # and the name of that address
    *(Record(f"{name}.test", "TXT", _SPF) for name in ("fine", "odd", "worse")),
    Record("odd.test.names.test", "A", "127.0.0.2"),
    Record("worse.test.names.test", "A", "127.0.0.4"),
    Record("worse.test.names.test", "TXT", '"sends what nobody asked for"'),
    Record("2.113.0.203.complains.test", "A", "127.255.255.254"),
    Record("*.everything.test", "A", "127.0.0.2"),
]
LISTS = """
[[score.lists]]
zone = "names.test"
name = "odd"
subject = "domain"
points = 35

[[score.lists]]
zone = "names.test"
name = "worse"
codes = ["127.0.0.4"]
subject = "domain"
points = 55
refuse = true

[[score.lists]]
zone = "complains.test"
points = 100
refuse = true

[[score.lists]]
zone = "everything.test"
points = 100
refuse = true
"""


class Place(NamedTuple):
    """A server, and the host from which others write to it."""

    server: Ekiden
    there: Host

    @contextmanager
    def client(self, hello: str = "client.out.test") -> Iterator[smtplib.SMTP]:
        with inside(self.there.network):
            client = smtplib.SMTP(OURS, 25, local_hostname=hello, timeout=30)
        with client:
            yield client

    def send(
        self, sender: str, subject: str, *to: str, hello: str = "client.out.test", top: str = "", text: bytes = b""
    ) -> tuple[int, bytes]:
        """The answer to the final dot, or the refusal before."""
        letter = (
            f"{top}From: {sender}\r\nTo: alice@one.test\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{subject}@x.test>\r\n"
            f"Subject: {subject}\r\n\r\n"
        ).encode() + (text or b"hello\r\n")
        with self.client(hello) as client:
            client.ehlo()
            client.mail(sender)
            for name in to or ("alice",):
                code, words = client.rcpt(f"{name}@one.test")
                if code != 250:
                    return code, words
            return client.data(letter)

    def found(self, subject: str, name: str = "alice", box: str = "INBOX") -> bytes:
        (message,) = [each for each in self.server.inbox(name, box) if f"Subject: {subject}\r\n".encode() in each]
        return message

    def reasons(self, subject: str) -> list[tuple[str, str, int]]:
        """What was decided for which reasons: (verdict, name, points)."""
        (told,) = json.loads(self.server.command("message", "trace", f"<{subject}@x.test>", "--json"))
        judged: list[dict[str, Any]] = [step for step in told["steps"] if step["step"] == "judged" and step["policy"] == "builtin:score"]
        return [(step["verdict"], reason["name"], reason["points"]) for step in judged for reason in step["reasons"]]


@contextmanager
def _open(folder: Path, certificate: tuple[Path, Path, Path], policies: str) -> Iterator[Place]:
    with ExitStack() as stack:
        here, there = stack.enter_context(two_hosts(OURS, THEIRS))
        dns = Dnsmasq(folder / "dns", port=53, network=here.network, records=RECORDS)
        stack.callback(dns.stop)
        settings = Settings(
            doors=("mx", "imaps"), ports={"mx": 25}, dns_port=53, network=here.network, mx_host=OURS,
            more={"": [f"policies = [{policies}]"], "log": ['level = "info"', *LISTS.splitlines()]},
        )  # fmt: skip
        server = Ekiden(folder / "one", certificate, settings)
        stack.callback(server.kill)
        yield Place(server, there)
        server.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Place]:
    with _open(tmp_path_factory.mktemp("score"), certificate, '"builtin:authentication", "builtin:dmarc", "builtin:score"') as opened:
        yield opened


def test_what_is_in_good_order_is_not_marked_and_a_list_that_makes_no_sense_counts_for_nothing(place: Place) -> None:
    """Row DN-13: one list complains about who asks it, one lists everything; each would be worth 100 points."""
    assert place.send("bob@fine.test", "fine")[0] == 250
    assert b"X-Ekiden-Score" not in place.found("fine")
    assert place.reasons("fine") == []
    told = place.server.command("message", "trace", "<fine@x.test>")
    assert "2.113.0.203.complains.test. A" in told  # each question is a step
    assert "127.255.255.254" in told


def test_a_little_is_marked_more_is_junk_and_much_is_refused(place: Place) -> None:
    assert place.send("bob@odd.test", "odd")[0] == 250
    assert b"\r\nX-Ekiden-Score: 35 listed-odd=35\r\n" in place.found("odd")
    assert place.reasons("odd") == [("tag", "listed-odd", 35)]

    assert place.send("bob@worse.test", "worse")[0] == 250
    assert b"\r\nX-Ekiden-Score: 55 listed-worse=55\r\n" in place.found("worse", box="Junk")
    assert place.reasons("worse") == [("quarantine", "listed-worse", 55)]

    code, words = place.send("bob@worse.test", "worst", hello="mx.one.test")
    assert (code, words[:5]) == (550, b"5.7.1")
    assert place.reasons("worst") == [("reject", "helo-our-name", 60), ("reject", "listed-worse", 55)]
    assert not [each for box in ("INBOX", "Junk") for each in place.server.inbox("alice", box) if b"Subject: worst" in each]


@pytest.mark.parametrize(("lang", "lines"), [
    ("en", ["+60 helo-our-name: the server introduced itself with our own name", "+55 listed-worse: it stands on the list worse",
            "sends what nobody asked for"]),
    ("ja", ["+60 helo-our-name: 相手のサーバーが当サーバーの名前を名乗りました", "+55 listed-worse: リストworseに載っています",
            "sends what nobody asked for"]),
])
def test_the_journey_tells_each_reason_in_both_languages(place: Place, lang: str, lines: list[str]) -> None:
    subject = f"told-{lang}"
    place.send("bob@worse.test", subject, hello="mx.one.test")
    told = re.sub(r"\s+", " ", place.server.command("message", "trace", f"<{subject}@x.test>", "--lang", lang, "--width", "200"))
    for line in lines:
        assert line in told


def test_links_are_looked_up_too(place: Place) -> None:
    assert place.send("bob@fine.test", "link", text=b"see http://www.odd.test/ and http://fine.test/\r\n")[0] == 250
    assert b"\r\nX-Ekiden-Score: 35 listed-odd=35\r\n" in place.found("link")


def test_a_score_that_somebody_else_wrote_is_taken_out(place: Place) -> None:
    assert place.send("bob@fine.test", "forged", top="X-Ekiden-Score: 0\r\nx-ekiden-score: 99 all-is-well=99\r\n")[0] == 250
    assert b"x-ekiden-score" not in place.found("forged").lower()
    assert "X-Ekiden-Score" in place.server.command("message", "trace", "<forged@x.test>")


def test_what_one_reader_has_taught_files_her_copy_alone(place: Place) -> None:
    taught = place.server.folder / "taught"
    for kind in ("spam", "ham"):
        (taught / kind).mkdir(parents=True)
    for number, each in enumerate(letters(40, 1, "en")):
        (taught / ("spam" if each.is_spam else "ham") / f"{number}.eml").write_bytes(each.raw)
    for kind in ("spam", "ham"):
        place.server.command("spam", "learn", f"--{kind}", "--account", "alice@one.test", str(taught / kind))
    unwanted = next(each.raw for each in letters(5, 2, "en") if each.is_spam).partition(b"\r\n\r\n")[2]
    assert place.send("bob@odd.test", "casino", "alice", "bob", text=unwanted)[0] == 250
    assert b"\r\nX-Ekiden-Score: 35 listed-odd=35\r\n" in place.found("casino", "alice", "Junk")
    assert b"\r\nX-Ekiden-Score: 35 listed-odd=35\r\n" in place.found("casino", "bob")
    assert {name for _, name, _ in place.reasons("casino")} > {"listed-odd"}
    assert "for 1 of 2 mailboxes" in place.server.command("message", "trace", "<casino@x.test>", "--json")


def test_who_wants_it_classic_refuses_at_rcpt_with_the_words_of_the_list(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    with _open(tmp_path, certificate, '"builtin:hello", "builtin:dnsbl"') as place:
        code, words = place.send("bob@worse.test", "listed")
        assert (code, words) == (550, b"5.7.1 worse.test is on the list names.test: sends what nobody asked for")
        assert place.send("bob@worse.test", "help", "postmaster")[0] == 250
        code, words = place.send("bob@fine.test", "as-us", hello="mx.one.test")
        assert (code, words[:5]) == (550, b"5.7.1")
        assert place.send("bob@odd.test", "counted-only")[0] == 250
        assert place.send("bob@fine.test", "fine")[0] == 250
        log = place.server.log()
        assert "dnsbl-refused" in log
        assert "hello-refused" in log
