"""The settings of [score]: what each finding is worth, from where on something follows, and which lists in the DNS are asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from ekiden.base.errors import BadValue
from ekiden.base.settings import Problem, Setting
from ekiden.dns.dnsbl import parse_codes
from ekiden.mail.address import parse_domain
from ekiden.mail.findings import JUNK, REFUSE, TAG, WEIGHTS

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,58}[a-z0-9])?")
_MOST = 1000


def _zone(name: str) -> str:
    return parse_domain(name.removesuffix(".")).ascii


def _codes(text: str) -> str:
    return parse_codes(text).text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise BadValue("name of a list", text)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSettings:
    """A list in the DNS (RFC 5782) that is asked about each message from outside. Read what its owner asks of users first."""

    zone: Annotated[str, Setting("The domain that is asked.", parse=_zone, expects="domain")]
    name: Annotated[
        str | None, Setting("What it is called in the score, as listed-NAME. Not set: its zone.", parse=_name, expects="list-name")
    ] = None
    codes: Annotated[
        tuple[str, ...],
        Setting("Which answers count: four numbers, each may be a range or *. All others do not.", parse=_codes, expects="list-codes"),
    ] = ("127.0.0.2",)
    subject: Annotated[
        str,
        Setting(
            "What it lists: addresses of servers, or domains (of From, of the sender, of links in the text).", choices=("address", "domain")
        ),
    ] = "address"
    points: Annotated[
        int, Setting("What it adds to the score of what is listed; less than 0 for a list of the good.", low=-_MOST, high=_MOST)
    ] = 40
    refuse: Annotated[
        bool, Setting("With builtin:dnsbl in policies: refuse at RCPT what is listed. Lists with points below 0 are exceptions.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSettings:
    """From how many points on something follows (builtin:score), and what is worth how many."""

    tag: Annotated[int, Setting("From so many points on a message gets the field X-Ekiden-Score.", low=1, high=_MOST)] = TAG
    junk: Annotated[int, Setting("From so many on it is filed into Junk.", low=1, high=_MOST)] = JUNK
    refuse: Annotated[int, Setting("From so many on it is refused with 550 5.7.1.", low=1, high=_MOST)] = REFUSE
    weights: Annotated[
        Mapping[str, int],
        Setting(
            "Points of single findings, where they are to differ from spam.md; 0 switches one off.", high=_MOST, choices=tuple(WEIGHTS)
        ),
    ] = field(default_factory=dict)
    lists: Annotated[
        tuple[ListSettings, ...],
        Setting("Lists in the DNS (RFC 5782) that are asked, one table each. None is asked unless you name it; see spam.md."),
    ] = ()


def check_score(score: ScoreSettings, policies: Sequence[str]) -> list[Problem]:
    """What no single value of [score] shows."""
    problems: list[Problem] = []
    if not score.tag <= score.junk <= score.refuse:
        told = {"tag": str(score.tag), "junk": str(score.junk), "refuse": str(score.refuse)}
        problems.append(Problem(("score", "junk" if score.tag > score.junk else "refuse"), "score-order", told))
    taken: set[str] = set()
    for position, each in enumerate(score.lists):
        name = each.name or each.zone
        if name in taken:
            problems.append(Problem(("score", "lists", position), "list-twice", {"name": name}))
        taken.add(name)
    if "builtin:dnsbl" in policies and not any(each.refuse for each in score.lists):
        problems.append(Problem(("policies",), "dnsbl-without-list"))
    return problems
