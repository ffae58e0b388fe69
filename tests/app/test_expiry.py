"""The end of a certificate is read right and told in time."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ekiden.app.expiry import Standing, ends, notice_of, watch_expiry, watch_files
from ekiden.base import measures
from ekiden.base.clock import Millis
from ekiden.base.errors import ConfigError
from ekiden.net.tls import Certificate

_DAY = 86_400_000


def write_certificate(path: Path, end: datetime.datetime) -> bytes:
    """A certificate that ends then; its key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.test")])
    begin = datetime.datetime(1990, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
    path.write_bytes(b"# a comment before it\n" + made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 2999])  # RFC 5280 §4.1.2.5: from 2050 on in another form
def test_the_end_of_a_certificate_is_read(tmp_path: Path, year: int) -> None:
    end = datetime.datetime(year, 12, 31, 23, 59, 58, tzinfo=datetime.UTC)
    write_certificate(tmp_path / "c.pem", end)
    assert ends(tmp_path / "c.pem") == int(end.timestamp() * 1000)


def test_what_is_no_certificate_has_no_end(tmp_path: Path) -> None:
    file = tmp_path / "c.pem"
    write_certificate(file, datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC))
    der = ssl.PEM_cert_to_DER_cert(file.read_text().partition("\n")[2])
    for cut in range(0, 160, 3):
        file.write_text(ssl.DER_cert_to_PEM_cert(der[:cut]))
        with pytest.raises(ValueError):
            ends(file)
    file.write_text("")
    with pytest.raises(ValueError):
        ends(file)


@pytest.mark.parametrize(("left", "notice"), [
    (22 * _DAY, None), (21 * _DAY + 1, None), (21 * _DAY, 21), (7 * _DAY + 1, 21), (7 * _DAY, 7),
    (_DAY + 1, 7), (_DAY, 1), (1, 1), (0, 0), (-_DAY, 0),
])
def test_notices_are_due_at_21_7_and_1_days_and_at_the_end(left: int, notice: int | None) -> None:
    assert notice_of(left) == notice


class _Timer:
    """Time that passes while somebody sleeps; ends the sleeper when there is no more."""

    def __init__(self, now: int, until: int) -> None:
        self._now, self._until = now, until

    def now(self) -> Millis:
        return Millis(self._now)

    def monotonic(self) -> float:
        return self._now / 1000

    async def sleep_until(self, at: Millis) -> None:
        self._now = at
        if at > self._until:
            raise EOFError


_Told = list[tuple[str, object, object]]


def _counts() -> list[float]:
    return [measures.CERTIFICATE_NOTICES.of(days).value for days in ("21", "7", "1", "0")]


def _watch(chain: Path, memory: Path, begin: int, until: int) -> _Told:
    """What is told from one moment to another, as (event, level, days)."""
    told: _Told = []

    def log(event: str, **more: object) -> None:
        told.append((event, more["level"], more.get("days")))

    with pytest.raises(EOFError):
        asyncio.run(watch_expiry(chain, _Timer(begin, until), log, memory))
    return told


_ALL: _Told = [
    ("certificate-expires", "warning", 21),
    ("certificate-expires", "warning", 7),
    ("certificate-expires", "error", 1),
    ("certificate-expired", "error", None),
]


def test_each_notice_is_told_and_counted_once(tmp_path: Path) -> None:
    end = datetime.datetime(2026, 12, 31, tzinfo=datetime.UTC)
    write_certificate(tmp_path / "c.pem", end)
    ms = int(end.timestamp() * 1000)
    before = _counts()
    assert _watch(tmp_path / "c.pem", tmp_path / "run" / "notice", ms - 30 * _DAY, ms + 2 * _DAY) == _ALL
    assert [now - then for now, then in zip(_counts(), before, strict=True)] == [1, 1, 1, 1]
    assert measures.CERTIFICATE_ENDS_AT.of().value == ms / 1000


def test_a_start_or_a_reload_tells_no_notice_again_but_for_a_renewed_certificate_anew(tmp_path: Path) -> None:
    chain, memory = tmp_path / "c.pem", tmp_path / "notice"
    end = datetime.datetime(2026, 12, 31, tzinfo=datetime.UTC)
    write_certificate(chain, end)
    ms = int(end.timestamp() * 1000)
    told: _Told = []
    for day in range(-30, 1):  # a start each day
        told += _watch(chain, memory, ms + day * _DAY - 1, ms + day * _DAY + 1)
    assert told == _ALL[:3]
    for _ in range(2):  # that it has ended is told at each start
        assert _watch(chain, memory, ms, ms + 3 * _DAY) == _ALL[3:]
    write_certificate(chain, end + datetime.timedelta(days=90))
    assert _watch(chain, memory, ms, ms + 91 * _DAY) == _ALL


def test_where_nothing_can_be_written_down_each_notice_is_told_once_a_process(tmp_path: Path) -> None:
    end = datetime.datetime(2027, 1, 31, tzinfo=datetime.UTC)
    write_certificate(tmp_path / "c.pem", end)
    ms = int(end.timestamp() * 1000)
    (tmp_path / "run").touch()  # no folder can be made there
    assert _watch(tmp_path / "c.pem", tmp_path / "run" / "notice", ms - 30 * _DAY, ms + _DAY) == _ALL
    assert _watch(tmp_path / "c.pem", tmp_path / "run" / "notice", ms - _DAY // 2, ms - 1) == []


class _Steps(_Timer):
    """Does something to the files at each look; ends when there is nothing more to do."""

    def __init__(self, now: int, steps: list[Callable[[], object]]) -> None:
        super().__init__(now, 0)
        self._steps = steps

    async def sleep_until(self, at: Millis) -> None:
        self._now = at
        if not self._steps:
            raise EOFError
        self._steps.pop(0)()


def _pair(folder: Path, name: str, end: datetime.datetime) -> Callable[[], None]:
    """Make a certificate and its key beside the ones in service; calling the result puts both in their place."""
    key = write_certificate(folder / f"{name}.pem", end)
    (folder / f"{name}.key").write_bytes(key)
    (folder / f"{name}.key").chmod(0o600)

    def put() -> None:
        os.replace(folder / f"{name}.pem", folder / "c.pem")
        os.replace(folder / f"{name}.key", folder / "c.key")

    return put


def test_files_that_are_no_good_are_told_once_with_their_name_and_the_former_stay(tmp_path: Path) -> None:
    now = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
    year, day = datetime.timedelta(days=365), datetime.timedelta(days=1)
    _pair(tmp_path, "first", now + year)()
    expired, renewed = _pair(tmp_path, "old", now - day), _pair(tmp_path, "new", now + 2 * year)
    certificate = Certificate(tmp_path / "c.pem", tmp_path / "c.key")
    told: list[tuple[str, str]] = []
    refused: list[float] = []

    def look() -> None:
        refused.append(measures.CERTIFICATE_REFUSED.of().value)

    steps: list[Callable[[], object]] = [
        look, (tmp_path / "c.pem").unlink, look, lambda: (tmp_path / "c.pem").write_text("no certificate"), look, look, expired, look,
        look, renewed, look,
    ]
    timer = _Steps(int(now.timestamp() * 1000), steps)
    standing = Standing(timer)
    standing.take(certificate.chain)
    with pytest.raises(EOFError):
        asyncio.run(watch_files(certificate, standing, timer, lambda event, **more: told.append((event, str(more.get("because", ""))))))
    assert [event for event, _ in told] == ["certificate-broken"] * 3 + ["certificate-reloaded"]
    assert all(str(tmp_path / "c.pem") in because for _, because in told[:3]), told
    assert "expired at 2026-05-31" in told[2][1]
    assert refused == [0, 1, 1, 1, 1, 1, 0]


def test_an_expired_certificate_may_follow_one_that_has_expired_too(tmp_path: Path) -> None:
    end = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
    ms = int(end.timestamp() * 1000)
    write_certificate(tmp_path / "a.pem", end)
    write_certificate(tmp_path / "b.pem", end - datetime.timedelta(days=1))
    before, after = Standing(_Timer(ms - 1, 0)), Standing(_Timer(ms + 1, 0))
    for standing in (before, after):
        standing.take(tmp_path / "a.pem")
    with pytest.raises(ConfigError, match=r"b\.pem expired"):
        before.check(tmp_path / "b.pem")
    after.check(tmp_path / "b.pem")
    before.check(tmp_path / "nowhere.pem")  # whoever loads it says so
    before.check(None)
