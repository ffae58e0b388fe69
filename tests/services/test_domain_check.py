"""What is found about the records of a domain, each fault made once in a zone where all is right."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from ekiden.base.clock import Millis
from ekiden.base.texts import has_text, languages, text
from ekiden.dns.records import Record, Txt
from ekiden.services.domain_check import Check, Ours, Verdict, check_domain
from ekiden.services.keys import make_pair, record_strings, record_text
from ekiden.store.dkim_keys import DkimKey, KeyStatus
from ekiden.testing.clock import FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver

FOUR, SIX = ip_address("203.0.113.5"), ip_address("2001:db8::5")
PTR4, PTR6 = FOUR.reverse_pointer, SIX.reverse_pointer
KEY = DkimKey("one.test", "s1", "ed25519", KeyStatus.ACTIVE, make_pair("ed25519")[0], b"", Millis(0))
OURS = Ours("one.test", "mail.one.test", keys=(KEY,))


def txt(said: str) -> Txt:
    return Txt(tuple(each.encode() for each in record_strings(said)))


RIGHT: dict[str, list[Record | str]] = {
    "one.test": ["MX 10 mail.one.test.", "TXT something else", 'TXT "v=spf1 mx -all"'],
    "mail.one.test": [f"A {FOUR}", f"AAAA {SIX}", 'TXT "v=spf1 a -all"'],
    PTR4: ["PTR mail.one.test."],
    PTR6: ["PTR mail.one.test."],
    "s1._domainkey.one.test": [txt(record_text(KEY))],
    "_dmarc.one.test": ['TXT "v=DMARC1; p=reject; rua=mailto:postmaster@one.test"'],
    "_smtp._tls.one.test": ['TXT "v=TLSRPTv1; rua=mailto:postmaster@one.test"'],
    "_mta-sts.one.test": ['TXT "v=STSv1; id=1"'],
}


def checked(changes: dict[str, list[Record | str]] | None = None, ours: Ours = OURS) -> list[Check]:
    """The findings in the right zone with some names changed; an empty list takes a name out."""
    zone = FakeZone({name: records for name, records in {**RIGHT, **(changes or {})}.items() if records})
    checks = list(asyncio.run(check_domain(ZoneResolver(zone), ours, FakeClock())))
    for check in checks:  # each can be told, in each language
        assert all(text(f"domain-check.{check.says}", lang, **check.fields) for lang in languages())
        assert all(has_text(f"domain-check.{word}") for word in (f"subject-{check.subject}", f"mark-{check.verdict.value}"))
    return checks


def findings(checks: list[Check]) -> set[tuple[str, str, str]]:
    """(subject, verdict, sentence) of what is not good."""
    return {(check.subject, check.verdict.value, check.says) for check in checks if check.verdict is not Verdict.GOOD}


def test_where_all_is_right_all_is_good() -> None:
    checks = checked()
    assert findings(checks) == set()
    assert [check.subject for check in checks] == [
        "address", "mx", "ptr", "ptr", "spf", "helo", "dkim", "dmarc", "tls-rpt", "mta-sts"]
    assert next(check for check in checks if check.subject == "spf").fields["ips"] == f"{FOUR}, {SIX}"


@pytest.mark.parametrize(("changes", "found"), [
    # MX (RFC 5321 §5.1)
    ({"one.test": ['TXT "v=spf1 a:mail.one.test -all"']}, {("mx", "bad", "mx-none")}),
    ({"one.test": ["MX 0 .", 'TXT "v=spf1 a:mail.one.test -all"']}, {("mx", "bad", "mx-null")}),
    ({"one.test": ["MX 10 mx.two.test.", 'TXT "v=spf1 a:mail.one.test -all"'], "mx.two.test": ["A 203.0.113.9"]},
     {("mx", "bad", "mx-elsewhere")}),
    ({"one.test": ["MX 5 mx.two.test.", *RIGHT["one.test"]], "mx.two.test": ["A 203.0.113.9"]}, {("mx", "hint", "mx-second")}),
    ({"one.test": ["MX 20 gone.two.test.", *RIGHT["one.test"]]}, {("mx", "bad", "mx-dead")}),
    ({"one.test": ["MX 10 mx.one.test.", 'TXT "v=spf1 mx -all"'], "mx.one.test": ["CNAME mail.one.test."]}, {("mx", "bad", "mx-alias")}),
    ({"one.test": ["MX 10 other.one.test.", 'TXT "v=spf1 a:mail.one.test -all"'], "other.one.test": [f"A {FOUR}"]}, set()),
    ({"one.test": ["MX 10 mx.two.test.", 'TXT "v=spf1 a:mail.one.test -all"'], "mx.two.test": ["TIMEOUT"]}, {("mx", "unknown", "unknown")}),
    ({"one.test": ["SERVFAIL MX", 'TXT "v=spf1 a:mail.one.test -all"']}, {("mx", "unknown", "unknown")}),
    # addresses and their names
    ({"mail.one.test": ["A 10.0.0.5", 'TXT "v=spf1 a -all"']}, {("address", "hint", "address-private")}),
    ({PTR4: []}, {("ptr", "bad", "ptr-none")}),
    ({PTR4: ["PTR host.isp.test."]}, {("ptr", "bad", "ptr-not-back")}),
    ({PTR4: ["PTR host.isp.test."], "host.isp.test": [f"A {FOUR}"]}, {("ptr", "bad", "ptr-other")}),
    ({PTR4: ["PTR host.isp.test.", "PTR mail.one.test."], "host.isp.test": [f"A {FOUR}"]}, set()),
    ({PTR4: ["TIMEOUT"]}, {("ptr", "unknown", "unknown")}),
    # SPF (RFC 7208 §3.2, §4.6, §5.1)
    ({"one.test": ["MX 10 mail.one.test."]}, {("spf", "bad", "spf-none")}),
    ({"one.test": ["MX 10 mail.one.test.", "TXT v=spf1 mx -all", "TXT v=spf1 -all"]}, {("spf", "bad", "spf-several")}),
    ({"one.test": ["MX 10 mail.one.test.", "TXT v=spf1 ip4:1.2.3.4/33 -all"]}, {("spf", "bad", "spf-wrong")}),
    ({"one.test": ["MX 10 mail.one.test.", f"TXT v=spf1 ip4:{FOUR} -all"]}, {("spf", "bad", "spf-fails")}),
    ({"one.test": ["MX 10 mail.one.test.", "TXT v=spf1 mx +all"]}, {("spf", "bad", "spf-everybody")}),
    ({"one.test": ["MX 10 mail.one.test.", "TXT v=spf1 mx"]}, {("spf", "hint", "spf-open")}),
    ({"one.test": ["MX 10 mail.one.test.", "TXT v=spf1 mx include:ill.test -all"]}, set()),
    ({"one.test": ["MX 10 mail.one.test.", "TXT v=spf1 include:ill.test mx -all"], "ill.test": ["SERVFAIL"]},
     {("spf", "unknown", "spf-fails")}),
    ({"one.test": ["MX 10 mail.one.test.", "SERVFAIL TXT"]}, {("spf", "unknown", "unknown")}),
    ({"mail.one.test": [f"A {FOUR}", f"AAAA {SIX}"]}, {("helo", "hint", "helo-none")}),
    ({"mail.one.test": [f"A {FOUR}", f"AAAA {SIX}", "TXT v=spf1 -all"]}, {("helo", "bad", "helo-fails")}),
    # DKIM (RFC 6376 §3.6.2)
    ({"s1._domainkey.one.test": []}, {("dkim", "bad", "dkim-absent")}),
    ({"s1._domainkey.one.test": ["TXT v=DKIM1; k=ed25519; p=AAAA"]}, {("dkim", "bad", "dkim-other")}),
    ({"s1._domainkey.one.test": ["TXT a", "TXT b"]}, {("dkim", "bad", "dkim-several")}),
    ({"s1._domainkey.one.test": ["REFUSED"]}, {("dkim", "unknown", "unknown")}),
    # DMARC (RFC 9989 §4.10)
    ({"_dmarc.one.test": []}, {("dmarc", "bad", "dmarc-none")}),
    ({"_dmarc.one.test": [], "_dmarc.test": ["TXT v=DMARC1; p=reject"]}, set()),
    ({"_dmarc.one.test": ["TXT v=DMARC1; p=none", "TXT v=DMARC1; p=reject"]}, {("dmarc", "bad", "dmarc-several")}),
    ({"_dmarc.one.test": ["TXT v=DMARC1; p=nonsense"]}, {("dmarc", "bad", "dmarc-damaged")}),
    ({"_dmarc.one.test": ["TXT v=DMARC1; p=reject; rua=nobody"]}, {("dmarc", "hint", "dmarc-problems")}),
    ({"_dmarc.one.test": ["TXT v=DMARC1; p=reject; rua=mailto:a@other.test"]}, {("dmarc", "hint", "dmarc-unwanted")}),
    ({"_dmarc.one.test": ["TXT v=DMARC1; p=reject; rua=mailto:a@other.test"], "one.test._report._dmarc.other.test": ["TXT v=DMARC1"]},
     set()),
    ({"_dmarc.one.test": ["TXT v=DMARC1; p=reject; rua=mailto:a@other.test"], "one.test._report._dmarc.other.test": ["TIMEOUT"]},
     {("dmarc", "unknown", "unknown")}),
    ({"_dmarc.one.test": ["TIMEOUT"]}, {("dmarc", "unknown", "unknown")}),
    # optional
    ({"_smtp._tls.one.test": []}, {("tls-rpt", "hint", "tls-rpt-absent")}),
    ({"_mta-sts.one.test": []}, {("mta-sts", "hint", "mta-sts-absent")}),
    ({"_mta-sts.one.test": ["TXT v=STSv1; id=1", "TXT v=STSv1; id=2"]}, {("mta-sts", "bad", "several")}),
])
def test_each_fault_is_found_and_nothing_else(changes: dict[str, list[Record | str]], found: set[tuple[str, str, str]]) -> None:
    assert findings(checked(changes)) == found


def test_a_domain_that_does_not_exist_lacks_all_that_is_below_it() -> None:
    zone: dict[str, list[Record | str]] = {name: [] for name in RIGHT if name.endswith("one.test") and name != "mail.one.test"}
    checks = checked(zone | {"one.test": []}, Ours("other.test", "mail.one.test"))
    assert ("mx", "bad", "mx-no-domain") in findings(checks)
    assert ("spf", "bad", "spf-none") in findings(checks)
    assert ("dkim", "hint", "dkim-no-keys") in findings(checks)


def test_the_addresses_of_the_configuration_have_to_be_there() -> None:
    known = Ours("one.test", "mail.one.test", known=(FOUR, ip_address("203.0.113.77")), keys=(KEY,))
    assert findings(checked(ours=known)) == {
        ("address", "bad", "address-lacks"), ("ptr", "bad", "ptr-none"), ("spf", "bad", "spf-fails"), ("helo", "bad", "helo-fails")}
    senders = Ours("one.test", "mail.one.test", known=(FOUR,), senders=(FOUR,), keys=(KEY,))
    assert findings(checked(ours=senders)) == set()


def test_a_host_without_address_or_with_another_name() -> None:
    assert ("address", "bad", "address-none") in findings(checked({"mail.one.test": []}))
    assert ("address", "unknown", "unknown") in findings(checked({"mail.one.test": ["TIMEOUT"]}))
    alias: dict[str, list[Record | str]] = {"mail.one.test": ["CNAME host.one.test."], "host.one.test": [f"A {FOUR}"]}
    assert ("address", "bad", "address-alias") in findings(checked(alias))


def test_a_smarthost_sends_in_our_stead() -> None:
    ours = Ours("one.test", "mail.one.test", smarthost="relay.isp.test", keys=(KEY,))
    relay: dict[str, list[Record | str]] = {"relay.isp.test": ["A 203.0.113.99"]}
    assert findings(checked(relay, ours)) == {("spf", "bad", "spf-fails")}
    assert findings(checked(relay | {"one.test": ["MX 10 mail.one.test.", "TXT v=spf1 a:relay.isp.test -all"]}, ours)) == set()
    assert findings(checked({"relay.isp.test": ["TIMEOUT"]}, ours)) == {("spf", "unknown", "unknown")}


def test_only_a_key_that_signs_must_be_published() -> None:
    for status, verdict in [(KeyStatus.NEW, "hint"), (KeyStatus.OLD, "hint"), (KeyStatus.ACTIVE, "bad")]:
        key = DkimKey("one.test", "s2", "ed25519", status, b"x", b"", Millis(0))
        ours = Ours("one.test", "mail.one.test", keys=(KEY, key))
        assert findings(checked(ours=ours)) == {("dkim", verdict, "dkim-absent")}
    new = DkimKey("one.test", "s1", "ed25519", KeyStatus.NEW, KEY.public, b"", Millis(0))
    assert findings(checked(ours=Ours("one.test", "mail.one.test", keys=(new,)))) == {("dkim", "hint", "dkim-none-active")}


def test_a_domain_that_is_not_ours_yet_can_be_made_ready() -> None:
    assert findings(checked(ours=Ours("one.test", "mail.one.test", keys=(KEY,), is_ours=False))) == {("domain", "hint", "not-ours")}


def test_a_hostile_zone_costs_a_bounded_number_of_questions() -> None:
    zone: dict[str, list[Record | str]] = {
        "one.test": [*(f"MX 10 h{n}.test." for n in range(200)), "TXT v=spf1 mx -all"],
        "mail.one.test": [f"A 203.0.113.{n}" for n in range(200)],
    }
    resolver = ZoneResolver(FakeZone(zone))
    checks = asyncio.run(check_domain(resolver, OURS, FakeClock()))
    assert len(resolver.asked) < 200
    assert len(checks) < 40
    assert all(len(check.found) <= 10 for check in checks)
