"""What builtin policies go by."""

from __future__ import annotations

import asyncio

from ekiden.dns.dnsbl import parse_list
from ekiden.mail.findings import WEIGHTS
from ekiden.policy.rules import NO_LISTS, ListRule, Rules


def test_a_list_has_a_finding_of_its_own() -> None:
    assert ListRule("zen", parse_list("zen.list.test"), 40).finding == "listed-zen"


def test_by_default_nobody_is_asked_and_every_finding_has_its_points() -> None:
    assert Rules().lists is None
    assert Rules().weights == WEIGHTS
    assert asyncio.run(NO_LISTS.found()) == ()
