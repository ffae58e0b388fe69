"""The settings of [authentication]."""

from __future__ import annotations

from pathlib import Path

import pytest

from ekiden.app.config import load
from ekiden.app.ways import ways_of
from ekiden.base.errors import ConfigError


def test_it_is_read_and_domains_are_in_one_spelling(tmp_path: Path) -> None:
    file = tmp_path / "ekiden.toml"
    given = 'trusted_sealers = ["Lists.Example", "例え.test"]\norganisation = "list"\nhelo = true\n'
    file.write_text(f'hostname = "mx.one.test"\n[authentication]\n{given}')
    chosen = load(file, {}).authentication
    assert chosen.trusted_sealers == ("lists.example", "xn--r8jz45g.test")
    assert (chosen.organisation, chosen.authserv_id, chosen.received_spf, chosen.helo) == ("list", None, False, True)
    assert ways_of(load(file, {"EKIDEN_AUTHENTICATION__ORGANISATION": "dns"})).helo


def test_a_wrong_value_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "ekiden.toml"
    file.write_text('hostname = "mx.one.test"\n[authentication]\norganisation = "guess"\n')
    with pytest.raises(ConfigError, match=r"(?s)3.*organisation.*dns"):
        load(file, {})
