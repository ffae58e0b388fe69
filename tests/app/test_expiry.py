"""The end of a certificate is read right and told in time."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ekiden.app.expiry import ends, notice_of, watch_expiry
from ekiden.base.clock import Millis

_DAY = 86_400_000


def write_certificate(path: Path, end: datetime.datetime) -> None:
    """A certificate that ends then."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.test")])
    begin = datetime.datetime(1990, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
    path.write_bytes(b"# a comment before it\n" + made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


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


def test_each_notice_is_told_once(tmp_path: Path) -> None:
    end = datetime.datetime(2026, 12, 31, tzinfo=datetime.UTC)
    write_certificate(tmp_path / "c.pem", end)
    ms = int(end.timestamp() * 1000)
    told: list[tuple[str, object, object]] = []
    with pytest.raises(EOFError):
        asyncio.run(
            watch_expiry(
                tmp_path / "c.pem",
                _Timer(ms - 30 * _DAY, ms + 2 * _DAY),
                lambda event, **more: told.append((event, more["level"], more.get("days"))),
            )
        )
    assert told == [
        ("certificate-expires", "warning", 21),
        ("certificate-expires", "warning", 7),
        ("certificate-expires", "error", 1),
        ("certificate-expired", "error", None),
    ]
