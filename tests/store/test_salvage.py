"""Reading past damage: what is saved, under which name, and what is named as lost."""

from __future__ import annotations

from pathlib import Path

import apsw
from tests.crash import store_of_mail

from ekiden.store.salvage import Salvage, Saved


def _saved(folder: Path) -> tuple[list[Saved], Salvage]:
    salvage = Salvage(folder / "ekiden.db", folder / "blobs")
    return list(salvage.messages()), salvage


def _change(folder: Path, statement: str) -> None:
    connection = apsw.Connection(str(folder / "ekiden.db"))
    connection.execute(statement)
    connection.close()


def test_flags_lines_on_top_and_numbers_are_kept(tmp_path: Path) -> None:
    store_of_mail.make(tmp_path)
    found, salvage = _saved(tmp_path)
    assert salvage.lost == []
    (first,) = [one for one in found if one.id == 1]
    assert (first.account, first.mailbox, first.uid, first.flags) == ("alice", "INBOX", 1, frozenset({"\\Seen"}))
    assert first.content == b"Return-Path: <a@one.test>\r\nReceived: by test\r\n" + store_of_mail.content_of(1)


def test_a_message_that_no_mailbox_names_is_saved_without_an_owner(tmp_path: Path) -> None:
    mail = store_of_mail.make(tmp_path)
    _change(tmp_path, "DELETE FROM entry WHERE message_id = 5")
    found, _ = _saved(tmp_path)
    (lonely,) = [one for one in found if one.id == 5]
    assert (lonely.account, lonely.recipients) == ("", ())
    assert len(found) == len(mail)


def test_a_file_that_no_row_names_is_saved(tmp_path: Path) -> None:
    store_of_mail.make(tmp_path)
    number = store_of_mail.SMALL + 1
    assert number == 241
    _change(tmp_path, "DELETE FROM message WHERE id = 241")
    found, salvage = _saved(tmp_path)
    assert store_of_mail.content_of(number) in [one.content for one in found if not one.account]
    assert [one.kind for one in salvage.lost] == ["message"]


def test_what_is_damaged_is_named_and_not_passed_off_as_whole(tmp_path: Path) -> None:
    mail = store_of_mail.make(tmp_path)
    _change(tmp_path, "UPDATE message SET content = X'00' WHERE id IN (3, 4)")
    sorted((tmp_path / "blobs").glob("??/*"))[0].write_bytes(b"something else")
    found, salvage = _saved(tmp_path)
    assert len(found) == len(mail) - 3
    assert [one.kind for one in salvage.lost] == ["message"] * 3


def test_without_accounts_and_mailboxes_the_mail_is_still_told_apart(tmp_path: Path) -> None:
    mail = store_of_mail.make(tmp_path)
    _change(tmp_path, "DELETE FROM account")
    _change(tmp_path, "DELETE FROM mailbox WHERE name = 'INBOX'")
    found, _ = _saved(tmp_path)
    assert len(found) == len(mail)
    assert {one.account for one in found} == {"", "account-1"}
