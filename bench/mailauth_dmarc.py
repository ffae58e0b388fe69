"""What DMARC costs on top of SPF and DKIM, with every answer at hand.

Run: python -m bench.mailauth_dmarc; python -m bench.mailauth runs it, too. Each number is the best of several rounds of one process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.micro import Bar, best_us

from ekiden.dns.questions import Answer, Finding, Question, run_lookup
from ekiden.dns.records import A, Txt
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.author import author_of
from ekiden.mailauth.dmarc import evaluate
from ekiden.mailauth.public_suffix import SuffixList
from ekiden.mailauth.results import Result

MOST_US = 30.0
"""What one message may cost, the author in its From included."""


@dataclass(frozen=True, slots=True)
class Passed:
    """SPF or one signature."""

    domain: str
    result: Result = Result.PASS
    partial: bool = False


_RECORDS = {
    "_dmarc.example.com": "v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:dmarc@example.com",
    "_dmarc.bank.example": "v=DMARC1; p=none; psd=y",
}
_LIST = SuffixList.parse("com\nexample\n")
_DEEP = "a.b.c.d.e.f.g.h.example.com"
CHECKS: Sequence[tuple[str, str, str, Sequence[str], SuffixList | None, Result]] = [
    ("DMARC, all of the author domain", "example.com", "example.com", ["example.com"], None, Result.PASS),
    ("DMARC, MAIL FROM below it", "example.com", "bounces.example.com", ["example.com"], None, Result.PASS),
    ("DMARC, a subdomain, nothing aligned", "news.example.com", "sender.test", ["sender.test"], None, Result.FAIL),
    ("DMARC, no record, three labels", "news.example.org", "news.example.org", ["example.org"], None, Result.NONE),
    ("DMARC, a walk of eight names", _DEEP, "x." + _DEEP, [], None, Result.PASS),
    ("DMARC, by the list", "news.example.com", "bounces.example.com", ["example.com"], _LIST, Result.PASS),
]


def _warm() -> dict[Question, Answer]:
    found = {Question(Txt, name): (Txt((text.encode(),)),) for name, text in _RECORDS.items()}
    cache = {question: Answer(question, Finding.FOUND, records, ttl_s=300) for question, records in found.items()}
    there = Question(A, "news.example.com")
    return cache | {there: Answer(there, Finding.NO_DATA)}


def work() -> Iterator[tuple[str, float]]:
    """(what, µs of one message), once the result is right."""
    cache = _warm()

    def answer(question: Question) -> Answer:
        found = cache.get(question)
        if found is None:
            found = cache[question] = Answer(question, Finding.NO_NAME)
        return found

    for what, author, spf, dkim, suffixes, result in CHECKS:
        headers = parse_headers(f"From: Alice <alice@{author}>\r\nTo: bob@one.test\r\n\r\n".encode())

        def check() -> Result:
            passed = [Passed(domain) for domain in dkim]  # noqa: B023  # called before the next round only
            read = author_of(headers)  # noqa: B023
            return run_lookup(evaluate(read.domain, Passed(spf), passed, suffixes=suffixes), answer).result  # noqa: B023

        if (said := check()) is not result:
            raise SystemExit(f"{what}: {said} instead of {result}")
        yield what, best_us(check)


def main() -> None:
    """Print the rows; the exit status is 1 if a message costs more than it may."""
    with Bar(MOST_US) as bar:
        for what, here in work():
            bar.show(what, here)


if __name__ == "__main__":
    main()
