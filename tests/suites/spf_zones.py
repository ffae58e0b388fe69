"""The published SPF cases as zones of ours, and pyspf on the same zones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path as File
from typing import Any

import spf as pyspf  # type: ignore[import-untyped]
import yaml  # type: ignore[import-untyped]

from ekiden.base.clock import Millis
from ekiden.dns.questions import Answer, Broken, Finding, Question, lower_name, run_lookup
from ekiden.dns.records import A, Aaaa, Cname, Mx, Ptr, Record, Txt
from ekiden.mail.address import Domain, Path, parse_address_literal
from ekiden.mailauth.spf import SpfOutcome, check_host
from ekiden.testing.dns import FakeZone

NOW = Millis(1_763_718_906_000)
RECEIVER = "mx.ekiden.test"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the suite. results: any of them is right. explanation: None if it does not matter."""

    name: str
    zone: Mapping[str, Sequence[Record]]
    ip: str
    helo: str
    sender: str
    results: tuple[str, ...]
    explanation: str | None = field(default=None)


def cases(file: File) -> Iterator[Case]:
    """Every case of a file of the suite."""
    for scenario in yaml.safe_load_all(file.read_bytes()):
        zone = {lower_name(str(name)): tuple(_records(records)) for name, records in scenario["zonedata"].items()}
        for name, test in scenario["tests"].items():
            wanted = test["result"]
            yield Case(
                f"{scenario['description']}/{name}", zone, str(test["host"]), test.get("helo") or "", test.get("mailfrom") or "",
                (wanted,) if isinstance(wanted, str) else tuple(wanted), test.get("explanation"),
            )  # fmt: skip


def _records(written: Sequence[Any]) -> Iterator[Record]:
    """The records of one name, as the README of the suite tells it: SPF is TXT too unless there is a TXT of its own."""
    pairs: list[tuple[str, Any]] = [next(iter(each.items())) for each in written if each != "TIMEOUT"]
    listed = {kind for kind, _ in pairs}
    has_txt = "TXT" in listed
    for kind, value in pairs:
        if kind == "TXT" and value == "NONE":
            continue
        if kind == "SPF":
            if has_txt:
                continue
            kind = "TXT"
        yield _record(kind, value)
    if "TIMEOUT" in written:
        there = {"TXT" if kind == "SPF" and not has_txt else kind for kind, value in pairs if value != "NONE"}
        for each in (A, Aaaa, Mx, Txt, Ptr, Cname):
            if each.TYPE not in there:
                yield Broken("TIMEOUT", each)


def _record(kind: str, value: Any) -> Record:
    kinds: dict[str, type[Record]] = {each.TYPE: each for each in (A, Aaaa, Mx, Txt, Ptr, Cname)}
    if value == "TIMEOUT":
        return Broken("TIMEOUT", kinds[kind])
    match kind:
        case "A":
            return A(IPv4Address(value))
        case "AAAA":
            return Aaaa(IPv6Address(value))
        case "MX":
            return Mx(int(value[0]), lower_name(value[1]))
        case "PTR":
            return Ptr(lower_name(value))
        case "CNAME":
            return Cname(lower_name(value))
    strings = value if isinstance(value, list) else [value]
    return Txt(tuple(string.encode("latin-1" if all(ord(each) < 256 for each in string) else "utf-8") for string in strings))


def path_of(sender: str) -> Path:
    """A reverse path without SMTP's rules, because the suite has senders that no MAIL command could carry."""
    if not sender:
        return Path("", None)
    local, _, domain = sender.rpartition("@")
    if domain.startswith("["):
        return Path(local, parse_address_literal(domain))
    return Path(local, Domain(domain.lower()))


def answer_of(zone: Mapping[str, Sequence[Record]], question: Question) -> Answer:
    """What the suite means by this zone: names that begin with "error." time out."""
    if question.name.startswith("error.") and question.name not in zone:
        return Answer(question, Finding.FAILED, because="TIMEOUT")
    return FakeZone(zone).answer(question)


def ours(zone: Mapping[str, Sequence[Record]], ip: str, helo: str, sender: str) -> SpfOutcome:
    """Our result."""
    lookup = check_host(ip_address(ip), helo, path_of(sender), receiver=RECEIVER, now=NOW)
    return run_lookup(lookup, lambda question: answer_of(zone, question))


def theirs(zone: Mapping[str, Sequence[Record]], ip: str, helo: str, sender: str) -> tuple[str, str, str]:
    """The result and the explanation of pyspf, "" where it has only its default; and what it calls the problem."""
    query = pyspf.query(i=ip, s=sender, h=helo, receiver=RECEIVER, strict=True)
    query.set_default_explanation("")
    before, pyspf.DNSLookup = pyspf.DNSLookup, _Answers(zone)
    try:
        result, _, explanation = query.check()
    finally:
        pyspf.DNSLookup = before
    return result, explanation if result == "fail" else "", getattr(query, "prob", "")


class _Answers:
    """Stands in for pyspf's door to the network: the same zone, in its own form."""

    def __init__(self, zone: Mapping[str, Sequence[Record]]) -> None:
        self._zone = zone

    def __call__(self, name: str, kind: str, strict: bool = True, timeout: float = 0) -> list[tuple[tuple[str, str], Any]]:
        kinds: dict[str, type[Record]] = {each.TYPE: each for each in (A, Aaaa, Mx, Txt, Ptr)}
        answer = answer_of(self._zone, Question(kinds[kind], lower_name(name)))
        if answer.because == "too many CNAMEs":
            return []  # pyspf goes after aliases itself, and finds nothing at the end of a loop
        if answer.finding is Finding.FAILED:
            raise pyspf.TempError("DNS " + answer.because)
        return [((name, kind), _of_pyspf(record)) for record in answer.records]


def _of_pyspf(record: Record) -> Any:
    match record:
        case A() | Aaaa():
            return str(record.ip)
        case Mx():
            return (record.preference, record.host)
        case Txt():
            return record.strings
        case Ptr():
            return record.name
    raise AssertionError(record)
