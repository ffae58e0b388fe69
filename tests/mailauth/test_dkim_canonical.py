"""The simple and the relaxed form of header fields and bodies."""

from __future__ import annotations

import hashlib
import time
import tracemalloc

import dkim.canonicalization as other
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dkim_canonical import (
    BodyHash,
    SignedFields,
    relaxed_field,
    signature_field,
    simple_field,
    without_signature,
)

_EMPTY = hashlib.sha256(b"").digest()


def _sha(form: bytes) -> bytes:
    return hashlib.sha256(form).digest()


def _hashed(body: bytes, *, relaxed: bool, limit: int | None = None, cuts: tuple[int, ...] = ()) -> tuple[bytes, int]:
    found = BodyHash(relaxed=relaxed, limit=limit)
    at = 0
    for cut in (*sorted(cuts), len(body)):
        found.update(body[at:cut])
        at = max(at, cut)
    return found.digest(), found.length


@pytest.mark.parametrize(("body", "relaxed", "simple"), [
    (b"", b"", b"\r\n"),  # RFC 6376 §3.4.3, §3.4.4
    (b"\r\n", b"", b"\r\n"),
    (b"\r\n\r\n\r\n", b"", b"\r\n"),
    (b" \r\n\t\r\n", b"", b" \r\n\t\r\n"),
    (b"a", b"a\r\n", b"a\r\n"),
    (b"a\r\n\r\n\r\n", b"a\r\n", b"a\r\n"),
    (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n", b" C \r\nD \t E\r\n"),  # RFC 6376 §3.4.5
    (b"\r\na\r\n \r\n", b"\r\na\r\n", b"\r\na\r\n \r\n"),
    (b"a\r\n\r\nb", b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
    (b"a\r", b"a\r\r\n", b"a\r\r\n"),
    (b"a\n", b"a\n\r\n", b"a\n\r\n"),
    (b"a\r\r\n", b"a\r\r\n", b"a\r\r\n"),
    (b"a\r\n\n", b"a\r\n\n\r\n", b"a\r\n\n\r\n"),
])
def test_ax17_bodies(body: bytes, relaxed: bytes, simple: bytes) -> None:
    assert _hashed(body, relaxed=True) == (_sha(relaxed), len(relaxed))
    assert _hashed(body, relaxed=False) == (_sha(simple), len(simple))


_ATOMS = [b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"b c", b"  ", b"\r\n\r\n", b" \r\n", b"\0", b"\xff", b" " * 70]
_BODIES = st.lists(st.sampled_from(_ATOMS)).map(b"".join)


@given(_BODIES, st.lists(st.integers(0, 60), max_size=4))
@example(b"a \r\n", [2])
@example(b"a \r\n \r\n", [3, 6])
@settings(max_examples=400, deadline=None)
def test_ax17_bodies_have_the_form_that_dkimpy_gives_them_however_they_are_cut(body: bytes, cuts: list[int]) -> None:
    for relaxed, form in ((True, other.Relaxed), (False, other.Simple)):
        theirs = form.canonicalize_body(body)
        assert _hashed(body, relaxed=relaxed, cuts=tuple(cuts)) == (_sha(theirs), len(theirs))


@given(st.text(alphabet="aB:\t ;=\xe4", max_size=40), st.lists(st.sampled_from(["\r\n ", "\r\n\t", " x", "\ty "]), max_size=5))
@settings(max_examples=200, deadline=None)
def test_fields_have_the_form_that_dkimpy_gives_them(text: str, folds: list[str]) -> None:
    value = (text + "".join(folds)).encode()
    ((name, form),) = other.Relaxed.canonicalize_headers([(b"SubJect ", value)])
    assert relaxed_field(b"SubJect", value) == name + b":" + form


def test_only_spaces_and_tabs_are_white_space_of_a_field() -> None:
    assert relaxed_field(b"A", b" \x0b\r x \x0c \ty\r\n  z") == b"a:\x0b\r x \x0c y z\r\n"


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 5, 6, 100])
def test_a_limit_counts_octets_of_the_form(limit: int) -> None:
    form = b"a\r\nb\r\n"
    for relaxed in (True, False):
        assert _hashed(b"a\r\nb\r\n\r\n", relaxed=relaxed, limit=limit, cuts=(2, 3)) == (_sha(form[:limit]), len(form))


@pytest.mark.parametrize("piece", [
    b"\r\n", b" ", b"\t\r\n", b"\r", b" \r", b"\n", b"a ", b"a\t \r\n", b"a" * 62 + b"\r\n", b" \r\n" * 3 + b"\n\r",
])
def test_ax17_fifty_mebibytes_take_little_time_and_no_memory(piece: bytes) -> None:
    chunk = piece * ((1 << 20) // len(piece))
    found = BodyHash()
    tracemalloc.start()
    begun = time.perf_counter()
    for _ in range(50):
        found.update(chunk)
    found.digest()
    took = time.perf_counter() - begun
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < 5  # fifty times the whole work of one mebibyte
    assert peak < 4 << 20


def test_fields_are_picked_from_the_bottom() -> None:
    headers = parse_headers(b"A: 1\r\nb: x\r\nA:  2\r\na:3  4\r\n\r\n")
    fields = SignedFields(headers)
    names = [b"a", b"c", b"a", b"b", b"b", b"a", b"a"]
    assert fields.pick(names, relaxed=True) == [b"a:3 4\r\n", b"a:2\r\n", b"b:x\r\n", b"a:1\r\n"]  # RFC 6376 §5.4.2
    assert fields.pick(names, relaxed=False) == [b"a:3  4\r\n", b"A:  2\r\n", b"b: x\r\n", b"A: 1\r\n"]


def test_a_simple_field_ends_its_lines_in_crlf() -> None:
    assert simple_field(b"A : 1\r\n  2\r\n") == b"A : 1\r\n  2\r\n"
    assert simple_field(b"A: 1\n 2\n") == b"A: 1\r\n 2\r\n"


@pytest.mark.parametrize(("value", "bare"), [
    (b" v=1; b=abc\r\n\tdef; d=x", b" v=1; b=; d=x"),
    (b"b = abc", b"b ="),
    (b" bh=abc; b=def", b" bh=abc; b="),
    (b" d=b; x=b=c;\r\n b\t=\r\n\tabc ", b" d=b; x=b=c;\r\n b\t="),
])
def test_the_signature_is_taken_out_and_nothing_else(value: bytes, bare: bytes) -> None:
    assert without_signature(value) == bare


def test_the_signature_field_ends_without_crlf() -> None:
    assert signature_field(b"DKIM-Signature", b" a=b;\r\n  b=abc; c=d", relaxed=True) == b"dkim-signature:a=b; b=; c=d"
    assert signature_field(b"DKIM-Signature", b" a=b;\r\n  b=abc", relaxed=False) == b"DKIM-Signature: a=b;\r\n  b="


@pytest.mark.parametrize("length", [0, 1, 2046, 2047, 2048, 4094, 4095, 16_383, 16_384, 16_385, 140_000])
def test_the_hash_does_not_depend_on_the_length_of_what_is_added(length: int) -> None:
    text = bytes(65 + at % 26 for at in range(length))
    found = BodyHash(relaxed=False)
    found.update(text)
    assert found.digest() == hashlib.sha256(text + b"\r\n").digest()
    part = BodyHash(relaxed=False, limit=3_000)
    part.update(text)
    assert part.digest() == hashlib.sha256((text + b"\r\n")[:3_000]).digest()
