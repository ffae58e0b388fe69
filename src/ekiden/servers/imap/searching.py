"""Judging messages by search keys, with as little read as the keys need.

A key becomes a function of a Candidate that says yes, no, or None: "I must know more". All candidates are judged by what costs
nothing first; only those that are still undecided are read more of: rows of the mailbox, rows of messages, headers, bodies.
Texts are compared decoded, without regard to case and width (NFKC), letter by letter: nothing in them is a pattern.
Source: RFC 3501 §6.4.4.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import assert_never

from ekiden.imap import search
from ekiden.imap.search import SearchKey
from ekiden.mail.encodings import decode_body, decode_text, decode_words
from ekiden.mail.fields import parse_date
from ekiden.mail.headers import Headers, parse_headers
from ekiden.mail.mime import Part, decode_parts, walk
from ekiden.mail.parameters import parameter, strip_comments
from ekiden.servers.imap.view import View
from ekiden.services.mailbox import Content, Details, Entry, Mailboxes, ranges_of

_DAY_MS = 86_400_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_SUBJECT_KEPT = 1000
"""Characters of a subject that the store keeps."""
_ENTRIES_AT_ONCE = 5_000
_DETAILS_AT_ONCE = 500
_CONTENTS_AT_ONCE = 200
_IN_THREAD_BYTES = 65_536
_ZONE = re.compile(rb"([+-][0-9]{2}:?[0-9]{2}|[A-Za-z]{1,5})[ \t]*\Z")


@dataclass(slots=True)
class Candidate:
    """What is known of a message up to now. text: its decoded header and body, when they have been read."""

    number: int
    uid: int
    entry: Entry | None = None
    details: Details | None = None
    headers: Headers | None = None
    raw: bytes | None = None


Judge = Callable[[Candidate], bool | None]


def fold(text: str) -> str:
    """The form in which texts are compared."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


async def find(mailboxes: Mailboxes, view: View, key: SearchKey) -> list[Candidate]:
    """The messages that match, in their order. Raises BadValue for a message number that does not exist."""
    judge = _judge(key, view)
    found: list[Candidate] = []
    undecided: list[Candidate] = []
    for number, uid in enumerate(view.snapshot.uids, start=1):
        _sort(judge, Candidate(number, uid), found, undecided)
    if undecided:
        undecided = await _by_entries(mailboxes, view, judge, undecided, found)
    if undecided:
        undecided = await _by_details(mailboxes, view, judge, undecided, found)
    if undecided:
        await _by_contents(mailboxes, view, judge, undecided, found)
    found.sort(key=lambda candidate: candidate.number)
    return found


def _sort(judge: Judge, candidate: Candidate, found: list[Candidate], undecided: list[Candidate]) -> None:
    verdict = judge(candidate)
    if verdict:
        found.append(candidate)
    elif verdict is None:
        undecided.append(candidate)


def _batches(candidates: list[Candidate], size: int) -> Iterator[tuple[dict[int, Candidate], Sequence[tuple[int, int]]]]:
    for at in range(0, len(candidates), size):
        batch = {candidate.uid: candidate for candidate in candidates[at : at + size]}
        yield batch, ranges_of(batch)


async def _by_entries(
    mailboxes: Mailboxes, view: View, judge: Judge, candidates: list[Candidate], found: list[Candidate]
) -> list[Candidate]:
    undecided: list[Candidate] = []
    for batch, ranges in _batches(candidates, _ENTRIES_AT_ONCE):
        for entry in await mailboxes.entries(view.snapshot.id, ranges):
            candidate = batch[entry.uid]
            candidate.entry = entry
            _sort(judge, candidate, found, undecided)
    return undecided


async def _by_details(
    mailboxes: Mailboxes, view: View, judge: Judge, candidates: list[Candidate], found: list[Candidate]
) -> list[Candidate]:
    undecided: list[Candidate] = []
    for batch, ranges in _batches(candidates, _DETAILS_AT_ONCE):
        for details in await mailboxes.details(view.snapshot.id, ranges):
            candidate = batch[details.entry.uid]
            candidate.details = details
            _sort(judge, candidate, found, undecided)
            candidate.details = None  # thousands of them would weigh; the next source brings them again
    return undecided


async def _by_contents(mailboxes: Mailboxes, view: View, judge: Judge, candidates: list[Candidate], found: list[Candidate]) -> None:
    for batch, ranges in _batches(candidates, _CONTENTS_AT_ONCE):
        async for content in mailboxes.contents(view.snapshot.id, ranges):
            candidate = batch[content.details.entry.uid]
            if await _read_and_judge(judge, candidate, content):
                found.append(candidate)
            candidate.details = candidate.headers = candidate.raw = None


async def _read_and_judge(judge: Judge, candidate: Candidate, content: Content) -> bool:
    details = candidate.details = content.details
    header = await content.read(0, len(details.top) + details.header_bytes)
    candidate.headers = parse_headers(header)
    verdict = judge(candidate)
    if verdict is None:
        candidate.raw = await content.read()
        if content.size > _IN_THREAD_BYTES:
            verdict = await asyncio.to_thread(judge, candidate)
        else:
            verdict = judge(candidate)
    return bool(verdict)


# ---- keys -----------------------------------------------------------------------------------------


def _judge(key: SearchKey, view: View) -> Judge:
    """The function that a key stands for. Its depth is bounded, for the key's is."""
    match key:
        case search.All():
            return lambda candidate: True
        case search.HasFlag(flag):
            return _flag(flag)
        case search.IsRecent():
            first = view.snapshot.recent_from
            return lambda candidate: candidate.uid >= first
        case search.HeaderHas(name, text):
            return _header(name.encode("ascii"), fold(text))
        case search.BodyHas(text):
            return _body(fold(text), with_header=False)
        case search.TextHas(text):
            return _body(fold(text), with_header=True)
        case search.Arrived(since, before):
            return _arrived(_day_number(since), _day_number(before))
        case search.Sent(since, before):
            return _sent(_day_number(since), _day_number(before))
        case search.Larger(size):
            return lambda candidate: candidate.entry.size > size if candidate.entry else None
        case search.Smaller(size):
            return lambda candidate: candidate.entry.size < size if candidate.entry else None
        case search.Uids(wanted):
            uids = frozenset(view.uids(wanted, by_uid=True))
            return lambda candidate: candidate.uid in uids
        case search.Numbers(wanted):
            ranges = wanted.numbers(view.count)
            return lambda candidate: any(low <= candidate.number <= high for low, high in ranges)
        case search.Not(inner):
            return _not(_judge(inner, view))
        case search.Or(left, right):
            return _or(_judge(left, view), _judge(right, view))
        case search.And(keys):
            return _and([_judge(each, view) for each in keys])
        case _:
            assert_never(key)


def _not(inner: Judge) -> Judge:
    def judge(candidate: Candidate) -> bool | None:
        verdict = inner(candidate)
        return None if verdict is None else not verdict

    return judge


def _or(left: Judge, right: Judge) -> Judge:
    def judge(candidate: Candidate) -> bool | None:
        verdict = left(candidate)
        if verdict:
            return True
        other = right(candidate)
        return other if other or verdict is False else None

    return judge


def _and(keys: list[Judge]) -> Judge:
    def judge(candidate: Candidate) -> bool | None:
        verdict: bool | None = True
        for key in keys:
            each = key(candidate)
            if each is False:
                return False
            if each is None:
                verdict = None
        return verdict

    return judge


def _flag(flag: str) -> Judge:
    if flag.startswith("\\"):
        return lambda candidate: flag in candidate.entry.flags if candidate.entry else None
    lowered = flag.lower()

    def judge(candidate: Candidate) -> bool | None:
        if candidate.entry is None:
            return None
        return any(each.lower() == lowered for each in candidate.entry.flags)

    return judge


def _day_number(day: date | None) -> int | None:
    """Days since 1970."""
    return None if day is None else day.toordinal() - _EPOCH_DAY


def _within(day: int, since: int | None, before: int | None) -> bool:
    return (since is None or day >= since) and (before is None or day < before)


def _arrived(since: int | None, before: int | None) -> Judge:
    return lambda candidate: _within(candidate.entry.internal_date // _DAY_MS, since, before) if candidate.entry else None


def _sent(since: int | None, before: int | None) -> Judge:
    def judge(candidate: Candidate) -> bool | None:
        if candidate.details is None:
            return None
        sent_at = candidate.details.sent_at
        if sent_at is None:
            return False
        day = sent_at // _DAY_MS
        if candidate.headers is None:
            # The day in the sender's zone is at most one away from the day in UTC.
            verdicts = {_within(day + shift, since, before) for shift in (-1, 0, 1)}
            return verdicts.pop() if len(verdicts) == 1 else None
        return _within(_local_day(candidate.headers, day), since, before)

    return judge


def _local_day(headers: Headers, day: int) -> int:
    """The day that the Date field names, whatever its zone (RFC 3501 §6.4.4); day where it names none."""
    written = strip_comments(headers.text(b"date")).strip(b" \t")
    local = parse_date(_ZONE.sub(b"+0000", written))
    return day if local is None else local // _DAY_MS


def _header(name: bytes, text: str) -> Judge:
    def judge(candidate: Candidate) -> bool | None:
        if candidate.headers is not None:
            return any(text in fold(decode_words(value)) for value in candidate.headers.all(name))
        if name == b"subject" and text and candidate.details is not None:
            subject = candidate.details.subject
            if text in fold(subject):
                return True
            return None if len(subject) >= _SUBJECT_KEPT else False
        return None

    return judge


def _body(text: str, *, with_header: bool) -> Judge:
    def judge(candidate: Candidate) -> bool | None:
        if with_header and candidate.headers is not None and _in_header(text, candidate.headers):
            return True
        if candidate.raw is None or candidate.details is None:
            return None
        content = candidate.raw[len(candidate.details.top) :]
        return any(text in fold(each) for each in _texts(content, decode_parts(candidate.details.parts)))

    return judge


def _in_header(text: str, headers: Headers) -> bool:
    return any(text in fold(f"{name.decode('latin-1')}: {decode_words(value)}") for name, value in headers.fields)


def _texts(raw: bytes, root: Part) -> Iterator[str]:
    """The decoded texts of a body: parts that are text, the headers of parts and of messages inside."""
    for part in walk(root):
        if part is not root:
            header = parse_headers(raw, part.header_at, part.end)
            yield "\n".join(f"{name.decode('latin-1')}: {decode_words(value)}" for name, value in header.fields)
        if part.children:
            continue
        if part.type in ("text", "multipart", "message"):
            body = decode_body(raw[part.body_at : part.end], part.encoding)
            yield decode_text(body, parameter(part.params, b"charset") or b"")
