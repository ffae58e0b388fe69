"""Which mechanisms there are, and when they may be offered."""

from __future__ import annotations

from ekiden.sasl.mechanism import Proof
from ekiden.sasl.mechanisms.plain import Login, Plain
from ekiden.sasl.offers import begin, names, offers


def test_every_file_of_the_folder_is_found() -> None:
    assert {offer.name for offer in offers()} >= {"PLAIN", "LOGIN"}


def test_nothing_that_shows_a_password_is_offered_without_tls() -> None:
    assert not {"PLAIN", "LOGIN"} & set(names(tls=False))
    assert names(tls=True)[:2] == ("PLAIN", "LOGIN")
    assert begin("PLAIN", tls=False) is None


def test_a_mechanism_is_begun_by_name_in_any_case() -> None:
    assert isinstance(begin("plain"), Plain)
    assert isinstance(begin("LOGIN"), Login)
    for unknown in ("NTLM", "CRAM-MD5", "DIGEST-MD5", "ANONYMOUS", "", "PLA\u0131N", "PLAIN "):  # AU-22
        assert begin(unknown) is None


def test_each_exchange_is_its_own() -> None:
    first, second = begin("LOGIN"), begin("LOGIN")
    assert first is not None
    assert second is not None
    first.step(b"alice")
    second.step(b"bob")
    assert first.step(b"pw") == Proof("alice", b"pw")
