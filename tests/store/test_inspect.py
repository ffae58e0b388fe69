"""What `ekiden check store` sees of each kind of damage, and that it sees none where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.crash import store_of_mail

from ekiden.base.errors import StoreError
from ekiden.store.inspect import Finding, inspect


def _found(folder: Path) -> list[Finding]:
    return list(inspect(folder / "ekiden.db", folder / "blobs"))


def _sql(*statements: str) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        connection = apsw.Connection(str(folder / "ekiden.db"))
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return harm


def _blob(change: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda folder: change(sorted((folder / "blobs").glob("??/*"))[0])


def _old_stranger(folder: Path) -> None:
    stranger = folder / "blobs" / "00" / ("0" * 32)
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_bytes(b"x")
    os.utime(stranger, (0, 0))


def test_a_whole_store_has_no_finding_and_stays_as_it_was(tmp_path: Path) -> None:
    store_of_mail.make(tmp_path)
    before = (tmp_path / "ekiden.db").read_bytes()
    assert _found(tmp_path) == []
    assert (tmp_path / "ekiden.db").read_bytes() == before


@pytest.mark.parametrize(("harm", "kind"), [
    (_sql("UPDATE message SET content = X'00' WHERE id = 7"), "message"),
    (_sql("UPDATE message SET content = CAST(replace(content, 'line', 'LINE') AS BLOB) WHERE id = 8"), "message"),
    (_blob(lambda file: file.unlink()), "message"),
    (_blob(lambda file: os.truncate(file, 5)), "message"),
    (_sql("DELETE FROM message WHERE id = 9"), "entry"),
    (_sql("DELETE FROM message WHERE id = 250"), "copy"),
    (_sql("UPDATE mailbox SET uid_next = 3 WHERE name = 'INBOX'"), "mailbox"),
    (_sql("UPDATE mailbox SET messages = messages + 1 WHERE name = 'Sent'"), "mailbox"),
    (_sql("PRAGMA writable_schema = ON", "DELETE FROM sqlite_schema WHERE name = 'entry_of_message'"), "database"),
    (lambda folder: os.truncate(folder / "ekiden.db", 75 * 16_384), "database"),
    (lambda folder: (folder / "ekiden.db").unlink(), "files"),
    (_old_stranger, "orphan"),
])
def test_each_damage_has_its_name(tmp_path: Path, harm: Callable[[Path], None], kind: str) -> None:
    store_of_mail.make(tmp_path)
    harm(tmp_path)
    found = _found(tmp_path)
    assert kind in {one.kind for one in found}, found
    assert any(one.is_damage for one in found) == (kind != "orphan")


def test_where_no_store_was_ever_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        _found(tmp_path)
