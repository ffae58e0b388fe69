"""A policy that never comes to an end: the message is put off in time, and tried again it is there once.

Source: reliability.md §1.3 (C8), F-50.
"""

from __future__ import annotations

import smtplib
import time
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings

_POLICY = """
import asyncio
from pathlib import Path
from ekiden.policy import message

@message
async def patient(ctx):
    if Path({gate!r}).exists():
        await asyncio.sleep(3_600)
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_judgement_without_end_is_a_451_and_the_next_try_gives_one_copy(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    files = []
    for number in range(2):  # each has ten seconds of its own; together they may have one
        files.append(tmp_path / f"policy{number}.py")
        files[-1].write_text(_POLICY.format(gate=str(gate)))
    names = ", ".join(f'"{file}:patient"' for file in files)
    more = {"": [f"policies = [{names}]"], "timeouts.smtp": ["judging = '1s'"]}
    server = Ekiden(tmp_path / "ekiden", certificate, Settings(doors=("mx", "imaps"), more=more))
    try:
        with server.smtp("mx") as client:
            began = time.monotonic()
            with pytest.raises(smtplib.SMTPDataError) as refused:
                client.sendmail("a@two.test", ["alice@one.test"], b"Subject: x\r\n\r\nhello\r\n")
            assert (refused.value.smtp_code, refused.value.smtp_error[:5]) == (451, b"4.4.5")
            assert 0.9 < time.monotonic() - began < 8
            assert server.inbox("alice") == []
            gate.unlink()
            client.sendmail("a@two.test", ["alice@one.test"], b"Subject: x\r\n\r\nhello\r\n")
        assert len(server.inbox("alice")) == 1
    finally:
        server.stop()
