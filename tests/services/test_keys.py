"""Secrets at rest, and keys with their records."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from tests.store.stores import NOW

from ekiden.base.errors import Damaged
from ekiden.services.keys import (
    FILE,
    KeysUnusable,
    Published,
    Vault,
    look_up,
    make_pair,
    record_strings,
    record_text,
    zone_value,
)
from ekiden.store.dkim_keys import DkimKey, KeyStatus
from ekiden.testing.dns import FakeZone


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """With a master key."""
    made = Vault(tmp_path / FILE, made_here=True)
    made.make()
    return made


def _key(algorithm: str = "rsa") -> DkimKey:
    return DkimKey("one.test", "s1", algorithm, KeyStatus.NEW, make_pair(algorithm)[0], b"", NOW)


def test_what_is_sealed_can_be_opened_and_is_never_the_same_twice(vault: Vault) -> None:
    one, two = vault.seal(b"secret", "a"), vault.seal(b"secret", "a")
    assert vault.open(one, "a") == vault.open(two, "a") == b"secret"
    assert one != two
    assert b"secret" not in one


def test_the_file_is_its_owners_alone_and_made_once(tmp_path: Path, vault: Vault) -> None:
    before = (tmp_path / FILE).read_bytes()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    vault.make()
    assert (tmp_path / FILE).read_bytes() == before
    assert os.listdir(tmp_path) == [FILE], "no draft is left"


def test_every_changed_byte_is_seen(vault: Vault) -> None:
    sealed = vault.seal(b"secret", "a")
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises((Damaged, KeysUnusable)):
            vault.open(changed, "a")
    for short in (b"", sealed[:1], sealed[:36]):
        with pytest.raises(Damaged, match="the secret of a is damaged"):
            vault.open(short, "a")


def test_a_secret_cannot_stand_in_for_another(vault: Vault) -> None:
    with pytest.raises(Damaged, match="the secret of b is damaged"):
        vault.open(vault.seal(b"secret", "a"), "b")


def test_another_master_key_is_told_from_damage(tmp_path: Path, vault: Vault) -> None:
    sealed = vault.seal(b"secret", "a")
    (tmp_path / FILE).unlink()
    vault.make()
    with pytest.raises(KeysUnusable, match=r"master\.key is not the master key that sealed the secret of a"):
        vault.open(sealed, "a")


def test_the_right_key_back_in_its_place_is_read_again(tmp_path: Path, vault: Vault) -> None:
    sealed = vault.seal(b"secret", "a")
    (tmp_path / FILE).rename(tmp_path / "away")
    with pytest.raises(KeysUnusable, match="cannot be read: No such file"):
        vault.open(sealed, "a")
    (tmp_path / "away").rename(tmp_path / FILE)
    assert vault.open(sealed, "a") == b"secret"


@pytest.mark.parametrize("content", [b"", b"short", base64.b64encode(b"k" * 31), base64.b64encode(b"k" * 33), b"!" * 44, b"k" * 32])
def test_what_is_no_master_key_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(KeysUnusable, match="is not one line of base64 with 32 bytes"):
        Vault(tmp_path / FILE, made_here=True).seal(b"", "a")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_master_key_that_others_may_read_is_not_used(tmp_path: Path, vault: Vault, mode: int) -> None:
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(KeysUnusable, match=f"open to others .mode 0{mode:o}.; make it 0600"):
        Vault(tmp_path / FILE, made_here=True).seal(b"", "a")


def test_a_named_file_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(KeysUnusable, match="is not there"):
        Vault(tmp_path / "named", made_here=False).make()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeysUnusable, match="cannot be made: No such file"):
        Vault(tmp_path / "no" / FILE, made_here=True).make()


def test_pairs_belong_together() -> None:
    public, private = make_pair("rsa")
    rsa = load_der_private_key(private, None)
    assert isinstance(rsa, RSAPrivateKey)
    assert rsa.key_size == 2048
    assert load_der_public_key(public) == rsa.public_key()
    public, private = make_pair("ed25519")
    edwards = load_der_private_key(private, None)
    assert isinstance(edwards, Ed25519PrivateKey)
    assert public == edwards.public_key().public_bytes_raw()


def test_a_long_record_is_cut_into_strings() -> None:
    text = record_text(_key())
    strings = record_strings(text)
    assert "".join(strings) == text
    assert [len(each) for each in strings] == [255, len(text) - 255]
    assert zone_value(text) == f'( "{strings[0]}" "{strings[1]}" )'
    short = record_text(_key("ed25519"))
    assert zone_value(short) == f'"{short}"'
    assert short.startswith("v=DKIM1; k=ed25519; p=")


RSA, EDWARDS = _key(), _key("ed25519")


@pytest.mark.parametrize(("key", "records", "published"), [
    (RSA, [f"TXT {zone_value(record_text(RSA)).strip('( )')}"], Published.RIGHT),
    (RSA, [f"TXT {record_text(RSA).replace('v=DKIM1; k=rsa; ', '').replace('p=', 'p = ')}"], Published.RIGHT),  # RFC 6376 §3.6.1: defaults
    (EDWARDS, [f"TXT {record_text(EDWARDS)}"], Published.RIGHT),
    (EDWARDS, [f"TXT {record_text(EDWARDS).replace('k=ed25519; ', '')}"], Published.OTHER),
    (RSA, [f"TXT {record_text(EDWARDS)}"], Published.OTHER),
    (RSA, ["TXT v=DKIM1; p="], Published.OTHER),
    (RSA, ["TXT "], Published.OTHER),
    (RSA, ["TXT a", "TXT b"], Published.SEVERAL),
    (RSA, ["A 192.0.2.1"], Published.ABSENT),
])
def test_the_dns_is_asked_for_the_record(key: DkimKey, records: Sequence[str], published: Published) -> None:
    assert FakeZone({"s1._domainkey.one.test": records}).run(look_up(key)).published is published


def test_what_nobody_can_tell_is_not_absent() -> None:
    assert FakeZone().run(look_up(RSA)).published is Published.ABSENT
    assert FakeZone({"s1._domainkey.one.test": ["SERVFAIL"]}).run(look_up(RSA)).published is Published.UNKNOWN
