"""SPF, DKIM and DMARC of whole messages together: the ways in which mail travels, and the ways in which it lies.

Each situation is a message as it stands at our door, with the address it comes from. The DNS is a dictionary; signatures are real.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from ekiden.base.clock import Millis
from ekiden.dns.questions import Lookup
from ekiden.mail.address import NULL_PATH, Path, parse_mailbox
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.author import Author, author_of
from ekiden.mailauth.dkim import DkimOutcome, sign, verify
from ekiden.mailauth.dkim_key import SigningKey
from ekiden.mailauth.dmarc import DmarcOutcome, OverrideType, evaluate
from ekiden.mailauth.public_suffix import SuffixList
from ekiden.mailauth.results import Result
from ekiden.mailauth.spf import SpfOutcome, check_host
from ekiden.testing.dns import FakeZone

NOW = Millis(4_000_000_000_000)
"""Later than the clock of any machine, for dkimpy signs by that."""
LIST = SuffixList.parse("test\nテスト\n")

BANK_IP, SENDER_IP, FORWARDER_IP, LIST_IP, EVIL_IP = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "203.0.113.66"


@cache
def _key(domain: str, selector: str = "s") -> SigningKey:
    return SigningKey(domain, selector, ed25519.Ed25519PrivateKey.generate())


@cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _published(domain: str) -> str:
    public = _key(domain).key.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"TXT v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"


def _published_rsa() -> str:
    der = _rsa_key().public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
    return f'TXT "{text[:200]}" "{text[200:]}"'


def _dns() -> FakeZone:
    """bank.test asks for refusal; the others are those who carry or fake its mail."""
    return FakeZone({
        "bank.test": [f"TXT v=spf1 ip4:{BANK_IP} -all"],
        "_dmarc.bank.test": ["TXT v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:dmarc@bank.test"],
        "s._domainkey.bank.test": [_published("bank.test")],
        "rsa._domainkey.bank.test": [_published_rsa()],
        "old._domainkey.bank.test": ["TXT v=DKIM1; k=ed25519; p="],
        "news.bank.test": [f"TXT v=spf1 ip4:{SENDER_IP} -all"],
        "mx.bank.test": [f"TXT v=spf1 ip4:{BANK_IP} -all", f"A {BANK_IP}"],
        "strict.test": [f"TXT v=spf1 ip4:{BANK_IP} -all"],
        "_dmarc.strict.test": ["TXT v=DMARC1; p=reject; adkim=s; aspf=s"],
        "s._domainkey.strict.test": [_published("strict.test")],
        "s._domainkey.mail.strict.test": [_published("mail.strict.test")],
        "mail.strict.test": [f"TXT v=spf1 ip4:{BANK_IP} -all"],
        "sender.test": [f"TXT v=spf1 ip4:{SENDER_IP} -all"],
        "s._domainkey.sender.test": [_published("sender.test")],
        "forwarder.test": [f"TXT v=spf1 ip4:{FORWARDER_IP} -all"],
        "list.test": [f"TXT v=spf1 ip4:{LIST_IP} -all"],
        "_dmarc.list.test": ["TXT v=DMARC1; p=reject"],
        "s._domainkey.list.test": [_published("list.test")],
        "soft.test": [f"TXT v=spf1 ip4:{BANK_IP} ~all"],
        "_dmarc.soft.test": ["TXT v=DMARC1; p=quarantine"],
        "s._domainkey.soft.test": [_published("soft.test")],
        "trying.test": [f"TXT v=spf1 ip4:{BANK_IP} -all"],
        "_dmarc.trying.test": ["TXT v=DMARC1; p=reject; t=y"],
        "quiet.test": [f"TXT v=spf1 ip4:{BANK_IP} -all"],
        "evil.test": [f"TXT v=spf1 ip4:{EVIL_IP} -all"],
        "_dmarc.evil.test": ["TXT v=DMARC1; p=reject"],
        "s._domainkey.evil.test": [_published("evil.test")],
        "xn--r8jz45g.xn--zckzah": [f"TXT v=spf1 ip4:{BANK_IP} -all"],
        "_dmarc.xn--r8jz45g.xn--zckzah": ["TXT v=DMARC1; p=reject"],
        "s._domainkey.xn--r8jz45g.xn--zckzah": [_published("xn--r8jz45g.xn--zckzah")],
        "ill.test": ["SERVFAIL"],
        "_dmarc.ill.test": ["TXT v=DMARC1; p=reject"],
        "s._domainkey.ill.test": ["TIMEOUT"],
    })  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All that was found out about one message."""

    author: Author
    spf: SpfOutcome
    dkim: tuple[DkimOutcome, ...]
    dmarc: DmarcOutcome


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message at our door. sender: MAIL FROM, "" for the null path."""

    raw: bytes
    ip: str
    sender: str
    helo: str = "mx.remote.test"
    suffixes: SuffixList | None = None
    zone: FakeZone = field(default_factory=_dns)

    def judged(self) -> Verdicts:
        return self.zone.run(self._checks())

    def _checks(self) -> Lookup[Verdicts]:
        path: Path = parse_mailbox(self.sender) if self.sender else NULL_PATH
        headers = parse_headers(self.raw)
        author = author_of(headers)
        spf = yield from check_host(ip_address(self.ip), self.helo, path, receiver="mx.ekiden.test", now=NOW)
        dkim = yield from verify(self.raw, headers, NOW)
        dmarc = yield from evaluate(author.domain, spf, dkim, suffixes=self.suffixes)
        return Verdicts(author, spf, dkim, dmarc)


def _message(sender: str, *, subject: str = "Your statement", body: str = "Dear customer,\r\nall is well.\r\n") -> bytes:
    return (
        f"From: {sender}\r\nTo: you@ekiden.test\r\nSubject: {subject}\r\nDate: Tue, 22 Sep 2026 10:00:00 +0000\r\n"
        f"Message-ID: <1@bank.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{body}"
    ).encode()


def _signed(raw: bytes, *domains: str) -> bytes:
    keys = [_key(domain) for domain in domains]
    return sign(raw, parse_headers(raw), keys, NOW) + raw


BANK = "Bank <office@bank.test>"
_FROM_BANK = _signed(_message(BANK), "bank.test")


def _with_footer(raw: bytes) -> bytes:
    """What a list makes of a message: its name in Subject, a footer, and its own signature on top."""
    changed = raw.replace(b"Subject: ", b"Subject: [talk] ", 1) + b"-- \r\ntalk@list.test, leave at any time\r\n"
    return _signed(changed, "list.test")


def _partly_signed() -> bytes:
    """Signed by another program with l=, then text was appended."""
    private = _rsa_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    raw = _message(BANK)
    signature: bytes = dkimpy.sign(raw, b"rsa", b"bank.test", private, length=True, include_headers=[b"from", b"to", b"subject"])
    return signature + raw + b"Please pay into this account instead.\r\n"


def _renamed(raw: bytes, selector: bytes) -> bytes:
    """Our signature, but by a selector whose key has been withdrawn."""
    return raw.replace(b"; s=s;", b"; s=" + selector + b";", 1)


# name: (message, address, MAIL FROM), then what SPF, DKIM and DMARC say and what is to become of it
SITUATIONS = {
    "direct mail": (_FROM_BANK, BANK_IP, "office@bank.test", "pass", "pass", "pass", "none"),
    "direct mail without a signature": (_message(BANK), BANK_IP, "office@bank.test", "pass", "", "pass", "none"),
    "direct mail from a host that SPF forgets": (_FROM_BANK, SENDER_IP, "office@bank.test", "fail", "pass", "pass", "none"),
    "forwarded as it was": (_FROM_BANK, FORWARDER_IP, "office@bank.test", "fail", "pass", "pass", "none"),
    "forwarded with a rewritten envelope sender": (
        _FROM_BANK, FORWARDER_IP, "SRS0=ab=cd=bank.test=office@forwarder.test", "pass", "pass", "pass", "none"),
    "forwarded, and nobody had signed it": (_message(BANK), FORWARDER_IP, "office@bank.test", "fail", "", "fail", "reject"),
    "forwarded and rewritten, and nobody had signed it": (
        _message(BANK), FORWARDER_IP, "SRS0=ab=cd=bank.test=office@forwarder.test", "pass", "", "fail", "reject"),
    "a list that adds a footer": (
        _with_footer(_FROM_BANK), LIST_IP, "talk-bounces@list.test", "pass", "pass fail", "fail", "reject"),
    "a list that changes nothing": (_FROM_BANK, LIST_IP, "talk-bounces@list.test", "pass", "pass", "pass", "none"),
    "a list that writes as itself": (
        _signed(_message("Bank via talk <talk@list.test>"), "list.test"), LIST_IP, "bounces@list.test", "pass", "pass", "pass", "none"),
    "a subdomain, signed by its parent": (
        _signed(_message("News <no@news.bank.test>"), "bank.test"), SENDER_IP, "bounces@sender.test", "pass", "pass", "pass", "none"),
    "a subdomain, by its own SPF": (_message("News <no@news.bank.test>"), SENDER_IP, "bounces@news.bank.test", "pass", "", "pass", "none"),
    "a subdomain that somebody fakes": (_message("News <no@news.bank.test>"), EVIL_IP, "x@evil.test", "pass", "", "fail", "quarantine"),
    "a subdomain that does not exist": (_message("Care <no@care.bank.test>"), EVIL_IP, "x@evil.test", "pass", "", "fail", "reject"),
    "strict, and the very same name": (
        _signed(_message("S <a@strict.test>"), "strict.test"), SENDER_IP, "b@sender.test", "pass", "pass", "pass", "none"),
    "strict, signed by a subdomain": (
        _signed(_message("S <a@strict.test>"), "mail.strict.test"), BANK_IP, "b@mail.strict.test", "pass", "pass", "fail", "reject"),
    "strict, MAIL FROM of the very same name": (_message("S <a@strict.test>"), BANK_IP, "a@strict.test", "pass", "", "pass", "none"),
    "a service that signs as itself only": (
        _signed(_message(BANK), "sender.test"), SENDER_IP, "bounces@sender.test", "pass", "pass", "fail", "reject"),
    "a service that has a key of its customer": (
        _signed(_message(BANK), "sender.test", "bank.test"), SENDER_IP, "bounces@sender.test", "pass", "pass pass", "pass", "none"),
    "a service with a return path of its customer": (
        _signed(_message(BANK), "sender.test"), SENDER_IP, "bounces@news.bank.test", "pass", "pass", "pass", "none"),
    "a spoof from anywhere": (_message(BANK), EVIL_IP, "office@bank.test", "fail", "", "fail", "reject"),
    "a spoof with good papers of its own": (
        _signed(_message(BANK), "evil.test"), EVIL_IP, "x@evil.test", "pass", "pass", "fail", "reject"),
    "a spoof with a signature taken from other mail": (
        _FROM_BANK.replace(b"all is well", b"pay at once"), EVIL_IP, "x@evil.test", "pass", "fail", "fail", "reject"),
    "a spoof with a withdrawn key": (_renamed(_FROM_BANK, b"old"), EVIL_IP, "x@evil.test", "pass", "fail", "fail", "reject"),
    "AX-10: text behind a signature that covers a part": (_partly_signed(), EVIL_IP, "x@evil.test", "pass", "pass", "fail", "reject"),
    "a bounce, from a host of the domain": (_message("MAILER <mailer@bank.test>"), BANK_IP, "", "pass", "", "pass", "none"),
    "a softfail is no pass": (_message("S <a@soft.test>"), EVIL_IP, "a@soft.test", "softfail", "", "fail", "quarantine"),
    "a domain that is only testing": (_message("T <a@trying.test>"), EVIL_IP, "a@trying.test", "fail", "", "fail", "quarantine"),
    "a domain without a policy": (_message("Q <a@quiet.test>"), EVIL_IP, "a@quiet.test", "fail", "", "none", "none"),
    "a domain in U-labels": (
        _signed(_message("J <a@例え.テスト>"), "xn--r8jz45g.xn--zckzah"), SENDER_IP, "b@sender.test", "pass", "pass", "pass", "none"),
    "AX-23: a domain whose DNS does not answer": (
        _signed(_message("I <a@ill.test>"), "ill.test"), BANK_IP, "a@ill.test", "temperror", "temperror", "temperror", "defer"),
    "AX-23: a stranger's DNS does not answer": (
        _signed(_message(BANK), "ill.test"), EVIL_IP, "a@ill.test", "temperror", "temperror", "fail", "reject"),
    "AX-20: a name that looks like another's address": (
        _signed(_message('"office@bank.test" <x@evil.test>'), "evil.test"), EVIL_IP, "x@evil.test", "pass", "pass", "pass", "none"),
}  # fmt: skip


@pytest.mark.parametrize("suffixes", [None, LIST], ids=["tree", "list"])
@pytest.mark.parametrize("name", SITUATIONS)
def test_situations(name: str, suffixes: SuffixList | None) -> None:
    raw, ip, sender, spf, dkim, dmarc, disposition = SITUATIONS[name]
    found = Arrival(raw, ip, sender, helo="mx.bank.test", suffixes=suffixes).judged()
    said = (found.spf.result.value, " ".join(each.result.value for each in found.dkim), found.dmarc.result.value)
    assert said == (spf, dkim, dmarc)
    assert found.dmarc.disposition.value == disposition
    assert found.author.must_be_refused is False


def test_ax_10_the_part_is_told_from_the_whole() -> None:
    """AX-10."""
    found = Arrival(_partly_signed(), BANK_IP, "x@evil.test").judged()
    assert [(each.result, each.partial) for each in found.dkim] == [(Result.PASS, True)]
    assert not found.dmarc.dkim_aligned


def test_ax_11_a_second_from_breaks_our_signature_and_names_no_author() -> None:
    """AX-11: From is signed once more than it is there, and two of them are no message at all."""
    found = Arrival(b"From: x@evil.test\r\n" + _FROM_BANK, EVIL_IP, "x@evil.test").judged()
    assert found.dkim[0].result is Result.FAIL
    assert found.dmarc.result is not Result.PASS
    assert found.author.must_be_refused


def test_a_display_name_that_deceives_is_flagged_though_dmarc_passes() -> None:
    raw, ip, sender, *_ = SITUATIONS["AX-20: a name that looks like another's address"]
    found = Arrival(raw, ip, sender).judged()
    assert found.dmarc.result is Result.PASS
    assert found.author.is_disguised


def test_who_trusts_a_list_takes_its_mail_and_says_so() -> None:
    raw, ip, sender, *_ = SITUATIONS["a list that adds a footer"]
    outcome = Arrival(raw, ip, sender).judged().dmarc.overridden(OverrideType.MAILING_LIST, "talk@list.test")
    assert (outcome.result, outcome.disposition.value) == (Result.FAIL, "none")
    assert [override.type.value for override in outcome.overrides] == ["mailing_list"]


def test_when_the_dns_is_back_the_same_message_gets_its_verdict() -> None:
    """AX-23: what was told to come again is then decided."""
    raw, ip, sender, *_ = SITUATIONS["AX-23: a domain whose DNS does not answer"]
    zone = _dns()
    zone["ill.test"] = [f"TXT v=spf1 ip4:{BANK_IP} -all"]
    zone["s._domainkey.ill.test"] = [_published("ill.test")]
    found = Arrival(raw, ip, sender, zone=zone).judged()
    assert (found.dmarc.result, found.dmarc.dkim_domains, found.dmarc.spf_aligned) == (Result.PASS, ("ill.test",), True)


def test_the_bounce_is_of_the_name_that_its_host_gives() -> None:
    """RFC 7208 §2.4: for the null path it is postmaster@HELO."""
    found = Arrival(_message("MAILER <mailer@bank.test>"), BANK_IP, "", helo="mx.bank.test").judged()
    assert (found.spf.identity, found.spf.domain, found.dmarc.spf_aligned) == ("helo", "mx.bank.test", True)
    stranger = Arrival(_message("MAILER <mailer@bank.test>"), EVIL_IP, "", helo="evil.test").judged()
    assert (stranger.spf.result, stranger.dmarc.disposition.value) == (Result.PASS, "reject")


def _signed_as(domain: str, selector: str) -> bytes:
    """A message in the bank's name with a signature by the key of evil.test, which claims to be of this domain and selector."""
    raw = _message(BANK)
    return sign(raw, parse_headers(raw), [SigningKey(domain, selector, _key("evil.test").key)], NOW) + raw


@pytest.mark.parametrize(
    ("domain", "selector", "published"),
    [
        ("bank.test", "s.evil.test\x00", "s.evil.test"),  # a resolver that stops at NUL would ask evil.test
        ("bank.test", "s.evil.test\x00", "s.evil.test\\000._domainkey.bank.test"),
        ("bank.test(.evil.test", "s", "s._domainkey.bank.test(.evil.test"),  # what a reader of our results takes for a comment
        ("bank.test\x00.evil.test", "s", "s._domainkey.bank.test"),
        ("bank.test\x00.evil.test", "s", "s._domainkey.bank.test\\000.evil.test"),
        ("bank.test,evil.test", "s", "s._domainkey.bank.test,evil.test"),
        ("bank.test evil.test", "s", "s._domainkey.bank.test evil.test"),
        ('"bank.test".evil.test', "s", 's._domainkey."bank.test".evil.test'),
        ("evil.test/bank.test", "s", "s._domainkey.evil.test/bank.test"),
        ("test", "s", "s._domainkey.test"),
    ],
)
def test_ax_21_no_spelling_of_a_signer_makes_it_another_one(domain: str, selector: str, published: str) -> None:
    """AX-21: the name that is asked, the name that is compared and the name that is shown are one."""
    zone = _dns()
    if published not in zone:  # what is the bank's own stays
        zone[published] = [_published("evil.test")]
    found = Arrival(_signed_as(domain, selector), EVIL_IP, "x@evil.test", zone=zone).judged()
    assert (found.dmarc.result, found.dmarc.disposition.value, found.dmarc.dkim_domains) == (Result.FAIL, "reject", ())
    for outcome in found.dkim:
        assert outcome.result is not Result.PASS or outcome.domain == domain


@pytest.mark.parametrize(
    ("helo", "sender"),
    [
        ("evil.test", "office@bank.test"),  # HELO may be anybody's, it is MAIL FROM that counts
        ("evil.test", ""),
        ("bank.test", "x@evil.test"),
        ("bank.test", ""),
        ("bank.test", '"office@bank.test"@evil.test'),
        ("bank.test", "office@bank.test.evil.test"),
        ("bank.test", "office@evilbank.test"),
    ],
)
def test_ax_21_no_helo_and_no_envelope_sender_stands_in_for_the_author(helo: str, sender: str) -> None:
    """AX-21: evil.test may send for itself and its subdomains, and for nobody else."""
    zone = _dns()
    zone["bank.test.evil.test"] = zone["evilbank.test"] = [f"TXT v=spf1 ip4:{EVIL_IP} -all"]
    found = Arrival(_message(BANK), EVIL_IP, sender, helo=helo, zone=zone).judged()
    assert (found.dmarc.result, found.dmarc.disposition.value, found.dmarc.spf_aligned) == (Result.FAIL, "reject", False)
