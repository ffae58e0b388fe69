"""The talks of this folder, against the server machine alone, fed whole, byte by byte and cut at random."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.smtp.desk import CUTS, Cut, Desk

from ekiden.smtp.server import ServerSettings, SmtpServer
from ekiden.testing.transcript import MachineWire, play, read_talk

TALKS = sorted(Path(__file__).parent.glob("*.talk"))


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
@pytest.mark.parametrize("path", TALKS, ids=lambda path: path.stem)
def test_talk_with_the_machine_alone(path: Path, cut: Cut) -> None:
    talk = read_talk(path)

    def open_wire(_: str) -> MachineWire:
        machine = SmtpServer(
            ServerSettings("mx.ekiden.test", talk.settings.get("listener", "mx"), errors_soft=90, errors_hard=100),
            offers_starttls=talk.settings.get("starttls") == "yes",
            offers_auth=tuple(talk.settings.get("auth", "").split()),
        )
        machine.greet()
        desk = Desk(machine)
        return MachineWire(machine, desk.work, cut)

    play(talk, open_wire)
