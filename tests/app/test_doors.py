"""What a listener opens, and what its machines are told of the operator's limits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.services.houses import SETTINGS

from ekiden.app.config import load
from ekiden.app.doors import DOORS, smtp_settings
from ekiden.app.wiring import House
from ekiden.base.errors import ConfigError
from ekiden.testing.certificates import make_certificate


def test_every_kind_of_listener_has_a_door_and_others_have_none(tmp_path: Path) -> None:
    make_certificate(tmp_path / "certificate.pem", tmp_path / "key.pem")
    (tmp_path / "ekiden.toml").write_text(SETTINGS)

    async def main() -> None:
        house = House(load(tmp_path / "ekiden.toml", {}), lambda event, **fields: None)
        try:
            for name in DOORS:
                assert house.door(name).name == name
            with pytest.raises(ConfigError):
                house.door("gopher")
        finally:
            await house.stop()
            house.close()

    asyncio.run(main())


def test_a_strained_server_is_stricter_and_never_more_lenient(tmp_path: Path) -> None:
    make_certificate(tmp_path / "certificate.pem", tmp_path / "key.pem")
    more = "[limits]\nhard_errors = 7\nsoft_errors = 6\nstrained_hard_errors = 3\njunk_commands = 15\nstrained_junk_commands = 50\n"
    (tmp_path / "ekiden.toml").write_text(f"{SETTINGS}\n{more}")
    usual, strict = smtp_settings(load(tmp_path / "ekiden.toml", {}), "mx")
    assert (usual.errors_hard, usual.errors_soft, usual.idle_commands) == (7, 6, 15)
    assert (strict.errors_hard, strict.errors_soft, strict.idle_commands) == (3, 3, 15)
    assert (strict.message_bytes, strict.recipients) == (usual.message_bytes, usual.recipients)
