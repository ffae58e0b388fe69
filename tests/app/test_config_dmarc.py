"""The settings of [dmarc]."""

from __future__ import annotations

from pathlib import Path

import pytest

from ekiden.app.config import load
from ekiden.base.errors import ConfigError


def test_nothing_is_sent_or_read_unless_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "ekiden.toml"
    file.write_text('hostname = "mx.one.test"\n')
    chosen = load(file, {}).dmarc
    assert (chosen.reports, chosen.contact, chosen.inbox) == (False, None, None)


def test_addresses_are_read_in_one_spelling(tmp_path: Path) -> None:
    file = tmp_path / "ekiden.toml"
    file.write_text('hostname = "mx.one.test"\n[dmarc]\nreports = true\ncontact = "DMARC@One.Test"\ninbox = "d@例え.test"\nkeep = "2d"\n')
    chosen = load(file, {}).dmarc
    assert (chosen.contact, chosen.inbox, chosen.keep) == ("DMARC@one.test", "d@xn--r8jz45g.test", 172_800)


@pytest.mark.parametrize("address", ["postmaster", "a@[192.0.2.1]", "a b@one.test", ""])
def test_what_is_no_address_is_told_with_its_line(tmp_path: Path, address: str) -> None:
    file = tmp_path / "ekiden.toml"
    file.write_text(f'hostname = "mx.one.test"\n[dmarc]\ncontact = "{address}"\n')
    with pytest.raises(ConfigError, match=r"(?s)3.*contact.*address"):
        load(file, {})
