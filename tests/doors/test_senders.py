"""swaks, msmtp, curl, mutt and neomutt send through our doors."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.server import Ekiden, without_prefix
from tests.peers import clients

LETTER = (
    b"From: alice@one.test\r\nTo: bob@one.test\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{}@one.test>\r\n"
    b"Subject: a letter\r\n\r\n.dot first\r\nend\r\n"
)


def _letter(name: str) -> bytes:
    return LETTER.replace(b"{}", name.encode())


def _newest(ekiden: Ekiden, before: int) -> bytes:
    return ekiden.wait_inbox("bob", before + 1)[-1]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.peer("swaks")
def test_swaks_signs_in_after_starttls(ekiden: Ekiden, mechanism: str) -> None:
    before = len(ekiden.inbox("bob"))
    said = clients.swaks(
        ekiden.door("submission"),
        sender="alice@one.test",
        to=["bob@one.test"],
        message=_letter(mechanism),
        login=ekiden.login("alice"),
        mechanism=mechanism,
    )
    assert "TLS started" in said
    assert "<~  235 2.7.0" in said
    without_prefix(_newest(ekiden, before), _letter(mechanism))


@pytest.mark.peer("swaks")
def test_swaks_delivers_to_the_mx_door_and_pipelines(ekiden: Ekiden) -> None:
    before = len(ekiden.inbox("bob"))
    clients.swaks(ekiden.door("mx"), sender="carol@far.test", to=["bob@one.test"], message=_letter("mx"), more=["--pipeline"])
    without_prefix(_newest(ekiden, before), _letter("mx"))


@pytest.mark.peer("swaks")
def test_swaks_is_told_of_an_unknown_mailbox(ekiden: Ekiden) -> None:
    said = clients.swaks(ekiden.door("mx"), sender="carol@far.test", to=["nobody@one.test"], message=_letter("x"), status=24)
    assert "550 5.1.1" in said


@pytest.mark.peer("swaks")
def test_swaks_with_a_wrong_password_is_refused(ekiden: Ekiden) -> None:
    said = clients.swaks(
        ekiden.door("submissions"),
        sender="alice@one.test",
        to=["bob@one.test"],
        message=_letter("x"),
        login=clients.Login("alice@one.test", "wrong"),
        status=28,
    )
    assert "535 5.7.8" in said


@pytest.mark.parametrize("door", ["submission", "submissions"])
@pytest.mark.peer("msmtp")
def test_msmtp_signs_in_and_sends(ekiden: Ekiden, tmp_path: Path, door: str) -> None:
    before = len(ekiden.inbox("bob"))
    clients.msmtp(
        tmp_path,
        ekiden.door(door),
        sender="alice@one.test",
        to=["bob@one.test"],
        message=_letter("m" + door),
        login=ekiden.login("alice"),
    )
    without_prefix(_newest(ekiden, before), _letter("m" + door))


@pytest.mark.parametrize("door", ["submission", "submissions"])
@pytest.mark.peer("curl")
def test_curl_signs_in_and_sends(ekiden: Ekiden, door: str) -> None:
    before = len(ekiden.inbox("bob"))
    clients.curl_send(
        ekiden.door(door), sender="alice@one.test", to=["bob@one.test"], message=_letter("c" + door), login=ekiden.login("alice")
    )
    without_prefix(_newest(ekiden, before), _letter("c" + door))


@pytest.mark.parametrize("program", [pytest.param(name, marks=pytest.mark.peer(name)) for name in ("mutt", "neomutt")])
def test_mutt_sends_an_attachment(ekiden: Ekiden, tmp_path: Path, program: str) -> None:
    before = len(ekiden.inbox("bob"))
    attached = tmp_path / "日本.bin"
    attached.write_bytes(bytes(range(256)) * 8)
    clients.mutt_send(
        program,
        tmp_path,
        ekiden.door("submissions"),
        sender="alice@one.test",
        to=["bob@one.test"],
        subject="会議",
        text="naïve\n",
        login=ekiden.login("alice"),
        attach=[attached],
    )
    stored = _newest(ekiden, before)
    assert b"\r\nSubject: =?utf-8?" in stored
    assert b"\r\nContent-Type: multipart/mixed;" in stored
