"""Packets that may be believed, and those that may not. Row names (DN-) are those of the project's table of attacks."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.dns.questions import Finding, Question
from ekiden.dns.records import A, Aaaa, Cname, Mx, Ptr, Record, Tlsa, Txt
from ekiden.net.dnswire import Heard, clamp, decode_answer, encode_question

MX = Question(Mx, "one.test")


def answer(*lines: str, question: Question = MX, rcode: str = "NOERROR", flags: str = "QR RD RA", authority: str = "") -> bytes:
    """A packet; lines as in a zone file."""
    message = dns.message.make_response(dns.message.from_wire(encode_question(question, 7)))
    message.flags = dns.flags.from_text(flags)
    message.set_rcode(dns.rcode.from_text(rcode))
    for line in lines:
        name, ttl, kind, data = line.split(" ", 3)
        rrset = dns.rrset.from_text(name, min(int(ttl), 2**31 - 1), "IN", kind, data)
        rrset.ttl = int(ttl)
        message.answer.append(rrset)
    if authority:
        name, ttl, _, kind, data = authority.split(" ", 4)
        message.authority.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return message.to_wire()


def heard(packet: bytes, question: Question = MX) -> Heard:
    found = decode_answer(packet, question, 7)
    assert found is not None
    return found


SOA = "test. 3600 IN SOA ns.test. h.test. 1 2 3 4 60"


def test_a_question_asks_for_recursion_with_edns() -> None:
    query = dns.message.from_wire(encode_question(MX, 0xBEEF))
    assert (query.id, query.edns, query.payload) == (0xBEEF, 0, 1232)
    assert query.question[0].to_text() == "one.test. IN MX"
    assert query.flags & (dns.flags.RD | dns.flags.AD) == dns.flags.RD | dns.flags.AD
    assert dns.message.from_wire(encode_question(MX, 1, edns=False)).edns == -1


@pytest.mark.parametrize("name", ["_dmarc.one.test", "a b@c.test", "xn--bcher-kva.test", '"quoted;(x)".test'])
def test_names_with_odd_octets_survive_the_way(name: str) -> None:
    question = Question(A, name)
    packet = dns.message.make_response(dns.message.from_wire(encode_question(question, 7)), recursion_available=True).to_wire()
    assert heard(packet, question).finding is Finding.NO_DATA


@pytest.mark.parametrize(("line", "kind", "record"), [
    ("one.test. 60 A 192.0.2.1", A, A(IPv4Address("192.0.2.1"))),
    ("one.test. 60 AAAA 2001:db8::1", Aaaa, Aaaa(IPv6Address("2001:db8::1"))),
    ("one.test. 60 MX 10 MX.One.Test.", Mx, Mx(10, "mx.one.test")),
    ("one.test. 60 MX 0 .", Mx, Mx(0, "")),
    ('one.test. 60 TXT "a b" "\\255"', Txt, Txt((b"a b", b"\xff"))),
    ("one.test. 60 PTR a\\.b\\010.test.", Ptr, Ptr("a\\046b\\010.test")),        # DN-12: shown, never acted upon
    ("one.test. 60 PTR \\255\\010\\059rm.test.", Ptr, Ptr("\\255\\010;rm.test")),
    ("one.test. 60 CNAME two.test.", Cname, Cname("two.test")),
    ("one.test. 60 TLSA 3 1 1 " + "00ff" * 16, Tlsa, Tlsa(3, 1, 1, b"\x00\xff" * 16)),
])
def test_records_are_read(line: str, kind: type[Record], record: Record) -> None:
    question = Question(kind, "one.test")
    found = heard(answer(line, question=question), question)
    assert (found.finding, found.records, found.ttl_s) == (Finding.FOUND, (record,), 60)


def test_the_case_of_a_name_means_nothing() -> None:
    assert heard(answer("ONE.Test. 60 MX 10 a.test.")).finding is Finding.FOUND


@pytest.mark.parametrize("packet", [
    b"", b"\x00", b"\xff" * 11, b"\xff" * 40,
    (8).to_bytes(2, "big") + answer("one.test. 60 MX 10 a.test.")[2:],                          # wrong id
    encode_question(MX, 7),                                                                     # a question
    answer(question=Question(Mx, "two.test")),                                                  # wrong name
    answer(question=Question(A, "one.test")),                                                   # wrong type
    answer()[:12] + b"\xc0\x0c\x00\x0f\x00\x01",                                                # DN-04: points to itself
    answer()[:20],
])
def test_what_is_not_our_answer_is_ignored(packet: bytes) -> None:
    assert decode_answer(packet, MX, 7) is None  # DN-01


@pytest.mark.parametrize(("packet", "because"), [
    (answer(rcode="SERVFAIL"), "SERVFAIL"),                                                     # DN-07
    (answer(rcode="REFUSED"), "REFUSED"),
    (answer(rcode="FORMERR"), "FORMERR"),
    (answer(rcode="NOTAUTH"), "NOTAUTH"),
    (answer(authority="test. 60 IN NS ns.test.", flags="QR"), "a lame server"),
    (answer(authority="test. 60 IN NS ns.test."), "a lame server"),
    (answer(flags="QR RD"), "a lame server"),
    (answer("victim.test. 60 MX 10 a.test."), "an answer about another name"),                  # DN-06
    (answer("one.test. 60 MX 10 a.test.")[:-3], "malformed answer (FormError)"),                # DN-04
    (answer() + b"\x00", "malformed answer (TrailingJunk)"),
])
def test_a_failure_is_never_none(packet: bytes, because: str) -> None:
    found = heard(packet)
    assert (found.finding, found.because, found.records) == (Finding.FAILED, because, ())


def test_a_name_that_points_to_itself_is_malformed() -> None:
    packet = bytearray(answer()[: 12 + 14])
    packet[6:8], packet[8:12] = b"\0\1", bytes(4)
    record = b"\xc0\x1a\x00\x0f\x00\x01\x00\x00\x01\x2c\x00\x04\x00\x0a\xc0\x1a"
    assert heard(bytes(packet) + record).because == "malformed answer (BadPointer)"  # DN-04


def test_an_mx_record_of_one_byte_is_malformed() -> None:
    packet = bytearray(answer())
    packet[6:8] = b"\0\x01"
    packet[8:12] = bytes(4)
    record = b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x01\x2c\x00\x01\x0a"
    assert heard(bytes(packet[: 12 + 14]) + record).because.startswith("malformed")  # DN-04


@pytest.mark.parametrize(("packet", "finding", "ttl_s"), [
    (answer(rcode="NXDOMAIN", authority=SOA), Finding.NO_NAME, 60),                              # RFC 2308 §5: the lower
    (answer(authority=SOA), Finding.NO_DATA, 60),
    (answer(authority="test. 7 IN SOA ns.test. h.test. 1 2 3 4 60"), Finding.NO_DATA, 7),
    (answer(authority="test. 999999 IN SOA ns.test. h.test. 1 2 3 4 604800"), Finding.NO_DATA, 300),   # DN-09
    (answer(rcode="NXDOMAIN"), Finding.NO_NAME, 5),                                              # without SOA: hardly kept
    (answer(), Finding.NO_DATA, 5),                                                              # RFC 2308 §2.2, type 3
    (answer(flags="QR AA"), Finding.NO_DATA, 5),
    (answer("one.test. 60 CNAME two.test.", rcode="NXDOMAIN", authority=SOA), Finding.NO_NAME, 60),
    (answer("one.test. 60 CNAME two.test.", authority=SOA), Finding.NO_DATA, 60),
])
def test_nothing_there_and_no_such_name_are_told_apart(packet: bytes, finding: Finding, ttl_s: int) -> None:
    found = heard(packet)
    assert (found.finding, found.ttl_s) == (finding, ttl_s)


@pytest.mark.parametrize(("said", "kept"), [
    (0, 5), (4, 5), (5, 5), (86_400, 86_400), (604_800, 86_400), (2**31 - 1, 86_400), (2**31, 5), (2**32 - 1, 5),
])
def test_the_time_to_live_has_bounds(said: int, kept: int) -> None:
    assert clamp(said) == kept  # DN-09
    assert heard(answer(f"one.test. {said} MX 10 a.test.")).ttl_s == kept


def test_aliases_are_followed_inside_a_packet() -> None:
    found = heard(answer("two.test. 30 CNAME three.test.", "one.test. 90 CNAME two.test.", "three.test. 60 MX 10 a.test."))
    assert (found.aliases, found.records, found.ttl_s) == (("two.test", "three.test"), (Mx(10, "a.test"),), 30)


def test_an_alias_without_its_end_is_unfinished() -> None:
    found = heard(answer("one.test. 90 CNAME two.test."))
    assert (found.unfinished, found.aliases) == (True, ("two.test",))


def test_a_record_of_a_name_that_the_aliases_do_not_reach_is_left_alone() -> None:
    found = heard(answer("one.test. 90 CNAME two.test.", "victim.test. 60 MX 10 evil.test."))
    assert found.records == ()
    assert found.unfinished


def test_too_many_aliases_are_a_failure() -> None:
    chain = [f"{'one' if n == 0 else n}.test. 60 CNAME {n + 1}.test." for n in range(20)]
    eight = heard(answer(*chain[:8], "8.test. 60 MX 10 a.test."))
    assert (eight.finding, len(eight.aliases)) == (Finding.FOUND, 8)
    for lines in (chain, [*chain[:9], "9.test. 60 MX 10 a.test."]):
        assert heard(answer(*lines)).because == "too many CNAMEs"  # DN-05
    loop = answer("one.test. 60 CNAME two.test.", "two.test. 60 CNAME one.test.")
    assert heard(loop).because == "too many CNAMEs"


def test_truncation_is_seen_before_anything_else() -> None:
    assert heard(answer(flags="QR RD RA TC")) == Heard(truncated=True)


def test_a_server_without_edns_says_so_in_a_bare_header() -> None:
    found = heard(b"\x00\x07\x80\x01" + bytes(8))
    assert (found.because, found.again_without_edns) == ("FORMERR", True)
    assert not heard(b"\x00\x07\x80\x05" + bytes(8)).again_without_edns


def test_the_word_of_the_server_about_dnssec_is_kept() -> None:
    assert heard(answer("one.test. 60 MX 10 a.test.", flags="QR RD RA AD")).authentic
    assert not heard(answer("one.test. 60 MX 10 a.test.")).authentic


@given(st.binary(max_size=200))
def test_any_bytes_are_ignored_or_heard(noise: bytes) -> None:
    decode_answer(noise, MX, 7)
    decode_answer(answer()[: 12 + 14] + noise, MX, 7)
    decode_answer(b"\x00\x07\x80\x00" + noise, MX, 7)


def test_damaged_packets_never_raise() -> None:
    whole = answer("one.test. 90 CNAME two.test.", "two.test. 60 MX 10 a.test.", 'two.test. 60 TXT "x"', authority=SOA)
    chance = random.Random(7)
    for _ in range(3_000):
        packet = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            packet[chance.randrange(4, len(packet))] = chance.randrange(256)
        decode_answer(bytes(packet[: chance.randint(12, len(packet))]), MX, 7)
