"""What is said on top of a message about who sent it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.services.test_checks import WAYS, ZONE, checks_of

from ekiden.mail.headers import parse_headers
from ekiden.mailauth.auth_results import parse_auth_results
from ekiden.policy.authentication import NOT_ASKED, Authentication
from ekiden.policy.builtin.authentication import results_are_stated, spf_is_stated
from ekiden.policy.stage import MessageContext
from ekiden.policy.verdict import Tag
from ekiden.testing.dns import FakeZone, ZoneResolver

RAW = b"From: bob@good.test\r\n\r\nhello\r\n"


def _context(checks: Authentication, raw: bytes = RAW) -> MessageContext:
    _, envelope = checks_of(ZoneResolver(FakeZone({})), raw)
    return MessageContext(envelope.peer, None, envelope, (), parse_headers(raw), len(raw), authentication=checks)  # type: ignore[arg-type]


def test_the_field_says_what_was_found() -> None:
    checks, _ = checks_of(ZoneResolver(FakeZone(ZONE)), RAW)
    tag = asyncio.run(results_are_stated(_context(checks)))
    assert isinstance(tag, Tag)
    assert tag.field == b"Authentication-Results"
    read = parse_auth_results(tag.value)
    assert read.authserv_id == "one.test"
    assert {each.method: each.result for each in read.statements}.items() >= {"spf": "pass", "dmarc": "pass", "iprev": "pass"}.items()


def test_received_spf_only_where_it_is_wanted() -> None:
    checks, _ = checks_of(ZoneResolver(FakeZone(ZONE)), RAW)
    assert asyncio.run(spf_is_stated(_context(checks))) is None
    wanted, _ = checks_of(ZoneResolver(FakeZone(ZONE)), RAW, ways=replace(WAYS, received_spf=True))
    tag = asyncio.run(spf_is_stated(_context(wanted)))
    assert isinstance(tag, Tag)
    assert (tag.field, tag.value[:4]) == (b"Received-SPF", b"pass")


def test_nothing_is_said_of_our_own_people() -> None:
    assert asyncio.run(results_are_stated(_context(NOT_ASKED))) is None
    assert asyncio.run(spf_is_stated(_context(NOT_ASKED))) is None
