"""What DMARC's outcome means at the final dot."""

from __future__ import annotations

import asyncio

import pytest
from tests.services.test_checks import checks_of

from ekiden.mail.envelope import Envelope
from ekiden.mail.headers import parse_headers
from ekiden.policy.authentication import NOT_ASKED, Authentication
from ekiden.policy.builtin.dmarc import the_author_is_whom_it_says
from ekiden.policy.stage import MessageContext
from ekiden.policy.verdict import Defer, Quarantine, Reject, Verdict
from ekiden.testing.dns import FakeZone, ZoneResolver


def _judged(checks: Authentication, envelope: Envelope, raw: bytes) -> Verdict | None:
    context = MessageContext(envelope.peer, None, envelope, (), parse_headers(raw), len(raw), authentication=checks)  # type: ignore[arg-type]
    return asyncio.run(the_author_is_whom_it_says(context))


@pytest.mark.parametrize(("record", "verdict", "code"), [
    ("v=DMARC1; p=reject", Reject, "550 5.7.1"),
    ("v=DMARC1; p=quarantine", Quarantine, ""),
    ("v=DMARC1; p=none", type(None), ""),
    ("v=DMARC1; p=reject; t=y", Quarantine, ""),
])
def test_the_domains_wish_is_done(record: str, verdict: type, code: str) -> None:
    raw = b"From: ceo@bank.test\r\n\r\nhello\r\n"
    zone = FakeZone({"bank.test": ["TXT v=spf1 -all"], "_dmarc.bank.test": [f'TXT "{record}"']})
    checks, envelope = checks_of(ZoneResolver(zone), raw, sender="ceo@bank.test")
    judged = _judged(checks, envelope, raw)
    assert isinstance(judged, verdict)
    if isinstance(judged, Reject):
        assert judged.reply.text.startswith(code)
        assert "bank.test" in judged.because


def test_what_nobody_could_tell_is_put_off() -> None:
    """Row AX-23."""
    raw = b"From: ceo@bank.test\r\n\r\nhello\r\n"
    zone = FakeZone({"bank.test": ["SERVFAIL"], "_dmarc.bank.test": ['TXT "v=DMARC1; p=reject"']})
    checks, envelope = checks_of(ZoneResolver(zone), raw, sender="ceo@bank.test")
    judged = _judged(checks, envelope, raw)
    assert isinstance(judged, Defer)
    assert judged.reply.text.startswith("451 4.7.1")


@pytest.mark.parametrize("author", [b"From: a@x.test, b@y.test\r\n", b"From: a@x.test\r\nFrom: b@y.test\r\n", b"Subject: nobody\r\n"])
def test_not_one_author_is_refused(author: bytes) -> None:
    """Rows AX-11, AX-20."""
    raw = author + b"\r\nhello\r\n"
    checks, envelope = checks_of(ZoneResolver(FakeZone({})), raw)
    judged = _judged(checks, envelope, raw)
    assert isinstance(judged, Reject)
    assert judged.reply.text.startswith("550 5.6.0")


def test_who_signed_in_is_not_judged() -> None:
    raw = b"From: a@x.test, b@y.test\r\n\r\n"
    _, envelope = checks_of(ZoneResolver(FakeZone({})), raw)
    assert _judged(NOT_ASKED, envelope, raw) is None
