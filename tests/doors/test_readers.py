"""mbsync, mutt, neomutt, curl and fetchmail read what lies in our mailboxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.peers import clients

READERS = ("mbsync", "curl", "mutt", "neomutt", "fetchmail1", "fetchmail2")
LETTERS = [
    b"From: alice@one.test\r\nTo: bob@one.test\r\nDate: Tue, 24 Nov 2026 10:00:0%d +0000\r\n"
    b"Message-ID: <%d@one.test>\r\nSubject: letter %d\r\n\r\n"
    b".dot first\r\nFrom here on\r\nend %d\r\n" % (n, n, n, n)
    for n in range(3)
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    """One account for each reader, with the same three letters in it."""
    running = Ekiden(tmp_path_factory.mktemp("library"), certificate, Settings(accounts=READERS))
    with running.smtp("mx") as client:
        for letter in LETTERS:
            client.sendmail("alice@far.test", [running.address(reader) for reader in READERS], letter)
    yield running
    running.stop()


@pytest.mark.parametrize("door", ["imap", "imaps"])
@pytest.mark.peer("mbsync")
def test_mbsync_pulls_all_and_pushes_flags_and_messages(library: Ekiden, tmp_path: Path, door: str) -> None:
    login = library.login("mbsync")
    with library.imap("mbsync") as client:
        client.create(f'"Archive {door}"')
        client.append(f'"Archive {door}"', r"(\Flagged)", "", LETTERS[0])
    mail = clients.mbsync(tmp_path, library.door(door), login)
    pulled = clients.maildir(mail / "INBOX")
    assert sorted(message[message.index(b"Date:") :] for message in pulled[:3]) == sorted(
        (b"Date:" + letter.split(b"Date:")[1]).replace(b"\r\n", b"\n") for letter in LETTERS
    )
    (archived,) = (mail / f"Archive {door}").glob("*/*")
    assert "F" in archived.name.rsplit(",", 1)[-1]
    local = mail / f"Archive {door}" / "new" / "1.pushed.test"
    local.write_bytes(LETTERS[1].replace(b"\r\n", b"\n"))
    archived.rename(archived.parent / (archived.name.split(":2,")[0] + ":2,FS"))
    clients.mbsync(tmp_path, library.door(door), login)
    with library.imap("mbsync") as client:
        assert client.select(f'"Archive {door}"', readonly=True) == ("OK", [b"2"])
        _, found = client.fetch("1:2", "(FLAGS BODY.PEEK[])")
    pieces = [piece for piece in found if isinstance(piece, tuple)]
    assert rb"\Seen" in pieces[0][0]
    assert rb"\Flagged" in pieces[0][0]
    assert pieces[1][1].endswith(LETTERS[1].split(b"\r\n\r\n")[1])


@pytest.mark.parametrize("program", [pytest.param(name, marks=pytest.mark.peer(name)) for name in ("mutt", "neomutt")])
@pytest.mark.parametrize("door", ["imap", "imaps"])
def test_mutt_reads_the_mailbox(library: Ekiden, tmp_path: Path, program: str, door: str) -> None:
    mbox = clients.mutt_read(program, tmp_path, library.door(door), library.login(program))
    for number in range(3):
        assert b"Subject: letter %d\n" % number in mbox
        assert b"end %d\n" % number in mbox


@pytest.mark.parametrize("secured", ["", "s"])
@pytest.mark.peer("curl")
def test_curl_reads_searches_and_appends(library: Ekiden, secured: str) -> None:
    login, imap, pop3 = library.login("curl"), library.door("imap" + secured), library.door("pop3" + secured)
    stored = library.inbox("curl")
    assert clients.curl_read(imap, "imap", "INBOX;UID=2", login) == stored[1]
    assert clients.curl_read(imap, "imap", "INBOX?SUBJECT%20%22letter%202%22", login) == b"* SEARCH 3\r\n"
    assert b"Drafts" in clients.curl_read(imap, "imap", "", login)
    assert clients.curl_read(pop3, "pop3", "3", login) == stored[2]
    assert clients.curl_read(pop3, "pop3", "", login).count(b"\r\n") == 3
    clients.curl_append(imap, "Drafts", LETTERS[0], login)
    assert library.inbox("curl", "Drafts")[-1] == LETTERS[0]


@pytest.mark.parametrize(("door", "reader"), [("pop3", "fetchmail1"), ("pop3s", "fetchmail2")])
@pytest.mark.peer("fetchmail")
def test_fetchmail_takes_all_and_leaves_the_mailbox_empty(library: Ekiden, tmp_path: Path, door: str, reader: str) -> None:
    fetched = clients.fetchmail(tmp_path, library.door(door), library.login(reader))
    assert len(fetched) == 3
    for message, letter in zip(fetched, LETTERS, strict=True):
        assert message.endswith(letter.split(b"\r\n\r\n")[1].replace(b"\r\n", b"\n"))
    assert library.inbox(reader) == []
