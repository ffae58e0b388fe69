"""DNS records to publish."""

from __future__ import annotations

from dataclasses import replace

from ekiden.app.config import Config, Listeners, Outbound, Smarthost
from ekiden.app.publish import records_of, zone_text
from ekiden.base.clock import Millis
from ekiden.base.endpoint import Endpoint
from ekiden.store.dkim_keys import DkimKey, KeyStatus

CONFIG = Config(hostname="mail.one.test", domains=("one.test",))


def lines(config: Config) -> set[str]:
    return {f"{record.name} {record.type} {record.value}" for record in records_of(config, "one.test") if not record.note}


def test_mail_finds_the_server() -> None:
    assert "one.test. MX 10 mail.one.test." in lines(CONFIG)


def test_spf_dmarc_and_tlsrpt_are_there() -> None:
    assert {
        'one.test. TXT "v=spf1 mx -all"',
        'mail.one.test. TXT "v=spf1 a -all"',
        '_dmarc.one.test. TXT "v=DMARC1; p=none; rua=mailto:postmaster@one.test"',
        '_smtp._tls.one.test. TXT "v=TLSRPTv1; rua=mailto:postmaster@one.test"',
    } <= lines(CONFIG)


def test_a_host_that_is_the_domain_has_one_spf_record() -> None:
    found = [record.value for record in records_of(replace(CONFIG, hostname="one.test"), "one.test") if "spf1" in record.value]
    assert len(found) == 1


def test_addresses_are_printed_where_the_configuration_tells_them() -> None:
    mx = (Endpoint("203.0.113.5", 25), Endpoint("2001:db8::25", 25), Endpoint("127.0.0.1", 25))
    found = lines(replace(CONFIG, listeners=Listeners(mx=mx)))
    assert "mail.one.test. A 203.0.113.5" in found
    assert "mail.one.test. AAAA 2001:db8::25" in found
    assert "5.113.0.203.in-addr.arpa. PTR mail.one.test." in found
    assert not any("127.0.0.1" in line for line in found)


def test_unknown_addresses_are_only_hints() -> None:
    assert not any(" A " in line for line in lines(CONFIG))
    assert any(line.startswith("; mail.one.test.") for line in zone_text(records_of(CONFIG, "one.test"), "en").split("\n"))


def test_services_are_printed_for_open_doors_only() -> None:
    doors = Listeners(submissions=(Endpoint("127.0.0.1", 465),), imap=(Endpoint("127.0.0.1", 143),))
    found = lines(replace(CONFIG, listeners=doors))
    assert "_submissions._tcp.one.test. SRV 0 1 465 mail.one.test." in found
    assert "_imap._tcp.one.test. SRV 10 1 143 mail.one.test." in found
    assert not any("_imaps" in line or "_submission._tcp" in line for line in found)


def test_a_smarthost_may_send_for_the_domain() -> None:
    for host, mechanism in (("relay.test", "a:relay.test"), ("192.0.2.9", "ip4:192.0.2.9"), ("2001:db8::9", "ip6:2001:db8::9")):
        outbound = Outbound(smarthost=Smarthost(server=Endpoint(host, 587)))
        assert f'one.test. TXT "v=spf1 mx {mechanism} -all"' in lines(replace(CONFIG, outbound=outbound))


def test_every_line_of_the_zone_is_a_comment_or_a_record() -> None:
    for lang in ("en", "ja"):
        for line in zone_text(records_of(CONFIG, "one.test"), lang).split("\n"):
            assert line == "" or line.startswith(";") or "  IN  " in line


def test_each_key_of_the_domain_has_its_record() -> None:
    key = DkimKey("one.test", "s1", "ed25519", KeyStatus.ACTIVE, b"\x01" * 32, b"", Millis(0))
    records = records_of(CONFIG, "one.test", [key])
    value = '"v=DKIM1; k=ed25519; p=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="'
    assert [(each.name, each.value) for each in records if each.why == "publish.dkim"] == [("s1._domainkey.one.test.", value)]
    assert "ekiden dkim new" not in zone_text(records, "en")
    assert "ekiden dkim new" in zone_text(records_of(CONFIG, "one.test"), "en")
