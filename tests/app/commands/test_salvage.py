"""ekiden salvage, and ekiden check store, on stores that are damaged."""

from __future__ import annotations

import mailbox
import os
from pathlib import Path

import apsw
import pytest
from tests.app.calls import Calls
from tests.crash import store_of_mail

from ekiden.base.texts import languages


@pytest.fixture
def damaged(ekiden: Calls) -> Calls:
    """A store of mail with two damaged messages, one of them in a file."""
    data = ekiden.folder / "data"
    data.mkdir(mode=0o700)
    store_of_mail.make(data)
    connection = apsw.Connection(str(data / "ekiden.db"))
    connection.execute("UPDATE message SET content = X'00' WHERE id = 3")
    connection.close()
    os.truncate(sorted((data / "blobs").glob("??/*"))[0], 10)
    return ekiden


def test_every_readable_message_is_in_a_maildir_that_python_reads(damaged: Calls) -> None:
    told = damaged.json("salvage", str(damaged.folder / "saved"))
    whole = store_of_mail.SMALL + store_of_mail.LARGE - 2
    assert told["saved"] == {"alice": whole, "queue": store_of_mail.QUEUED}
    assert len(told["lost"]) == 2
    box = mailbox.Maildir(damaged.folder / "saved" / "alice", create=False)
    sent = box.get_folder("Sent")
    assert len(box) + len(sent) == whole
    subjects = {str(message["Subject"]) for message in [*box, *sent]}
    assert len(subjects) == whole
    assert {message.get_flags() for message in box} == {"", "S"}
    queued = mailbox.Maildir(damaged.folder / "saved" / "queue", create=False)
    assert {message["X-Ekiden-Recipient"] for message in queued} == {"x@two.test"}


def test_it_writes_into_no_folder_that_has_something(damaged: Calls) -> None:
    (damaged.folder / "full").mkdir()
    (damaged.folder / "full" / "mine").touch()
    assert "is not empty" in damaged.fails("salvage", str(damaged.folder / "full"), status=2)
    assert sorted(file.name for file in (damaged.folder / "full").iterdir()) == ["mine"]


@pytest.mark.parametrize("lang", languages())
def test_what_is_lost_is_told_in_words(damaged: Calls, lang: str) -> None:
    told = damaged.out("--lang", lang, "salvage", str(damaged.folder / "saved"))
    assert {"en": "Lost or damaged:", "ja": "失われた、または壊れたもの："}[lang] in told
    assert "alice" in told


def test_a_mailbox_name_is_one_folder_whatever_it_is(ekiden: Calls) -> None:
    data = ekiden.folder / "data"
    data.mkdir(mode=0o700)
    store_of_mail.make(data)
    connection = apsw.Connection(str(data / "ekiden.db"))
    connection.execute("UPDATE mailbox SET name = '日本/../x' WHERE name = 'Sent'")
    connection.execute("UPDATE account SET name = '..'")
    connection.close()
    ekiden.out("salvage", str(ekiden.folder / "saved"))
    assert sorted(path.name for path in ekiden.folder.iterdir()) == ["data", "ekiden.toml", "saved"]
    names = {path.name for path in (ekiden.folder / "saved").rglob("*") if path.is_dir()}
    assert names == {"_..", ".&ZeVnLA-.__.x", "cur", "new", "tmp", "queue"}


def test_check_store_names_the_damage_and_fails(damaged: Calls) -> None:
    result = damaged.run("check", "store")
    assert result.exit_code == 1
    assert result.stdout.count("its content is not what was stored") == 1
    assert "has 10 bytes" in result.stdout
    assert "findings: 2" in result.stderr


def test_check_store_is_content_with_a_whole_store_and_takes_the_note_away(ekiden: Calls) -> None:
    data = ekiden.folder / "data"
    data.mkdir(mode=0o700)
    store_of_mail.make(data)
    (data / "store.damaged").write_text("page 7\n")
    assert "as it was stored" in ekiden.out("check", "store")
    assert ekiden.json("check", "store") == []
    assert not (data / "store.damaged").exists()


def test_a_store_of_which_a_part_is_gone_is_used_again_once_a_person_accepts_it(ekiden: Calls) -> None:
    ekiden.out("domain", "add", "two.test")
    database = ekiden.folder / "data" / "ekiden.db"
    database.unlink()
    assert "gone" in ekiden.fails("domain", "add", "three.test")
    assert not database.exists()
    assert "gone" in ekiden.run("check", "store").stdout
    ekiden.out("check", "store", "--accept")
    ekiden.out("domain", "add", "three.test")


def test_where_there_is_no_store_nothing_is_made(ekiden: Calls) -> None:
    ekiden.fails("check", "store")
    assert not Path(ekiden.folder, "data").exists()
