"""Packets that may be believed, and those that may not. Row names (DN-) are those of the project's table of attacks."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
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
    (answer("one.test. 60 MX 10 a.test.")[:-3], "malformed answer (it ends too soon)"),                # DN-04
    (answer() + b"\x00", "malformed answer (bytes behind its end)"),
])
def test_a_failure_is_never_none(packet: bytes, because: str) -> None:
    found = heard(packet)
    assert (found.finding, found.because, found.records) == (Finding.FAILED, because, ())


def test_a_name_that_points_to_itself_is_malformed() -> None:
    packet = bytearray(answer()[: 12 + 14])
    packet[6:8], packet[8:12] = b"\0\1", bytes(4)
    record = b"\xc0\x1a\x00\x0f\x00\x01\x00\x00\x01\x2c\x00\x04\x00\x0a\xc0\x1a"
    assert heard(bytes(packet) + record).because == "malformed answer (a name that points nowhere)"  # DN-04


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
    (0, 5), (4, 5), (5, 5), (86_400, 86_400), (604_800, 86_400), (2**31 - 1, 86_400),
    (2**31, 5), (2**32 - 1, 5),                                                                 # RFC 2181 §8: zero
])
def test_the_time_to_live_has_bounds(said: int, kept: int) -> None:
    assert said >= 2**31 or clamp(said) == kept  # DN-09
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


def crafted(*records: bytes, section: int = 0) -> bytes:
    """An answer to MX with these records, byte for byte, in section 0 (answer), 1 (authority) or 2 (additional)."""
    packet = bytearray(answer()[: 12 + 14])
    packet[6:12] = b"".join((len(records) if section == n else 0).to_bytes(2, "big") for n in range(3))
    return bytes(packet) + b"".join(records)


def record(owner: bytes, kind: int, data: bytes, *, ttl: int = 60, class_: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, class_, ttl, len(data)) + data


OWNER = b"\xc0\x0c"  # the name in the question
LONG_NAME = b"\x3f" + b"x" * 63


@pytest.mark.parametrize("packet", [
    crafted(record(OWNER, 15, b"\0\x0a\x40" + b"x" * 64)),                                  # DN-04: a label of 64
    crafted(record(OWNER, 15, b"\0\x0a\x80a")),
    crafted(record(OWNER, 15, b"\0\x0a" + LONG_NAME * 4 + b"\0")),                          # DN-04: a name of 257 octets
    crafted(record(b"\x3f" + b"x" * 63 + b"\xc0\x0c", 15, b"\0\x0a" + LONG_NAME * 3 + b"\xc0\x1a")),  # 258, by a pointer
    crafted(record(OWNER, 15, b"\0\x0a\xff\xff")),                                         # points forward
    crafted(record(OWNER, 15, b"\0\x0a\x01a")),                                            # ends within the name
    crafted(record(OWNER, 15, b"\0\x0a\x01a\0\0")),                                       # and goes on behind it
    crafted(record(OWNER, 15, b"")), crafted(record(OWNER, 15, b"\0\x0a")),
    crafted(record(OWNER, 15, b"\0\x0a\0")[:-1]), crafted(record(OWNER, 15, b"\0\x0a\0")[:7]), crafted(b"\xc0"),
    crafted(record(OWNER, 5, b"\x01a\0\0")),
    crafted(record(b"\0", 6, b"\0\0" + bytes(19)), section=1), crafted(record(b"\0", 6, b"\0\0" + bytes(21)), section=1),
    crafted(b"\0", section=2),
])
def test_what_the_wire_format_does_not_allow_is_malformed(packet: bytes) -> None:
    found = heard(packet)
    assert (found.finding, found.because[:16]) == (Finding.FAILED, "malformed answer")


@pytest.mark.parametrize(("kind", "number", "data"), [
    (A, 1, bytes(3)), (A, 1, bytes(5)), (Aaaa, 28, bytes(4)), (Txt, 16, b""), (Txt, 16, b"\x05abc"), (Tlsa, 52, b"\3\1"), (Ptr, 12, b"\1a"),
])
def test_records_of_a_wrong_length_are_malformed(kind: type[Record], number: int, data: bytes) -> None:
    packet = bytearray(answer(question=Question(kind, "one.test"))[: 12 + 14])
    packet[6:12] = b"\0\1" + bytes(4)
    found = heard(bytes(packet) + record(OWNER, number, data), Question(kind, "one.test"))
    assert (found.finding, found.because[:16]) == (Finding.FAILED, "malformed answer")


def test_the_largest_names_and_labels_are_read() -> None:
    largest = LONG_NAME * 3 + b"\x3d" + b"y" * 61 + b"\0"
    assert len(heard(crafted(record(OWNER, 15, b"\0\x0a" + largest))).records[0].host) == 253  # type: ignore[attr-defined]  # an MX
    assert heard(crafted(record(OWNER, 15, b"\0\x0a\0"))).records == (Mx(10, ""),)


def test_records_of_another_class_do_not_count_and_the_same_record_counts_once() -> None:
    mx = b"\0\x0a\x01a\0"
    assert heard(crafted(record(OWNER, 15, mx, class_=3), record(OWNER, 15, mx))).records == (Mx(10, "a"),)
    assert heard(crafted(record(OWNER, 15, mx, class_=3))).finding is Finding.FAILED
    twice = heard(crafted(record(OWNER, 15, mx, ttl=70), record(OWNER, 15, mx, ttl=50)))
    assert (twice.records, twice.ttl_s) == ((Mx(10, "a"),), 50)


def test_the_upper_bits_of_a_code_count() -> None:
    found = heard(crafted(record(b"\0", 41, b"", ttl=1 << 24, class_=1232), section=2))
    assert (found.because, found.again_without_edns) == ("BADVERS", True)
    assert heard(crafted(record(b"\0", 41, b"", ttl=2 << 24, class_=1232), section=2)).because == "RCODE 32"


def _full(make: Callable[[int], bytes]) -> bytes:
    """An answer of nearly 64 KiB, of records that make() makes by number."""
    records = [make(0)]
    size = len(records[0]) + 26
    while size + len(following := make(len(records))) < 65_535:
        records.append(following)
        size += len(following)
    return crafted(*records)


_LABELS = b"".join(b"\x01" + bytes((97 + n % 26,)) for n in range(120))
_ENTRY = b"\xc0\x1a"  # the name of the first record


@pytest.mark.parametrize("make", [
    lambda n: record(OWNER, 15, b"\0\x0a\x03" + b"%03x" % (n % 4096) + _ENTRY) if n else record(_LABELS + b"\0", 99, b""),
    lambda n: record(b"\x03" + b"%03x" % (n % 4096) + _ENTRY, 15, b"\0\x0a\0") if n else record(_LABELS + b"\0", 99, b""),
    lambda n: record(_ENTRY, 1000 + n, b"") if n else record(_LABELS + b"\0", 99, b""),
    lambda n: record(b"\xc0" + bytes((0x1A + 2 * (n % 100),)), 5, b"\xc0\x0c") if n else record(_LABELS + b"\0", 99, b""),
    lambda n: record(OWNER, 15, n.to_bytes(2, "big") + b"\0"),
    lambda n: record(b"\0", n, b""),
])
def test_the_worst_packets_are_read_in_no_time(make: Callable[[int], bytes]) -> None:
    packet = _full(make)
    assert len(packet) > 65_000  # DN-03
    took = min(_seconds(lambda: heard(packet)) for _ in range(3))
    assert took < 0.2  # about 10 ms; what hashes each of these names by its labels needs ten seconds


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_a_chain_of_pointers_is_followed_a_few_steps() -> None:
    def chain(jumps: int) -> bytes:
        start = 26 + 12 + 1
        pointers = b"".join((0xC000 | (start + 2 * max(0, n - 1) if n else start - 1)).to_bytes(2, "big") for n in range(jumps))
        data = b"\0" + pointers  # the root, and pointers to it one behind the other
        return crafted(record(OWNER, 99, data), record(OWNER, 15, b"\0\x0a" + (0xC000 | (start + 2 * (jumps - 1))).to_bytes(2, "big")))

    assert heard(chain(60)).records == (Mx(10, ""),)
    assert heard(chain(8_000)).because == "malformed answer (a name that points nowhere)"


def test_dnspython_reads_the_same() -> None:
    whole = answer("one.test. 90 CNAME two.test.", "two.test. 60 MX 10 a.test.", "two.test. 60 MX 20 b.two.test.", authority=SOA)
    chance = random.Random(11)
    compared = 0
    for _ in range(3_000):
        packet = bytearray(whole)
        for _ in range(chance.randint(0, 3)):
            packet[chance.randrange(12, len(packet))] = chance.randrange(256)
        found = decode_answer(bytes(packet), MX, 7)
        try:
            message = dns.message.from_wire(bytes(packet))
        except Exception:
            continue
        if found is None or found.finding is not Finding.FOUND:
            continue
        at_end = dns.name.from_text(found.aliases[-1] if found.aliases else "one.test")
        theirs = message.get_rrset(message.answer, at_end, dns.rdataclass.IN, dns.rdatatype.MX)
        assert theirs is not None
        ours = {(mx.preference, dns.name.from_text(f"{mx.host}.")) for mx in found.records if isinstance(mx, Mx)}
        assert {(each.preference, each.exchange) for each in theirs} == ours
        compared += 1
    assert compared > 1_000


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
