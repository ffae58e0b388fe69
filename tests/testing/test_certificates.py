"""Certificates for development: made once, made anew before they end."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from ekiden.testing.certificates import make_certificate


def test_a_certificate_is_kept_while_it_is_valid_and_its_key_is_private(tmp_path: Path) -> None:
    chain, key = tmp_path / "c.pem", tmp_path / "k.pem"
    make_certificate(chain, key, "mx.one.test")
    first = chain.read_bytes()
    make_certificate(chain, key, "mx.one.test")
    assert chain.read_bytes() == first
    assert key.stat().st_mode & 0o777 == 0o600
    names = x509.load_pem_x509_certificate(first).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mx.one.test", "localhost"]
