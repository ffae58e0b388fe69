"""The ways of checking origin, from the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from ekiden.app.config import load
from ekiden.app.ways import ways_of
from ekiden.base.errors import ConfigError


def _config(folder: Path, more: str) -> Path:
    file = folder / "ekiden.toml"
    file.write_text(f'hostname = "mx.one.test"\n[authentication]\n{more}\n')
    return file


def test_our_name_is_the_host_name_unless_another_is_set(tmp_path: Path) -> None:
    assert ways_of(load(_config(tmp_path, ""), {})).authserv_id == "mx.one.test"
    ways = ways_of(load(_config(tmp_path, 'authserv_id = "one.test"\ntrusted_sealers = ["lists.test"]'), {}))
    assert (ways.by, ways.authserv_id, ways.trusted_sealers, ways.suffixes) == ("mx.one.test", "one.test", frozenset(["lists.test"]), None)


def test_the_list_is_read_where_it_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "list.dat").write_text("// rules\nco.test\n*.wild.test\n")
    ways = ways_of(load(_config(tmp_path, 'organisation = "list"\npublic_suffix_list = "list.dat"'), {}))
    assert ways.suffixes is not None
    assert ways.suffixes.registrable("a.b.co.test") == "b.co.test"


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = load(_config(tmp_path, 'organisation = "list"\npublic_suffix_list = "none.dat"'), {})
    with pytest.raises(ConfigError, match=r"public_suffix_list: .*none\.dat: No such file"):
        ways_of(config)
