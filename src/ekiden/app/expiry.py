"""The certificate while we serve: renewed files are taken, bad ones are not, and its end is told in time: 21, 7 and 1 days before.

Source: reliability.md F-57; RFC 5280 §4.1 (where in a certificate its end stands).
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ekiden.base import measures
from ekiden.base.clock import Clock, Millis, Timer
from ekiden.base.errors import BadValue, ConfigError
from ekiden.net.tls import Certificate
from ekiden.policy.stage import Log

_DAY_MS = 86_400_000
_NOTICES = (21, 7, 1, 0)  # days before the end
_LOOK_MS = 600_000
_FILES_MS = 5_000
_FILE_BYTES = 1_048_576
_UTC_TIME, _GENERALIZED_TIME, _VERSION, _SEQUENCE = 0x17, 0x18, 0xA0, 0x30


class Standing:
    """When the certificate in service ends: one that has ended does not take the place of one that has not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_at: Millis | None = None

    def take(self, chain: str | Path | None) -> None:
        """What lies there is in service now, if it has not ended."""
        ends_at = _ends(chain)
        if ends_at is not None and (ends_at > self._clock.now() or self._ends_at is None):
            self._ends_at = ends_at

    def check(self, chain: str | Path | None) -> None:
        """May what lies there be served? Raises ConfigError if it has ended and what is in service has not."""
        ends_at, now = _ends(chain), self._clock.now()
        if ends_at is not None and self._ends_at is not None and ends_at <= now < self._ends_at:
            good_until = _date(self._ends_at)
            raise ConfigError([f"tls.certificate: {chain} expired at {_date(ends_at)}; the one in service is good until {good_until}"])


async def watch_files(certificate: Certificate, standing: Standing, timer: Timer, log: Log) -> None:
    """New handshakes get a renewed certificate within seconds; of one that is no good the log hears once, and the former one stays."""
    told = ""
    while True:
        await timer.sleep_until(Millis(timer.now() + _FILES_MS))
        problem = ""
        try:
            standing.check(certificate.chain)
            if certificate.reload_if_changed():
                log("certificate-reloaded", file=str(certificate.chain))
            standing.take(certificate.chain)
        except ConfigError as error:
            problem = "; ".join(error.problems)
            if problem != told:
                log("certificate-broken", because=problem, serving="the former certificate")
        told = problem
        measures.CERTIFICATE_REFUSED.of().value = int(bool(problem))


def notice_of(left_ms: int) -> int | None:
    """The last notice that is due with so much time left: days before the end (0: it has ended), None while there is time."""
    due = [days for days in _NOTICES if left_ms <= days * _DAY_MS]
    return min(due) if due else None


async def watch_expiry(chain: Path, timer: Timer, log: Log, memory: Path) -> None:
    """Log and count each notice once for each certificate that lies there; until cancelled.

    memory: the file that says what has been told, so that neither a reload nor a start tells it again. That a certificate has
    ended is told at each start.
    """
    ended_told: Millis | None = None
    while True:
        ends_at = _ends(chain)
        if ends_at is not None:  # else whoever loads it says what is wrong with it
            measures.CERTIFICATE_ENDS_AT.of().value = ends_at / 1000
            notice = notice_of(ends_at - timer.now())
            if notice == 0 and ended_told != ends_at:
                ended_told = ends_at
                log("certificate-expired", level="error", file=str(chain), since=_date(ends_at))
                measures.CERTIFICATE_NOTICES.of("0").value += 1
            elif notice and _note(memory, ends_at, notice):
                level = "error" if notice == 1 else "warning"
                log("certificate-expires", level=level, file=str(chain), at=_date(ends_at), days=notice)
                measures.CERTIFICATE_NOTICES.of(str(notice)).value += 1
        await timer.sleep_until(Millis(timer.now() + _LOOK_MS))


_unwritable: set[str] = set()


def _note(memory: Path, ends_at: Millis, notice: int) -> bool:
    """Write down that this is told; False if that stands there already."""
    said = f"{ends_at} {notice}\n"
    with suppress(OSError):
        if memory.read_text("utf-8", "replace") == said:
            return False
    if said in _unwritable:
        return False
    try:
        memory.parent.mkdir(mode=0o700, exist_ok=True)
        memory.write_text(said, "utf-8")
    except OSError:
        _unwritable.add(said)  # a disk that takes nothing: once in the life of this process then
    return True


def _ends(chain: str | Path | None) -> Millis | None:
    try:
        return ends(Path(chain)) if chain is not None else None
    except (OSError, ValueError):
        return None


def _date(at: Millis) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


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
