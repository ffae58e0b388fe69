"""ekiden dmarc: what others report of mail in our name, and reading one report."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from ekiden.app.clock import SystemClock
from ekiden.app.commandline import Cli, Failure, Misuse, as_json, cell_text, common, plain, print_table, printable
from ekiden.base.clock import Millis, moment
from ekiden.base.errors import BadValue
from ekiden.base.units import parse_duration
from ekiden.dns.names import to_unicode
from ekiden.mail.address import parse_domain
from ekiden.mailauth.dmarc_report import AggregateReport, Record
from ekiden.mailauth.feedback import Feedback
from ekiden.mailauth.tls_report import TlsReport
from ekiden.services.dmarc_inbox import LARGEST, AnyReport, reports_in
from ekiden.store import dmarc
from ekiden.store.dmarc import Source, Totals

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HEADS = ("domain", "source", "header-from", "messages", "aligned", "disposition", "reporters")
_ROW_HEADS = ("source", "header-from", "messages", "aligned", "disposition", "dkim", "spf", "reason")


@click.group("dmarc")
def COMMAND() -> None:
    """Show what others report of mail in our name, and read single reports."""


@COMMAND.command()
@click.option("--domain", "name")
@click.option("--since", default="30d", show_default=True)
@click.option("--failing", is_flag=True)
@click.option("--most", type=click.IntRange(1), default=1000, show_default=True)
@common
def report(cli: Cli, name: str | None, since: str, failing: bool, most: int) -> None:
    """Show who sent mail in the name of our domains, how much of it passed, and who is not aligned."""
    domain = _domain(cli, name) if name else ""
    begin = _since(cli, since)
    found, totals = cli.read(lambda tx: (dmarc.sources(tx, domain, begin), dmarc.totals(tx, domain, begin)))
    shown = [each for each in found if not (failing and each.is_aligned)][:most]
    if cli.as_json:
        click.echo(as_json({"since": begin, **asdict(totals), "sources": [{**asdict(each), "aligned": each.is_aligned} for each in shown]}))
        return
    click.echo(_sentence(cli, totals, begin))
    if shown:
        print_table([cli.text(f"dmarc.head-{head}") for head in _HEADS], [[cell_text(cell) for cell in _row(cli, each)] for each in shown])


@COMMAND.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@common
def read(cli: Cli, file: Path) -> None:
    """Print the reports in FILE: a mail, or XML or JSON, compressed or not; - is standard input."""
    try:
        raw = _bytes(file)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from error
    found = reports_in(raw)
    if not found.reports:
        raise Failure("\n".join(found.problems) or cli.text("dmarc.no-report"))
    if cli.as_json:
        click.echo(as_json([{"kind": _kind(each), **msgspec.to_builtins(each)} for each in found.reports]))
    else:
        for number, each in enumerate(found.reports):
            if number:
                click.echo()
            _print(cli, each)
    for problem in found.problems:
        click.echo(printable(f"ekiden: {problem}"), err=True)


def _bytes(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read(LARGEST)
    with file.open("rb") as opened:
        return opened.read(LARGEST)


def _domain(cli: Cli, name: str) -> str:
    try:
        return parse_domain(name).ascii
    except BadValue:
        raise Misuse(cli.text("config.wrong", expected=cli.text("config.expects-domain"), found=repr(name))) from None


def _since(cli: Cli, written: str) -> int:
    """Seconds since 1970 of a date, or of a duration before now."""
    try:
        if _DATE.fullmatch(written):
            return int(datetime.strptime(written, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
        return max(0, SystemClock().now() // 1000 - parse_duration(written))
    except ValueError:
        raise Misuse(cli.text("dmarc.bad-since", found=repr(written))) from None


def _sentence(cli: Cli, totals: Totals, since: int) -> str:
    day = _day(since)
    if not totals.reports:
        return cli.text("dmarc.nothing", since=day)
    passed = 100 * totals.passed / totals.messages if totals.messages else 0.0
    failed = totals.messages - totals.passed
    numbers = {"reports": totals.reports, "messages": totals.messages, "passed": totals.passed, "failed": failed}
    return cli.text("dmarc.totals", since=day, percent=f"{passed:.1f}", **numbers)


def _row(cli: Cli, one: Source) -> tuple[object, ...]:
    aligned = _aligned(cli, one.dkim, one.spf)
    names = (to_unicode(one.domain), one.source, to_unicode(one.header_from))
    return *names, one.count, aligned, _word(cli, one.disposition), one.reporters


def _aligned(cli: Cli, dkim: str, spf: str) -> str:
    by = [name for name, result in (("DKIM", dkim), ("SPF", spf)) if result == "pass"]
    return " ".join(by) or cli.text("dmarc.not-aligned")


def _word(cli: Cli, disposition: str) -> str:
    return cli.text(f"dmarc.disposition-{disposition or 'unknown'}")


def _day(second: int) -> str:
    return moment(Millis(second * 1000)).strftime("%Y-%m-%d")


def _minute(second: int) -> str:
    return moment(Millis(second * 1000)).strftime("%Y-%m-%d %H:%M:%S")


# ---- one report ------------------------------------------------------------------------------------------


def _kind(one: AnyReport) -> str:
    return {AggregateReport: "dmarc", Feedback: "feedback", TlsReport: "tls"}[type(one)]


def _print(cli: Cli, one: AnyReport) -> None:
    if isinstance(one, AggregateReport):
        _print_aggregate(cli, one)
    elif isinstance(one, Feedback):
        _print_feedback(cli, one)
    else:
        _print_tls(cli, one)


def _label(cli: Cli, name: str) -> str:
    return cli.text(f"dmarc.label-{name}")


def _print_facts(cli: Cli, facts: Mapping[str, object]) -> None:
    click.echo(plain({_label(cli, name): value for name, value in facts.items() if value not in ("", None, (), [])}))


def _print_aggregate(cli: Cli, one: AggregateReport) -> None:
    policy = one.policy
    published = [f"{name}={value}" for name, value in (("p", policy.p), ("sp", policy.sp), ("np", policy.np)) if value]
    published += [f"{name}={value}" for name, value in (("adkim", policy.adkim), ("aspf", policy.aspf)) if value]
    facts = {
        "kind": cli.text("dmarc.kind-dmarc"),
        "domain": to_unicode(policy.domain),
        "policy": "; ".join([*published, *(["t=y"] if policy.testing else [])]),
        "organisation": one.organisation,
        "contact": " ".join(filter(None, (one.email, one.extra_contact))),
        "report-id": one.report_id,
        "period": f"{_minute(one.begin)} – {_minute(one.end)} UTC",
        "generator": one.generator,
        "errors": one.errors,
    }
    _print_facts(cli, facts)
    click.echo()
    rows = [_record_row(cli, record) for record in one.records]
    print_table([cli.text(f"dmarc.head-{head}") for head in _ROW_HEADS], rows)


def _record_row(cli: Cli, record: Record) -> list[str]:
    return [
        record.source,
        to_unicode(record.header_from),
        str(record.count),
        _aligned(cli, record.dkim, record.spf),
        _word(cli, record.disposition),
        ", ".join(f"{each.domain}={each.result}" for each in record.signatures),
        ", ".join(f"{each.domain}={each.result}" for each in record.senders),
        ", ".join(f"{each.type} ({each.comment})" if each.comment else each.type for each in record.reasons),
    ]


def _print_feedback(cli: Cli, one: Feedback) -> None:
    facts = {
        "kind": cli.text("dmarc.kind-feedback"),
        "type": " ".join(filter(None, (one.type, one.failure))),
        "domain": ", ".join(one.domains),
        "source": one.source,
        "arrived": f"{_minute(one.arrived_at // 1000)} UTC" if one.arrived_at is not None else "",
        "messages": one.incidents,
        "sender": one.mail_from,
        "recipients": ", ".join(one.recipients),
        "results": "; ".join(one.results),
        "delivery": one.delivery,
        "organisation": one.reporting_mta,
        "generator": one.user_agent,
    }
    _print_facts(cli, facts)


def _print_tls(cli: Cli, one: TlsReport) -> None:
    facts = {
        "kind": cli.text("dmarc.kind-tls"),
        "organisation": one.organization_name,
        "contact": one.contact_info,
        "report-id": one.report_id,
        "period": f"{_minute(one.begin)} – {_minute(one.end)} UTC",
    }
    _print_facts(cli, facts)
    for each in one.policies:
        click.echo()
        sessions = each.summary
        policy = {
            "domain": each.policy.policy_domain,
            "policy": each.policy.policy_type,
            "sessions": cli.text(
                "dmarc.sessions", good=sessions.total_successful_session_count, bad=sessions.total_failure_session_count
            ),
            "errors": [
                f"{failure.result_type} {failure.receiving_mx_hostname or ''} × {failure.failed_session_count}"
                for failure in each.failure_details or []
            ],
        }
        _print_facts(cli, policy)
