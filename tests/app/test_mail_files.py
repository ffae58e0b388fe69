"""Messages in files, mboxes and Maildirs."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ekiden.app import mail_files
from ekiden.app.mail_files import messages_in

ONE, TWO = b"Subject: one\r\n\r\nFrom here\r\n", b"Subject: two\r\n\r\n>From there\r\n\r\nFrom \r\n"
FROM = b"From a@b Tue Nov 24 10:00:00 2026\n"
MBOX = FROM + b"Subject: one\n\nFrom here\n\n" + FROM + b"Subject: two\n\n>>From there\n\n>From \n\n"


def _read(place: Path) -> list[bytes]:
    return list(messages_in(place))


def test_one_file_is_one_message_with_either_line_ends(tmp_path: Path) -> None:
    for raw in (ONE, ONE.replace(b"\r\n", b"\n")):
        (tmp_path / "x.eml").write_bytes(raw)
        assert _read(tmp_path / "x.eml") == [ONE]
    (tmp_path / "x.eml").write_bytes(b"")
    assert _read(tmp_path / "x.eml") == []


def test_an_mbox_is_many_and_a_line_in_a_text_is_no_beginning(tmp_path: Path) -> None:
    for raw in (MBOX, MBOX.replace(b"\n", b"\r\n"), MBOX[:-1]):
        (tmp_path / "mbox").write_bytes(raw)
        assert _read(tmp_path / "mbox") == [ONE, TWO]


def test_a_maildir_and_a_folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "b.eml").write_bytes(TWO)
    (tmp_path / "a.eml").write_bytes(ONE)
    (tmp_path / ".hidden").write_bytes(ONE)
    assert _read(tmp_path) == [ONE, TWO]
    maildir = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
        (maildir / name / "1").write_bytes(ONE if name != "cur" else TWO)
    assert _read(maildir) == [ONE, TWO]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(MBOX)))
    assert _read(Path("-")) == [ONE, TWO]


def test_a_message_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_files, "LARGEST", 100)
    (tmp_path / "mbox").write_bytes(b"From a\n" + b"x" * 49 + b"\n" + (b"y" * 49 + b"\n") * 1000 + MBOX.partition(b"\n")[0] + b"\n")
    (large,) = _read(tmp_path / "mbox")
    assert len(large) == 102


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        _read(tmp_path / "nowhere")
