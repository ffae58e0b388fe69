"""Certificates on disk: what is refused, what is loaded anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ekiden.base.errors import ConfigError, ProtocolError
from ekiden.net.tls import Certificate, TlsLayer, client_context
from ekiden.testing.certificates import make_certificate


def _pair(folder: Path, name: str = "a") -> tuple[Path, Path]:
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    make_certificate(chain, key)
    return chain, key


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    chain, key = _pair(tmp_path)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="may be read by everybody"):
        Certificate(chain, key)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    chain, _ = _pair(tmp_path, "a")
    _, key = _pair(tmp_path, "b")
    with pytest.raises(ConfigError, match="cannot be used together"):
        Certificate(chain, key)


@pytest.mark.parametrize("broken", ["certificate", "key"])
def test_of_two_files_the_one_that_is_no_good_is_named(tmp_path: Path, broken: str) -> None:
    chain, key = _pair(tmp_path)
    (chain if broken == "certificate" else key).write_text("-----BEGIN NOTHING-----\n")
    with pytest.raises(ConfigError, match=rf"tls\.{broken}: \S+ is no .* in PEM form"):
        Certificate(chain, key)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        Certificate(tmp_path / "nowhere.pem", tmp_path / "nowhere.key")


def test_changed_files_are_loaded_into_the_living_contexts_and_bad_ones_are_not(tmp_path: Path) -> None:
    chain, key = _pair(tmp_path, "a")
    new_chain, new_key = _pair(tmp_path, "b")
    certificate = Certificate(chain, key)
    context = certificate.context("smtp")
    assert not certificate.reload_if_changed()
    os.replace(new_chain, chain)
    with pytest.raises(ConfigError):
        certificate.reload_if_changed()
    os.replace(new_key, key)
    assert certificate.reload_if_changed()
    assert certificate.context("smtp") is context
    assert certificate.context("imap") is not context


def test_two_layers_shake_hands_and_say_goodbye(tmp_path: Path) -> None:
    certificate = Certificate(*_pair(tmp_path))
    server = TlsLayer(certificate.context("smtp"), server_side=True)
    client = TlsLayer(client_context(verify=False), server_side=False, hostname="mail.example.test")
    client.handshake()
    for _ in range(4):
        server.feed(client.take_output())
        client.feed(server.take_output())
    assert server.done
    assert client.done
    client.write(b"hello")
    server.feed(client.take_output())
    assert server.read() == b"hello"
    client.say_goodbye()
    server.feed(client.take_output())
    assert server.read() == b""
    assert server.closed_by_peer


def test_a_name_that_the_certificate_does_not_have_is_refused(tmp_path: Path) -> None:
    chain, key = _pair(tmp_path)
    server = TlsLayer(Certificate(chain, key).context("smtp"), server_side=True)
    client = TlsLayer(client_context(verify=True, authorities=chain), server_side=False, hostname="other.example.test")
    client.handshake()
    server.feed(client.take_output())
    with pytest.raises(ProtocolError, match=r"[Hh]ostname"):
        client.feed(server.take_output())
