"""ekiden domain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.app.calls import SETTINGS, Calls
from tests.app.zones import served
from tests.peers.dns import Record, Unbound
from tests.peers.process import free_port

from ekiden.dns.records import Txt
from ekiden.testing.dns import FakeZone


def test_a_domain_is_added_listed_and_removed(peopled: Calls) -> None:
    peopled.out("domain", "add", "Two.TEST")
    assert [(one["name"], one["from"]) for one in peopled.json("domain", "list")] == [("one.test", "configuration"), ("two.test", "added")]
    peopled.out("domain", "remove", "two.test")
    assert len(peopled.json("domain", "list")) == 1


def test_a_domain_of_another_script_is_kept_in_a_labels(peopled: Calls) -> None:
    peopled.out("domain", "add", "例え.test")
    assert peopled.json("domain", "list")[1]["name"] == "xn--r8jz45g.test"


def test_what_is_wrong_with_a_domain_is_told(peopled: Calls) -> None:
    assert "expected a domain" in peopled.fails("domain", "add", "a b", status=2)
    assert "is in the configuration" in peopled.fails("domain", "add", "one.test")
    assert "is in the configuration" in peopled.fails("domain", "remove", "one.test")
    assert "is no domain of this server" in peopled.fails("domain", "remove", "two.test", status=2)
    peopled.out("domain", "add", "two.test")
    assert "already" in peopled.fails("domain", "add", "two.test")


def test_mail_for_unknown_addresses_has_a_target(peopled: Calls) -> None:
    peopled.out("domain", "catch-all", "one.test", "alice@one.test")
    assert peopled.json("domain", "list")[0]["catch-all"] == "alice@one.test"
    assert "is refused" in peopled.out("domain", "catch-all", "one.test")
    assert "is no domain of this server" in peopled.fails("domain", "catch-all", "two.test", "alice@one.test", status=2)


def test_records_are_lines_of_a_zone_file(ekiden: Calls) -> None:
    assert "\none.test.                IN  MX    10 mail.one.test.\n" in ekiden.out("domain", "records", "one.test")
    assert ekiden.json("domain", "records", "one.test")[0] == {
        "name": "one.test.", "type": "MX", "value": "10 mail.one.test.", "why": "Mail for the domain comes to this server", "note": False,
    }


def test_records_hold_the_keys_of_the_domain(peopled: Calls) -> None:
    peopled.out("dkim", "new", "one.test", "--selector", "s1")
    shown = [one["name"] for one in peopled.json("domain", "records", "one.test") if "DKIM1" in one["value"]]
    assert len(shown) == 2
    assert all(name.endswith("._domainkey.one.test.") for name in shown)
    assert not any("DKIM1" in one["value"] for one in peopled.json("domain", "records", "two.test"))


def zone() -> FakeZone:
    return FakeZone({
        "one.test": ["MX 10 mail.one.test.", 'TXT "v=spf1 mx -all"'],
        "mail.one.test": ["A 203.0.113.5", 'TXT "v=spf1 a -all"'],
        "5.113.0.203.in-addr.arpa": ["PTR mail.one.test."],
        "_dmarc.one.test": ['TXT "v=DMARC1; p=reject"'],
    })


def asking(ekiden: Calls, server: str) -> None:
    ekiden.file.write_text(f'{SETTINGS}[dns]\nservers = ["{server}"]\n', "utf-8")


def findings(ekiden: Calls, *words: str) -> list[dict[str, Any]]:
    """What `domain check --json` finds to be wrong or worth a word."""
    found: list[dict[str, Any]] = json.loads(ekiden.run("domain", "check", *words, "--json").stdout)
    return [one for one in found if one["verdict"] != "good"]


def test_right_records_are_found_right_by_asking_a_server(ekiden: Calls) -> None:
    with served(zone()) as server:
        asking(ekiden, server)
        said = ekiden.out("domain", "check", "one.test")
        assert "mail for one.test comes to mail.one.test" in said
        assert "nothing is wrong" in said
        assert "WRONG" not in said
        assert {one["subject"] for one in findings(ekiden)} == {"dkim", "tls-rpt", "mta-sts"}
        assert "誤りはありません" in ekiden.out("--lang", "ja", "domain", "check")


def test_what_is_wrong_is_told_with_what_to_publish(ekiden: Calls) -> None:
    records = zone()
    records["one.test"] = ["MX 10 mx.two.test.", Txt((b"v=spf1 ip4:192.0.2.99 \x1b[31m-all",))]
    records["mx.two.test"] = ["A 192.0.2.2"]
    del records["_dmarc.one.test"]
    del records["5.113.0.203.in-addr.arpa"]
    with served(records) as server:
        asking(ekiden, server)
        result = ekiden.run("domain", "check")
        assert result.exit_code == 1
        assert "4 records are wrong" in result.stderr
        assert "\x1b" not in result.stdout
        for line in ("publish:  one.test. IN MX 10 mail.one.test.", "there is: 10 mx.two.test.",
                     'publish:  one.test. IN TXT "v=spf1 mx -all"', "publish:  5.113.0.203.in-addr.arpa. IN PTR mail.one.test.",
                     'publish:  _dmarc.one.test. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@one.test"'):
            assert line in result.stdout
        wrong = {one["subject"]: one for one in findings(ekiden) if one["verdict"] == "bad"}
        assert set(wrong) == {"mx", "ptr", "spf", "dmarc"}
        assert wrong["mx"] == {
            "domain": "one.test", "subject": "mx", "verdict": "bad", "name": "one.test", "type": "MX", "found": ["10 mx.two.test."],
            "says": "mail for one.test goes to mx.two.test, not to mail.one.test", "publish": ["one.test. IN MX 10 mail.one.test."],
        }


def test_a_server_that_fails_makes_nothing_right(ekiden: Calls) -> None:
    records = zone()
    records["one.test"] = ["SERVFAIL"]
    with served(records) as server:
        asking(ekiden, server)
        result = ekiden.run("domain", "check", "one.test")
        assert result.exit_code == 1
        assert "the DNS could not tell (one.test. MX: SERVFAIL); ask again later" in result.stdout


def test_the_keys_of_a_domain_are_checked_too(peopled: Calls) -> None:
    peopled.out("dkim", "new", "one.test", "--algorithm", "ed25519", "--selector", "s1")
    records = zone()
    with served(records) as server:
        asking(peopled, server)
        (dkim, *_) = [one for one in findings(peopled) if one["subject"] == "dkim"]
        assert (dkim["verdict"], dkim["name"]) == ("hint", "s1._domainkey.one.test")  # it is new: nothing is signed with it yet
        (line,) = dkim["publish"]
        text = line.partition('"')[2].rstrip('"')
        records["s1._domainkey.one.test"] = [Txt((text.encode(),))]
        assert [one["says"] for one in findings(peopled) if one["subject"] == "dkim"] == [
            "no key signs for one.test yet; `ekiden dkim activate one.test` puts the new ones to use"]
        peopled.out("dkim", "activate", "one.test")
        assert [one for one in findings(peopled) if one["subject"] == "dkim"] == []
        records["s1._domainkey.one.test"] = [Txt((b"v=DKIM1; k=ed25519; p=AAAA",))]
        assert [one["verdict"] for one in findings(peopled) if one["subject"] == "dkim"] == ["bad"]


def test_all_our_domains_are_checked_or_one_that_is_not_ours_yet(peopled: Calls) -> None:
    peopled.out("domain", "add", "two.test")
    with served(zone()) as server:
        asking(peopled, server)
        assert [one["domain"] for one in findings(peopled) if one["subject"] == "spf"] == ["two.test"]
        assert "three.test is no domain of this server yet" in peopled.run("domain", "check", "three.test").stdout
    (peopled.folder / "ekiden.toml").write_text('hostname = "mail.one.test"\ndata_dir = "nothing"\n', "utf-8")
    assert "no domains yet" in peopled.fails("domain", "check", status=2)


@pytest.mark.peer("unbound")
def test_a_real_resolver_is_asked(ekiden: Calls, tmp_path: Path) -> None:
    records = [
        Record("one.test", "MX", "10 mail.one.test."), Record("one.test", "TXT", '"v=spf1 mx -all"'),
        Record("mail.one.test", "A", "198.18.0.5"), Record("mail.one.test", "TXT", '"v=spf1 a -all"'),
        Record("5.0.18.198.in-addr.arpa", "PTR", "mail.one.test."), Record("_dmarc.one.test", "TXT", '"v=DMARC1; p=reject"'),
    ]
    for held, wrong in ((records, set[str]()), (records[1:], {"mx", "spf"}), (records[:-2], {"ptr", "dmarc"})):
        unbound = Unbound(tmp_path / "unbound", port=free_port(), records=held, stubs={})
        try:
            asking(ekiden, f"127.0.0.1:{unbound.port}")
            assert {one["subject"] for one in findings(ekiden) if one["verdict"] != "hint"} == wrong
        finally:
            unbound.stop()
