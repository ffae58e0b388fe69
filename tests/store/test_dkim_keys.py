"""Signing keys as rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.stores import NOW, in_one

from ekiden.base.clock import Millis
from ekiden.store import dkim_keys
from ekiden.store.database import Conflict, Tx
from ekiden.store.dkim_keys import DkimKey, KeyStatus

LATER = Millis(NOW + 1000)


def a_key(selector: str, algorithm: str = "rsa", domain: str = "one.test") -> DkimKey:
    return DkimKey(domain, selector, algorithm, KeyStatus.NEW, b"public", b"sealed", NOW)


def _status(tx: Tx) -> dict[str, str]:
    return {key.selector: key.status.value for key in dkim_keys.everything(tx)}


def test_keys_come_back_as_they_were_added(tmp_path: Path) -> None:
    keys = [a_key("a"), a_key("b", "ed25519"), a_key("a", domain="two.test")]
    in_one(tmp_path, lambda tx: dkim_keys.add(tx, keys))
    assert in_one(tmp_path, dkim_keys.everything) == keys
    assert in_one(tmp_path, lambda tx: dkim_keys.of_domain(tx, "one.test")) == keys[:2]


def test_a_selector_is_given_once_a_domain(tmp_path: Path) -> None:
    in_one(tmp_path, lambda tx: dkim_keys.add(tx, [a_key("a")]))
    with pytest.raises(Conflict):
        in_one(tmp_path, lambda tx: dkim_keys.add(tx, [a_key("b"), a_key("a")]))
    assert list(in_one(tmp_path, _status)) == ["a"]


def test_an_active_key_replaces_those_of_its_algorithm_only(tmp_path: Path) -> None:
    first, edwards, other = a_key("a"), a_key("b", "ed25519"), a_key("x", domain="two.test")

    def work(tx: Tx) -> list[DkimKey]:
        dkim_keys.add(tx, [first, edwards, other])
        dkim_keys.activate(tx, [first, edwards, other], NOW)
        dkim_keys.add(tx, [a_key("c")])
        return dkim_keys.activate(tx, [a_key("c")], LATER)

    assert in_one(tmp_path, work) == [replace(first, status=KeyStatus.ACTIVE)]
    assert in_one(tmp_path, _status) == {"a": "old", "b": "active", "c": "active", "x": "active"}
    assert [key.changed_at for key in in_one(tmp_path, lambda tx: dkim_keys.of_domain(tx, "one.test"))] == [LATER, NOW, LATER]


def test_every_change_is_another_version(tmp_path: Path) -> None:
    seen = [in_one(tmp_path, dkim_keys.version)]
    for work in (
        lambda tx: dkim_keys.add(tx, [a_key("a")]),
        lambda tx: dkim_keys.activate(tx, [a_key("a")], NOW),
        lambda tx: dkim_keys.remove(tx, [a_key("a")]),
    ):
        in_one(tmp_path, work)
        seen.append(in_one(tmp_path, dkim_keys.version))
    assert len(set(seen)) == 4


def test_a_removed_key_is_gone(tmp_path: Path) -> None:
    in_one(tmp_path, lambda tx: dkim_keys.add(tx, [a_key("a")]))
    assert in_one(tmp_path, lambda tx: dkim_keys.remove(tx, [a_key("a"), a_key("b")])) == 1
    assert in_one(tmp_path, dkim_keys.everything) == []
