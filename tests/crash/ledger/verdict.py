"""What was heard, held against what is there: ten counters, and all of them at zero is the promise.

Source: reliability.md §3.1 (verdict).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tests.crash.ledger.writing import Heard, Ledger, States, read_message

Fault = tuple[str, str]
"""What it is about (an id), and where (a recipient, a mailbox, a file) with what is wrong."""
COUNTERS = ("lost", "dup", "dup_unexplained", "ghost", "corrupt", "imap_lost", "uid_reuse", "dangling", "orphan", "damaged")


class Copy(NamedTuple):
    """A message, or a report about it, that was found for one destination."""

    id: str
    destination: str
    where: Literal["mailbox", "queue", "report", "remote"]
    is_whole: bool = True


@dataclass(slots=True)
class Verdict:
    """What is wrong, by counter.

    Beside it, how many (id, recipient) pairs were acknowledged, refused, open, and how many of the open arrived. acknowledged and
    open count messages where they come from judge(). explained: copies at the remote that the journey accounts for. places: how
    many copies were found where.
    """

    lost: list[Fault] = field(default_factory=list)
    dup: list[Fault] = field(default_factory=list)
    dup_unexplained: list[Fault] = field(default_factory=list)
    ghost: list[Fault] = field(default_factory=list)
    corrupt: list[Fault] = field(default_factory=list)
    imap_lost: list[Fault] = field(default_factory=list)
    uid_reuse: list[Fault] = field(default_factory=list)
    dangling: list[Fault] = field(default_factory=list)
    orphan: list[Fault] = field(default_factory=list)
    damaged: list[Fault] = field(default_factory=list)
    acknowledged: int = 0
    refused: int = 0
    open: int = 0
    open_arrived: int = 0
    explained: int = 0
    places: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> dict[str, int]:
        """Counter → how many."""
        return {name: len(getattr(self, name)) for name in COUNTERS}

    @property
    def is_clean(self) -> bool:
        """All counters are zero."""
        return not any(self.counts.values())

    def __str__(self) -> str:
        told = [f"acknowledged {self.acknowledged}, refused {self.refused}, open {self.open} ({self.open_arrived} arrived)"]
        told.append(", ".join(f"{where} {count}" for where, count in sorted(self.places.items())))
        told.append(f"explained duplicates {self.explained}; " + ", ".join(f"{name} {count}" for name, count in self.counts.items()))
        told += [f"{name}: {getattr(self, name)[:5]}" for name, count in self.counts.items() if count]
        return "\n".join(told)


def judge_copies(
    states: States, copies: Iterable[Copy], verdict: Verdict, *, ways: Mapping[str, tuple[str, ...]] = {}, events: Mapping[Fault, int] = {}
) -> None:
    """Every (id, recipient) against the copies that were found.

    ways: recipient → its destinations, where these are not just the recipient. events: (id, destination) → how many delivery
    attempts have left an unknown outcome in the journey: so many copies more a remote host may have.
    """
    found: defaultdict[Fault, Counter[str]] = defaultdict(Counter)
    for copy in copies:
        found[copy.id, copy.destination][copy.where] += 1
        verdict.places[copy.where] += 1
        if not copy.is_whole:
            verdict.corrupt.append((copy.id, f"{copy.destination} ({copy.where})"))
    for (id, recipient), heard in states.items():
        verdict.acknowledged += heard is Heard.ACKNOWLEDGED
        verdict.refused += heard is Heard.REFUSED
        verdict.open += heard is Heard.SENT
        for destination in ways.get(recipient, (recipient,)):
            where = found.pop((id, destination), Counter())
            _judge_one((id, destination), heard, where, events.get((id, destination), 0), verdict)
    verdict.ghost += [(id, f"{destination} {dict(where)}: nobody has sent it") for (id, destination), where in found.items()]


def _judge_one(key: Fault, heard: Heard, where: Counter[str], unknown: int, verdict: Verdict) -> None:
    total = where.total()
    if heard in (Heard.UNSENT, Heard.REFUSED):
        if total:
            verdict.ghost.append((key[0], f"{key[1]} {dict(where)}: {heard.value}"))
        return
    if heard is Heard.ACKNOWLEDGED and not total:
        verdict.lost.append(key)
    if heard is Heard.SENT:
        verdict.open_arrived += total > 0
    if total <= 1:
        return
    here = total - where["remote"]  # of these there may be one alone: what is handed over lies nowhere else
    if here > 1 or not where["remote"]:
        verdict.dup.append((key[0], f"{key[1]} {dict(where)}"))
    elif total - 1 <= unknown:
        verdict.explained += total - 1
    else:
        verdict.dup_unexplained.append((key[0], f"{key[1]} {dict(where)}, with {unknown} unknown outcomes"))


def judge(ledgers: Iterable[Ledger], found: Mapping[str, Iterable[bytes]]) -> Verdict:
    """The same for clients in memory. found: recipient → messages, from mailboxes and queue together."""
    verdict = Verdict()
    copies = [_copy(recipient, message) for recipient, messages in found.items() for message in messages]
    known = list(ledgers)
    judge_copies({key: heard for ledger in known for key, heard in ledger.states().items()}, copies, verdict)
    verdict.acknowledged = sum(line.heard is Heard.ACKNOWLEDGED for ledger in known for line in ledger.lines)
    verdict.open = sum(line.heard is Heard.SENT for ledger in known for line in ledger.lines)
    return verdict


def _copy(recipient: str, message: bytes) -> Copy:
    seen = read_message(message)
    return Copy(seen.id, recipient, "mailbox", seen.is_whole)
