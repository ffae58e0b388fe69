"""The foreign clients work with foreign servers: proof that a failing door test is about our door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.peers import clients
from tests.peers.clients import Door, Login
from tests.peers.dovecot import Dovecot
from tests.peers.postfix import Postfix
from tests.peers.process import free_port, until

Certificate = tuple[Path, Path, Path]
LETTER = b"From: alice@one.test\r\nTo: bob@two.test\r\nSubject: a letter\r\n\r\n.dot first\r\nend\r\n"
BOB = "bob@two.test"


@pytest.fixture(scope="module")
def postfix(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Postfix]:
    running = Postfix(tmp_path_factory.mktemp("postfix"), port=free_port(), certificate=certificate[2], domains=["two.test"], boxes=[BOB])
    yield running
    running.stop()


@pytest.fixture(scope="module")
def dovecot(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Dovecot]:
    folder = tmp_path_factory.mktemp("dovecot")
    running = Dovecot(folder, imap=free_port(), imaps=free_port(), pop3=free_port(), pop3s=free_port(), certificate=certificate[2])
    for user in ("mbsync", "curl", "mutt", "neomutt", "fetchmail"):
        running.put(user, LETTER)
    yield running
    running.stop()


def _delivered(postfix: Postfix, before: int) -> bytes:
    until(lambda: postfix.count(BOB) > before, "Postfix has delivered it")
    return postfix.mailbox(BOB)[-1]


@pytest.mark.peer("postfix", "swaks")
def test_swaks_sends_over_starttls(postfix: Postfix, certificate: Certificate) -> None:
    before = postfix.count(BOB)
    said = clients.swaks(Door(postfix.port, "starttls", certificate[0]), sender="alice@one.test", to=[BOB], message=LETTER)
    assert "TLS started" in said
    assert b"\n\n.dot first\nend\n" in _delivered(postfix, before)


@pytest.mark.peer("postfix", "msmtp")
def test_msmtp_sends_over_starttls(postfix: Postfix, certificate: Certificate, tmp_path: Path) -> None:
    before = postfix.count(BOB)
    clients.msmtp(tmp_path, Door(postfix.port, "starttls", certificate[0]), sender="alice@one.test", to=[BOB], message=LETTER)
    assert b"\n\n.dot first\nend\n" in _delivered(postfix, before)


@pytest.mark.peer("postfix", "curl")
def test_curl_sends_over_starttls(postfix: Postfix, certificate: Certificate) -> None:
    before = postfix.count(BOB)
    clients.curl_send(Door(postfix.port, "starttls", certificate[0]), sender="alice@one.test", to=[BOB], message=LETTER)
    assert b"\n\n.dot first\nend\n" in _delivered(postfix, before)


@pytest.mark.parametrize("program", [pytest.param(name, marks=pytest.mark.peer("postfix", name)) for name in ("mutt", "neomutt")])
def test_mutt_composes_and_sends(postfix: Postfix, certificate: Certificate, tmp_path: Path, program: str) -> None:
    before = postfix.count(BOB)
    door = Door(postfix.port, "starttls", certificate[0])
    clients.mutt_send(program, tmp_path, door, sender="alice@one.test", to=[BOB], subject=f"from {program}", text="hello\n")
    assert f"Subject: from {program}\n".encode() in _delivered(postfix, before)


@pytest.mark.parametrize("secured", ["starttls", "tls"])
@pytest.mark.peer("dovecot", "mbsync")
def test_mbsync_pulls_a_mailbox(dovecot: Dovecot, certificate: Certificate, tmp_path: Path, secured: str) -> None:
    door = Door(dovecot.imap if secured == "starttls" else dovecot.imaps, secured, certificate[0])
    mail = clients.mbsync(tmp_path, door, Login("mbsync", dovecot.password))
    (message,) = clients.maildir(mail / "INBOX")
    assert message.endswith(b"\n\n.dot first\nend\n")


@pytest.mark.parametrize("secured", ["starttls", "tls"])
@pytest.mark.peer("dovecot", "curl")
def test_curl_reads_over_imap_and_pop3(dovecot: Dovecot, certificate: Certificate, secured: str) -> None:
    login = Login("curl", dovecot.password)
    imap = Door(dovecot.imap if secured == "starttls" else dovecot.imaps, secured, certificate[0])
    pop3 = Door(dovecot.pop3 if secured == "starttls" else dovecot.pop3s, secured, certificate[0])
    assert clients.curl_read(imap, "imap", "INBOX;UID=1", login) == LETTER
    assert clients.curl_read(pop3, "pop3", "1", login) == LETTER


@pytest.mark.parametrize("program", [pytest.param(name, marks=pytest.mark.peer("dovecot", name)) for name in ("mutt", "neomutt")])
def test_mutt_reads_over_imap(dovecot: Dovecot, certificate: Certificate, tmp_path: Path, program: str) -> None:
    mbox = clients.mutt_read(program, tmp_path, Door(dovecot.imaps, "tls", certificate[0]), Login(program, dovecot.password))
    assert b"\n\n.dot first\nend\n" in mbox


@pytest.mark.parametrize("secured", ["starttls", "tls"])
@pytest.mark.peer("dovecot", "fetchmail")
def test_fetchmail_fetches_over_pop3(dovecot: Dovecot, certificate: Certificate, tmp_path: Path, secured: str) -> None:
    door = Door(dovecot.pop3 if secured == "starttls" else dovecot.pop3s, secured, certificate[0])
    (message,) = clients.fetchmail(tmp_path, door, Login("fetchmail", dovecot.password), keep=True)
    assert message.endswith(b"\n\n.dot first\nend\n")
