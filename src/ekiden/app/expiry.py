"""When the certificate ends, told in time: 21, 7 and 1 days before, and when it has ended.

Source: reliability.md F-57; RFC 5280 §4.1 (where in a certificate its end stands).
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from ekiden.base.clock import Millis, Timer
from ekiden.base.errors import BadValue
from ekiden.policy.stage import Log

_DAY_MS = 86_400_000
_NOTICES = (21, 7, 1, 0)  # days before the end
_LOOK_MS = 600_000
_FILE_BYTES = 1_048_576
_UTC_TIME, _GENERALIZED_TIME, _VERSION, _SEQUENCE = 0x17, 0x18, 0xA0, 0x30


def notice_of(left_ms: int) -> int | None:
    """The last notice that is due with so much time left: days before the end (0: it has ended), None while there is time."""
    due = [days for days in _NOTICES if left_ms <= days * _DAY_MS]
    return min(due) if due else None


async def watch_expiry(chain: Path, timer: Timer, log: Log) -> None:
    """Log each notice once for each certificate that lies there, at the start the one that is due by then; until cancelled."""
    told: tuple[Millis, int] | None = None
    while True:
        try:
            ends_at = ends(chain)
        except (OSError, ValueError):
            ends_at = None  # whoever loads it says what is wrong with it
        if ends_at is not None:
            notice = notice_of(ends_at - timer.now())
            if notice is not None and (ends_at, notice) != told:
                told = (ends_at, notice)
                when = datetime.fromtimestamp(ends_at / 1000, UTC).isoformat()
                if notice == 0:
                    log("certificate-expired", level="error", file=str(chain), since=when)
                else:
                    level = "error" if notice == 1 else "warning"
                    log("certificate-expires", level=level, file=str(chain), at=when, days=notice)
        await timer.sleep_until(Millis(timer.now() + _LOOK_MS))


def ends(chain: Path) -> Millis:
    """notAfter of the first certificate in a PEM file. Raises OSError, ValueError (BadValue is one)."""
    with chain.open("r", encoding="ascii") as file:
        text = file.read(_FILE_BYTES)
    begin, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    if begin < 0 or end < begin:
        raise BadValue("certificate", str(chain), "no PEM")
    return _not_after(ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)]))


def _not_after(der: bytes) -> Millis:
    """Certificate → tbsCertificate → [version], serial, algorithm, issuer, validity → notBefore, notAfter (RFC 5280 §4.1)."""
    _, certificate, _ = _element(der, 0)
    _, tbs, _ = _element(certificate, 0)
    at = 0
    tag, _, after = _element(tbs, at)
    if tag == _VERSION:
        at = after
    for _ in range(3):
        _, _, at = _element(tbs, at)
    tag, validity, _ = _element(tbs, at)
    if tag != _SEQUENCE:
        raise BadValue("certificate", "no validity")
    _, _, at = _element(validity, 0)
    tag, raw, _ = _element(validity, at)
    text = raw.decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if text < "50" else "19") + text  # RFC 5280 §4.1.2.5.1
    elif tag != _GENERALIZED_TIME:
        raise BadValue("certificate", "no time")
    return Millis(int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000))


def _element(der: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content and end of the element at a place. Raises BadValue."""
    if at + 2 > len(der):
        raise BadValue("certificate", "cut off")
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(der[start : start + count], "big"), start + count
    if start + length > len(der):
        raise BadValue("certificate", "cut off")
    return tag, der[start : start + length], start + length
