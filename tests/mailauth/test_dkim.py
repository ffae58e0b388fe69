"""Signatures: what passes, what does not and with which result, and what ours cover."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.mailauth.quick import quickly
from tests.mailauth.signing import (
    MESSAGE,
    NOW,
    checked,
    ed_key,
    name_of,
    odd_rsa,
    public_of,
    published,
    record_of,
    rsa_key,
    signed,
)

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.dns.questions import answer_from, run_lookup
from ekiden.dns.records import Txt
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dkim import DkimCheck, DkimOutcome, DkimSigner
from ekiden.mailauth.dkim_canonical import BodyHash, SignedFields, signature_field
from ekiden.mailauth.dkim_key import Rules, SigningKey
from ekiden.mailauth.results import Evidence, Result

_NOW_S = NOW // 1000


def made(
    tags: str = "", *, raw: bytes = MESSAGE, key: SigningKey | None = None, drop: str = "",
    change: Callable[[bytes], bytes] = lambda value: value,
    relaxed: tuple[bool, bool] = (False, False), limit: int | None = None,
) -> bytes:  # fmt: skip
    """A message with a signature put together by hand: tags come before or instead of the usual ones, drop names one to leave out."""
    key = key or rsa_key()
    headers = parse_headers(raw)
    body = BodyHash(relaxed=relaxed[1], limit=limit)
    body.update(raw, headers.body_at)
    forms = "/".join("relaxed" if each else "simple" for each in relaxed)
    usual = {
        "v": "1", "a": key.algorithm, "d": key.domain, "s": key.selector, "h": "from:to:subject:date", "c": forms,
        "bh": base64.b64encode(body.digest()).decode(),
    }  # fmt: skip
    own = {tag.partition("=")[0].strip() for tag in tags.split(";")}
    rest = "; ".join(f"{name}={value}" for name, value in usual.items() if name not in own and name != drop)
    value = change(f" {tags}{'; ' if tags else ''}{rest}; b=".encode())
    names = re.search(rb"h=([^;]*)", value)
    picked = SignedFields(headers).pick(names[1].lower().split(b":") if names else [], relaxed=relaxed[0])
    data = b"".join(picked) + signature_field(b"DKIM-Signature", value, relaxed=relaxed[0])
    return b"DKIM-Signature:" + value + base64.b64encode(key.sign(data)) + b"\r\n" + raw


def only(raw: bytes, key: SigningKey | None = None, more: bytes = b"") -> DkimOutcome:
    (outcome,) = checked(raw, published(key or rsa_key(), more=more))
    return outcome


# ---- what passes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("relaxed", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("key", [rsa_key, ed_key])
def test_each_form_and_each_algorithm_passes(relaxed: tuple[bool, bool], key: Callable[[], SigningKey]) -> None:
    found = only(made(relaxed=relaxed, key=key()), key())
    assert (found.result, found.domain, found.algorithm) == (Result.PASS, "one.test", key().algorithm)
    assert found.key_bits == (2048 if key is rsa_key else 256)
    assert not found.partial
    assert not found.testing


def test_both_of_ours_pass_and_the_evidence_says_which() -> None:
    rsa, ed = checked(signed(MESSAGE, rsa_key(), ed_key(), identity="alice@mail.one.test", expires_s=3600), published(rsa_key(), ed_key()))
    assert (rsa.result, ed.result) == (Result.PASS, Result.PASS)
    assert rsa.evidence() == Evidence("dkim", Result.PASS, {
        "header.d": "one.test", "header.s": "sel", "header.a": "rsa-sha256", "header.b": rsa.mark, "header.i": "alice@mail.one.test",
    })  # fmt: skip
    assert len(rsa.mark) == 8
    assert rsa.mark != ed.mark


def test_no_signature_is_no_outcome_and_no_question() -> None:
    asked: list[str] = []
    assert checked(MESSAGE, {}, asked=asked) == ()
    assert asked == []


def test_a_body_in_pieces_is_the_same_body() -> None:
    raw = signed()
    headers = parse_headers(raw)
    check = DkimCheck(headers, NOW)
    for at in range(headers.body_at, len(raw)):
        check.update(raw[at : at + 1])
    records = {name_of(rsa_key()): [Txt((record_of(rsa_key()),))]}
    whole = checked(raw, published(rsa_key()))
    assert run_lookup(check.outcomes(), lambda question: answer_from(records, question)) == whole
    assert whole[0].result is Result.PASS


def test_duplicates_are_taken_from_the_bottom() -> None:
    raw = b"To: first@two.test\r\n" + MESSAGE
    assert only(made("h=from:to:to:to", raw=raw)).result is Result.PASS  # RFC 6376 §5.4.2
    once = made("h=from:to", raw=MESSAGE)
    assert only(once.replace(b"From: Alice", b"To: first@two.test\r\nFrom: Alice")).result is Result.PASS
    assert only(once.replace(b"Subject:", b"To: last@two.test\r\nSubject:")).result is Result.FAIL


def test_a_signature_may_cover_another_and_never_itself() -> None:
    below = made()
    above = made("h=from:dkim-signature:dkim-signature", raw=below)
    assert [each.result for each in checked(above, published(rsa_key()))] == [Result.PASS, Result.PASS]


@pytest.mark.parametrize(("tag", "changed"), [(b" y=z ; ", b" y=w ; "), (b"\r\n\tz=From:a|To:b; ", b"\r\n\tz=From:a|To:c; ")])
def test_unknown_tags_are_signed_and_not_read(tag: bytes, changed: bytes) -> None:
    raw = made(change=lambda usual: tag + usual.lstrip())
    assert only(raw).result is Result.PASS
    assert only(raw.replace(tag, changed)).result is Result.FAIL


def test_a_domain_in_its_own_script_is_asked_for_in_a_labels() -> None:
    key = SigningKey("xn--r8jz45g.test", "sel", rsa_key().key)
    found = only(made("d=例え.test", key=key), key)  # RFC 8616 §5
    assert (found.result, found.domain) == (Result.PASS, "xn--r8jz45g.test")


# ---- what does not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new", "because"), [
    (b"see you", b"see  yOu", "the body"), (b"The  plan", b"The  plot", "the header"), (b"see you.", b"see you.\r\nmore", "the body"),
    (b"To: bob@two.test\r\n", b"", "the header"),
])
def test_what_was_changed_fails(old: bytes, new: bytes, because: str) -> None:
    found = only(signed().replace(old, new))
    assert found.result is Result.FAIL
    assert found.because.startswith(because)


def test_ax10_a_signature_of_a_part_of_the_body_is_partial() -> None:
    raw = made("l=10", limit=10)
    appended = raw + b"<p>and this</p>\r\n"
    for each in (raw, appended):
        found = only(each)
        assert (found.result, found.partial) == (Result.PASS, True)
        assert found.because.startswith("l= covers 10 of ")
    length = len(MESSAGE) - parse_headers(MESSAGE).body_at - 2
    whole = only(made(f"l={length}", limit=length))
    assert (whole.result, whole.partial) == (Result.PASS, False)
    assert only(made(f"l={length}", limit=length) + b"x").partial
    assert only(made(f"l={length + 1}", limit=length + 1)).result is Result.PERMERROR  # RFC 6376 §3.5


def test_ax11_a_second_from_on_top_breaks_our_signature() -> None:
    assert only(signed()).result is Result.PASS
    assert only(b"From: ceo@bank.test\r\n" + signed()).result is Result.FAIL


def test_ax12_a_hundred_signatures_are_eight_and_one_question_each() -> None:
    fields = b"".join(b"DKIM-Signature: v=1; a=rsa-sha256; d=slow%d.test; s=s; h=from; bh=%s; b=AAAA\r\n" % (
        number, base64.b64encode(bytes(32)),
    ) for number in range(100))  # fmt: skip
    asked: list[str] = []

    def work() -> tuple[DkimOutcome, ...]:
        asked.clear()
        return checked(fields + MESSAGE, {f"s._domainkey.slow{number}.test": [b"timeout"] for number in range(100)}, asked=asked)

    found = quickly(work)
    assert [each.result for each in found] == [Result.TEMPERROR] * 8
    assert asked == [f"s._domainkey.slow{number}.test" for number in range(8)]


def test_equal_keys_are_asked_for_once() -> None:
    asked: list[str] = []
    once = made()
    found = checked(once[: once.index(b"From:")] + once, published(rsa_key()), asked=asked)
    assert [each.result for each in found] == [Result.PASS, Result.PASS]
    assert asked == [name_of(rsa_key())]


@pytest.mark.parametrize(("bits", "result"), [
    (512, Result.POLICY), (1023, Result.POLICY), (1024, Result.FAIL), (4096, Result.FAIL), (4097, Result.POLICY), (16_384, Result.POLICY),
])
def test_ax13_sizes_of_keys_are_judged_before_the_mathematics(bits: int, result: Result) -> None:
    record = b"v=DKIM1; p=" + base64.b64encode(odd_rsa(bits))
    raw = made()
    (found,) = quickly(lambda: checked(raw, {name_of(rsa_key()): [record]}))
    assert found.result is result  # RFC 8301 §3.2


@pytest.mark.parametrize("exponent", [2**64 + 1, 2**32 + 1])
def test_ax13_large_exponents_are_refused(exponent: int) -> None:
    (found,) = quickly(lambda: checked(made(), {name_of(rsa_key()): [b"p=" + base64.b64encode(odd_rsa(2048, exponent))]}))
    assert found.result is Result.PERMERROR


def test_ax13_rsa_sha1_fails_without_a_question() -> None:
    asked: list[str] = []
    raw = made("a=rsa-sha1; bh=" + base64.b64encode(hashlib.sha1(b"").digest()).decode())
    (found,) = checked(raw, published(rsa_key()), asked=asked)
    assert (found.result, found.because, asked) == (Result.FAIL, "rsa-sha1 is not accepted any more", [])  # RFC 8301 §3.1


@pytest.mark.parametrize("length", [0, 31, 33, 44])
def test_ax13_ed25519_keys_have_32_octets(length: int) -> None:
    (found,) = checked(made(key=ed_key()), {name_of(ed_key()): [b"k=ed25519; p=" + base64.b64encode(bytes(length))]})
    assert found.result is (Result.PERMERROR if length else Result.FAIL)


@pytest.mark.parametrize(("tags", "because"), [
    (f"x={_NOW_S - 1}", "expired"), ("t=4102444800", "made in the future"), (f"t={_NOW_S}; x={_NOW_S}", "expired before it was made"),
    (f"t={_NOW_S + 500}; x={_NOW_S + 400}", "expired before it was made"), ("t=9999999999999999999999", "made in the future"),
])
def test_ax14_times_that_cannot_be(tags: str, because: str) -> None:
    found = only(made(tags))
    assert (found.result, found.because) == (Result.FAIL, because)


@pytest.mark.parametrize("tags", [f"x={_NOW_S + 1}", f"t={_NOW_S + 599}", "t=0; x=99999999999999999"])
def test_ax14_times_that_can_be(tags: str) -> None:
    assert only(made(tags)).result is Result.PASS


def _field(value: bytes) -> bytes:
    return b"DKIM-Signature: " + value + b"\r\n" + MESSAGE


_REST = b"a=rsa-sha256; d=one.test; s=sel; bh=" + base64.b64encode(bytes(32))


@pytest.mark.parametrize("raw", [
    _field(b"v=1; h=from; " + _REST), _field(b"v=1; h=from; b=AAAA; b=AAAA; " + _REST), _field(b"v=1; h=to; b=AAAA; " + _REST),
    _field(b"v=1; h=" + b"x:" * 9_999 + b"from; b=AAAA; " + _REST), _field(b"v=1; h=from; b=AAAA; " + _REST.replace(b"one.test", b"com")),
    _field(b"v=1; h=from; b=AAAA; i=a@two.test; " + _REST), _field(b"v=1; h=from; b=AAAA; i=a@xone.test; " + _REST),
    _field(b"v=2; h=from; b=AAAA; " + _REST), _field(b"h=from; b=AAAA; " + _REST), _field(b"v=1; c=x/y; h=from; b=AAAA; " + _REST),
    _field(b"v=1; h=from; z=" + b"a" * (100 << 10) + b"; b=AAAA; " + _REST), _field(b"v=1; h=; b=AAAA; " + _REST),
    _field(b"v=1; h=from; b=!!!; " + _REST), _field(b"v=1; h=from; b=; " + _REST), _field(b"v=1; h=from; l=-1; b=AAAA; " + _REST),
    _field(b"v=1; h=from; l=1e9; b=AAAA; " + _REST), _field(b"v=1; h=from; t=now; b=AAAA; " + _REST), _field(b""), _field(b"\0"),
    _field(b"v=1; h=from; b=AAAA; " + _REST.replace(b"s=sel", b"s=a.evil\0.x")), _field(b"v=1; h=from; b=AAAA; " + _REST + b"\xff"),
    _field(b"v=1; h=from; b=AAAA; " + _REST.replace(b"s=sel", b"s=a..b")),
    _field(b"v=1; h=from; b=AAAA; " + _REST.replace(b"s=sel", b"s=-")),
    _field(b"v=1; h=from; b=AAAA; " + _REST.replace(b"s=sel", b"s=" + b"a." * 120 + b"a")),
    _field(b"v=1; h=from; b=AAAA; " + _REST.replace(b"one.test", b"one..test")), _field(b"v=1; h=from;;b=AAAA; " + _REST),
    _field(b"v=1; h=from; b=" + b"A" * 4096 + b"; " + _REST), _field(b"v=1; h=from; l=" + b"9" * 77 + b"; b=AAAA; " + _REST),
])
def test_ax15_what_is_no_signature_is_a_permerror_and_costs_no_question(raw: bytes) -> None:
    asked: list[str] = []
    (found,) = quickly(lambda: checked(raw, published(rsa_key()), asked=asked))
    assert (found.result, asked) == (Result.PERMERROR, [])
    assert found.because


@pytest.mark.parametrize("tags", ["a=rsa-sha512", "a=dsa-sha256", "q=dns/special", "a=ed25519-sha1; bh=" + "A" * 27 + "="])
def test_what_we_do_not_know_is_neutral(tags: str) -> None:
    assert only(made(tags)).result is Result.NEUTRAL  # RFC 8601 §2.7.1


def _record(more: bytes) -> bytes:
    return b"v=DKIM1; " + more + b"p=" + base64.b64encode(public_of(rsa_key()))


@pytest.mark.parametrize(("records", "result"), [
    ([b"v=DKIM1; p="], Result.FAIL),  # revoked
    ([b"v=DKIM1; p=!!!"], Result.PERMERROR), ([_record(b"k=foo; ")], Result.PERMERROR), ([_record(b"s=tlsrpt; ")], Result.PERMERROR),
    ([_record(b"")] * 5, Result.PERMERROR), ([_record(b"n=" + b"x" * (10 << 10) + b"; ")], Result.PERMERROR),
    ([_record(b"n=\0; ")], Result.PERMERROR), ([_record(b"h=sha1; ")], Result.PERMERROR), ([b"v=DKIM2; p=AAAA"], Result.PERMERROR),
    ([b"p=AAAA; v=DKIM1"], Result.PERMERROR), ([b"v=DKIM1"], Result.PERMERROR), ([b""], Result.PERMERROR), ([], Result.PERMERROR),
    ([b"\xff\xfe"], Result.PERMERROR), ([b"v=DKIM1; p=AAAA"], Result.PERMERROR), ([b"SERVFAIL"], Result.TEMPERROR),
    ([b"timeout"], Result.TEMPERROR), ([_record(b"t=s:y; ")], Result.PASS), ([_record(b"g=nobody; x=y; ")], Result.PASS),
    ([b"v=spf1 -all", _record(b"")], Result.PASS), ([record_of(ed_key()), _record(b"h=sha256:sha1; s=*; ")], Result.PASS),
    ([_record(b"s=web:email; ")], Result.PASS), ([base64.b64encode(public_of(rsa_key())).join([b"p=", b"; "])], Result.PASS),
    ([b"x"] * 100 + [_record(b"")], Result.PERMERROR),
])
def test_ax16_key_records(records: list[bytes], result: Result) -> None:
    (found,) = quickly(lambda: checked(_AX16, {name_of(rsa_key()): records}))
    assert found.result is result


_AX16 = made()


def test_a_strict_key_wants_the_domain_itself() -> None:
    below = made("i=a@mail.one.test")
    assert only(below).result is Result.PASS
    assert only(below, more=b"t=s; ").result is Result.PERMERROR  # RFC 6376 §3.6.1
    assert only(made("i=a@ONE.test"), more=b"t=s; ").result is Result.PASS


def test_a_domain_that_tests_never_fails() -> None:
    assert only(made(), more=b"t=y; ").testing
    found = only(made().replace(b"plan", b"plot"), more=b"t=y; ")
    assert (found.result, found.testing) == (Result.NEUTRAL, True)  # RFC 6376 §3.6.1


def test_old_mail_may_have_rules_of_its_own() -> None:
    raw = made(drop="v", key=rsa_key(1024))
    (found,) = checked(raw, published(rsa_key(1024)), Rules(versions=frozenset({""}), least_bits=512))
    assert found.result is Result.PASS


# ---- our own -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"Content-Type", b"Reply-To", b"MIME-Version", b"Content-Transfer-Encoding",
])
def test_ax18_no_field_can_be_added(name: bytes) -> None:
    raw = signed()
    for added in (name + b": x\r\n" + raw, raw.replace(b"\r\n\r\n", b"\r\n" + name + b": x\r\n\r\n", 1)):
        assert only(added).result is Result.FAIL


def test_what_others_add_on_the_way_does_no_harm() -> None:
    assert only(b"Received: by x\r\nList-Id: <l.two.test>\r\nReturn-Path: <>\r\n" + signed()).result is Result.PASS


def test_our_fields_are_folded_and_say_when() -> None:
    raw = signed(MESSAGE, rsa_key(), ed_key(), expires_s=60, identity="a;b@one.test")
    fields = raw[: raw.index(b"From: Alice")]
    assert max(map(len, fields.split(b"\r\n"))) <= 78
    assert fields.count(f"t={_NOW_S}; x={_NOW_S + 60};".encode()) == 2
    assert fields.count(b"i=a=3Bb@one.test;") == 2
    assert [each.result for each in checked(raw, published(rsa_key(), ed_key()))] == [Result.PASS] * 2
    assert [each.result for each in checked(raw, published(rsa_key(), ed_key()), now=Millis(NOW + 61_000))] == [Result.FAIL] * 2


def test_an_identity_of_elsewhere_is_refused() -> None:
    with pytest.raises(BadValue):
        signed(identity="a@two.test")


@pytest.mark.parametrize("body", [b"", b"\r\n", b"x", b" \r\n" * 100, b"a \t b\r\n" * 50_000])
def test_ax17_every_body_passes_and_may_be_fed_in_pieces(body: bytes) -> None:
    raw = MESSAGE[: parse_headers(MESSAGE).body_at] + body
    signer = DkimSigner(parse_headers(raw), [rsa_key()], NOW)
    for at in range(0, len(body), 4099):
        signer.update(body[at : at + 4099])
    fields = signer.fields()
    assert fields + raw == signed(raw)  # RSA as DKIM uses it has no randomness
    assert only(fields + raw).result is Result.PASS


def test_a_field_that_comes_a_thousand_times_is_signed_within_bounds() -> None:
    raw = b"To: x@two.test\r\n" * 1000 + MESSAGE
    assert len(signed(raw)) - len(raw) < 2_000
    assert only(signed(raw)).result is Result.PASS


# ---- dkimpy, a verifier and signer of others ---------------------------------------------------------


def _theirs(raw: bytes, key: SigningKey, *, relaxed: tuple[bool, bool]) -> bytes:
    if isinstance(key.key, RSAPrivateKey):
        secret = key.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        algorithm = b"rsa-sha256"
    else:
        secret = base64.b64encode(key.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
        algorithm = b"ed25519-sha256"
    forms = tuple(b"relaxed" if each else b"simple" for each in relaxed)
    field = dkimpy.sign(raw, key.selector.encode(), key.domain.encode(), secret, canonicalize=forms, signature_algorithm=algorithm)
    return bytes(field) + raw


@pytest.mark.parametrize("key", [rsa_key, ed_key])
@pytest.mark.parametrize("relaxed", [(False, False), (False, True), (True, False), (True, True)])
def test_we_pass_what_dkimpy_signs(key: Callable[[], SigningKey], relaxed: tuple[bool, bool]) -> None:
    raw = _theirs(MESSAGE, key(), relaxed=relaxed)
    (found,) = checked(raw, published(key()), now=Millis(int(time.time() * 1000)))
    assert found.result is Result.PASS
    assert checked(raw.replace(b"see you", b"see me"), published(key()), now=Millis(int(time.time() * 1000)))[0].result is Result.FAIL


@pytest.mark.parametrize("key", [rsa_key, ed_key])
def test_dkimpy_passes_what_we_sign(key: Callable[[], SigningKey]) -> None:
    def txt(name: bytes, timeout: int = 5) -> bytes | None:
        return record_of(key()) if name.decode().rstrip(".") == name_of(key()) else None

    assert dkimpy.verify(signed(MESSAGE, key()), dnsfunc=txt)
    assert not dkimpy.verify(signed(MESSAGE, key()).replace(b"see you", b"see me"), dnsfunc=txt)
