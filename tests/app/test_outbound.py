"""What the configuration says of mail that goes out."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.services.houses import SETTINGS

from ekiden.app.config import Config, load
from ekiden.app.outbound import attempt_settings, courier_settings
from ekiden.base.errors import ConfigError
from ekiden.testing.certificates import make_certificate


def _config(folder: Path, more: str) -> Config:
    make_certificate(folder / "certificate.pem", folder / "key.pem")
    (folder / "ekiden.toml").write_text(f"{SETTINGS}\n{more}\n")
    return load(folder / "ekiden.toml", {})


def test_the_schedule_and_the_lease_are_the_operators(tmp_path: Path) -> None:
    config = _config(tmp_path, "[queue]\nretry = ['1m', '1h']\njitter_percent = 20\nlifetime = '2d'\nlease = '20m'")
    courier = courier_settings(config, "courier-3", 7)
    assert (courier.schedule.waits_s, courier.schedule.jitter, courier.schedule.lifetime_s) == ((60, 3600), 0.2, 172_800)
    assert (courier.owner, courier.lease_s, courier.lanes, courier.former) == ("courier-3", 1200, 7, ())


def test_the_first_address_of_each_kind_is_the_source(tmp_path: Path) -> None:
    config = _config(tmp_path, "[outbound]\nsource_addresses = ['192.0.2.1', '192.0.2.2', '2001:db8::1']")
    sources = attempt_settings(config, ()).sources
    assert (sources.four, sources.six) == (ip_address("192.0.2.1"), ip_address("2001:db8::1"))


@pytest.mark.parametrize(("more", "may"), [("private_addresses = false", False), ("", True)])
def test_private_addresses_are_dialled_where_the_operator_says_so(tmp_path: Path, more: str, may: bool) -> None:
    assert attempt_settings(_config(tmp_path, f"[outbound]\n{more}"), ()).may_dial(ip_address("10.0.0.1")) is may


def test_the_smarthost_has_its_password_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    more = f"[outbound.smarthost]\nserver = 'relay.test:587'\nuser = 'us'\npassword_file = '{file}'"
    with pytest.raises(ConfigError, match="password_file"):
        attempt_settings(_config(tmp_path, more), ())
    file.write_text("secret\r\nnot this\n")
    manner = attempt_settings(_config(tmp_path, more), ("mx.one.test",)).manner
    assert (manner.login, manner.own_names) == (("us", "secret"), ("mx.one.test",))
    assert attempt_settings(_config(tmp_path, ""), ()).manner.login is None
