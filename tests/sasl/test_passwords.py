"""Stored passwords. Small parameters, except where the real ones are what is tested."""

from __future__ import annotations

import unicodedata

import argon2
import pytest

from ekiden.base.errors import BadValue
from ekiden.sasl.passwords import MOST_BYTES, Passwords, prepare_password

FAST = Passwords(memory_kib=64, passes=1)


def test_new_forms_are_argon2id_with_the_published_parameters() -> None:
    stored = Passwords().hash(b"ekiden")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert Passwords().verify(stored, b"ekiden")
    assert not Passwords().needs_rehash(stored)


def test_each_form_has_its_own_salt() -> None:
    assert FAST.hash(b"same") != FAST.hash(b"same")


def test_only_the_right_password_is_right() -> None:
    stored = FAST.hash("pässword ✓".encode())
    assert FAST.verify(stored, "pässword ✓".encode())
    for wrong in (b"", b"p", b"password", "pässword ✓ ".encode(), "Pässword ✓".encode()):
        assert not FAST.verify(stored, wrong)


def test_long_passwords_are_neither_cut_nor_hashed_without_bound() -> None:
    stored = FAST.hash(b"a" * 72 + b"X")  # AU-14
    assert FAST.verify(stored, b"a" * 72 + b"X")
    assert not FAST.verify(stored, b"a" * 72 + b"Y")
    assert FAST.verify(FAST.hash(b"a" * MOST_BYTES), b"a" * MOST_BYTES)
    assert not FAST.verify(FAST.hash(b"a" * MOST_BYTES), b"a" * (MOST_BYTES + 1))
    with pytest.raises(BadValue):
        FAST.hash(b"a" * (1 << 20))


@pytest.mark.parametrize("password", [b"", b"a\0b", b"a\nb", b"\x7f", b"\xff", "a\u0085b".encode(), "\u0378".encode()])
def test_what_no_password_contains(password: bytes) -> None:
    with pytest.raises(BadValue):
        prepare_password(password)
    assert not FAST.verify(FAST.hash(b"other"), password)


def test_keyboards_may_differ() -> None:
    assert prepare_password(unicodedata.normalize("NFD", "é").encode()) == "é".encode()
    assert prepare_password("a\u00a0b\u3000c é".encode()) == "a b c é".encode()  # RFC 8265 §4.2.2
    assert prepare_password(b"Case And Blanks  stay ") == b"Case And Blanks  stay "


def test_an_unknown_account_is_hashed_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, stored: str, password: bytes) -> bool:
        hashed.append(stored)
        return verify(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    checker = Passwords(memory_kib=64, passes=1)
    assert not checker.verify(None, b"anything")  # AU-15
    assert not checker.verify(None, b"nobody's")
    assert not checker.verify("not a stored form", b"nobody's")
    assert [stored.split("$")[3] for stored in hashed] == ["m=64,t=1,p=1"] * 3


@pytest.mark.parametrize("stored", [
    "", "x", "$argon2id$", "$1$salt$hash", "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
    "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
])
def test_a_foreign_form_never_matches(stored: str) -> None:
    assert not FAST.verify(stored, b"hash")
    assert FAST.needs_rehash(stored)


def test_old_parameters_ask_for_a_new_hash() -> None:
    stored = Passwords(memory_kib=32, passes=1).hash(b"pw")
    assert FAST.verify(stored, b"pw")
    assert FAST.needs_rehash(stored)
