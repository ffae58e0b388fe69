"""What builtin policies go by here, from the configuration."""

from __future__ import annotations

from ekiden.app.config import Config
from ekiden.app.config_score import ListSettings
from ekiden.base.clock import Clock
from ekiden.dns.dnsbl import DnsList, ListHealth, Subject, parse_codes
from ekiden.mail.findings import WEIGHTS
from ekiden.policy.rules import ListRule, Lists, Rules
from ekiden.policy.score import Thresholds


def rules_of(config: Config, clock: Clock) -> Rules:
    """The rules of one process; made once, because they know which lists proved sane."""
    chosen = config.score
    lists = tuple(_rule(each) for each in chosen.lists)
    return Rules(
        hostname=config.hostname,
        weights={**WEIGHTS, **chosen.weights, **{rule.finding: rule.points for rule in lists}},
        thresholds=Thresholds(chosen.tag, chosen.junk, chosen.refuse),
        lists=Lists(lists, ListHealth(clock)) if lists else None,
    )


def _rule(each: ListSettings) -> ListRule:
    codes = tuple(parse_codes(text) for text in each.codes)
    return ListRule(each.name or each.zone, DnsList(each.zone, codes, Subject(each.subject)), each.points, each.refuse)
