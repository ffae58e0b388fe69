"""Our resolver asks a real validating one: what unbound has proved, what it could not, and what it has to say by TCP.

Unbound asks Knot for zones that Knot signs, so nothing here leaves the machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest
from tests.peers.dns import Knot, Record, Unbound
from tests.peers.process import free_port

from ekiden.base.endpoint import Endpoint
from ekiden.dns.questions import Answer, Finding, ask_anyhow
from ekiden.dns.records import A, Aaaa, Mx, Tlsa, Txt
from ekiden.dns.records import Record as Kind
from ekiden.net.resolver import DnsResolver, ResolverSettings
from ekiden.testing.clock import FakeClock

pytestmark = pytest.mark.peer("unbound", "knot")

ADDRESS = A(IPv4Address("192.0.2.1"))
LARGE = 60


def _records(zone: str) -> list[Record]:
    return [
        Record(zone, "MX", f"10 mx.{zone}."),
        Record(f"mx.{zone}", "A", "192.0.2.1"),
        Record(f"_25._tcp.mx.{zone}", "TLSA", "3 1 1 " + "00" * 32),
        Record(f"www.{zone}", "CNAME", f"mx.{zone}."),
        Record(f"plain.{zone}", "CNAME", "mx.plain.test."),
        *(Record(f"large.{zone}", "TXT", f'"{n:0200d}"') for n in range(LARGE)),
    ]


@dataclass(frozen=True, slots=True)
class Servers:
    """Unbound, and where it listens."""

    endpoint: Endpoint


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Knot with two signed zones, one that is not signed, and Unbound that knows the key of the signed ones, of bogus.test a wrong one."""
    folder = tmp_path_factory.mktemp("dns")
    zones = ("signed.test", "heavy.test", "plain.test", "bogus.test")
    knot = Knot(
        folder / "knot",
        port=free_port(),
        records=[record for zone in zones for record in _records(zone)],
        signed={"signed.test": 0, "bogus.test": 0, "heavy.test": 2500},
    )
    try:
        anchors = [knot.anchor("signed.test"), knot.anchor("heavy.test")]
        anchors.append(knot.anchor("signed.test").replace("signed.test.", "bogus.test.", 1))  # a key that has signed nothing there
        unbound = Unbound(
            folder / "unbound",
            port=free_port(),
            records=[Record("host.local.test", "A", "192.0.2.1")],
            stubs={**dict.fromkeys(zones, knot.port), "dead.test": free_port()},
            anchors=anchors,
        )
        try:
            yield Servers(Endpoint("127.0.0.1", unbound.port))
        finally:
            unbound.stop()
    finally:
        knot.stop()


def ask_it(servers: Servers, kind: type[Kind], name: str, *, trusted: bool = True, question_s: float = 10.0) -> Answer:
    """The answer to one question, by a resolver that trusts unbound or does not."""

    async def story(resolver: DnsResolver) -> Answer:
        return await resolver.resolve(ask_anyhow(kind, name))

    return _with(servers, story, trusted=trusted, question_s=question_s)


def _with(servers: Servers, story: Callable[[DnsResolver], Awaitable[Answer]], *, trusted: bool, question_s: float) -> Answer:
    async def told() -> Answer:
        trusts = frozenset({"127.0.0.1"} if trusted else ())
        resolver = DnsResolver(ResolverSettings((servers.endpoint,), trusted=trusts, question_s=question_s), FakeClock())
        try:
            return await story(resolver)
        finally:
            await resolver.close()

    return asyncio.run(told())


@pytest.mark.parametrize(("kind", "name", "finding"), [
    (Mx, "signed.test", Finding.FOUND),
    (Tlsa, "_25._tcp.mx.signed.test", Finding.FOUND),
    (A, "www.signed.test", Finding.FOUND),
    (Aaaa, "mx.signed.test", Finding.NO_DATA),
    (A, "nobody.signed.test", Finding.NO_NAME),
])
def test_what_was_proved_is_authentic_for_who_trusts_the_server(servers: Servers, kind: type[Kind], name: str, finding: Finding) -> None:
    trusting, not_trusting = ask_it(servers, kind, name), ask_it(servers, kind, name, trusted=False)  # DN-10
    assert (trusting.finding, trusting.authentic) == (finding, True)
    assert (not_trusting.finding, not_trusting.authentic) == (finding, False)
    assert trusting.records == not_trusting.records


@pytest.mark.parametrize("name", ["mx.plain.test", "host.local.test", "plain.signed.test"])
def test_what_nobody_proved_is_not_authentic_whoever_says_it(servers: Servers, name: str) -> None:
    found = ask_it(servers, A, name)  # DN-10; the last leads from a signed name to one that is not
    assert (found.records, found.authentic) == ((ADDRESS,), False)


@pytest.mark.parametrize("kind", [A, Aaaa, Mx, Txt, Tlsa])
def test_what_is_proved_to_be_wrong_is_a_failure_and_never_none(servers: Servers, kind: type[Kind]) -> None:
    found = ask_it(servers, kind, "mx.bogus.test")  # DN-07
    assert (found.finding, found.because) == (Finding.FAILED, "SERVFAIL")


def test_a_large_answer_comes_by_tcp_and_stays_authentic(servers: Servers) -> None:
    async def story(resolver: DnsResolver) -> Answer:
        answer = await resolver.resolve(ask_anyhow(Txt, "large.signed.test"))
        assert resolver.sent == 2  # by UDP it is truncated
        return answer

    found = _with(servers, story, trusted=True, question_s=10.0)
    assert (len(found.records), found.authentic) == (LARGE, True)


def test_names_that_take_thousands_of_rounds_to_prove_are_not_proved_by_us(servers: Servers) -> None:
    found = ask_it(servers, A, "nobody.heavy.test")  # DN-11: the validating server declines, and so nothing is proved
    assert (found.finding, found.authentic) == (Finding.NO_NAME, False)
    assert ask_it(servers, A, "mx.heavy.test").authentic


def test_a_zone_whose_server_is_dead_is_a_failure_within_our_deadline(servers: Servers) -> None:
    found = ask_it(servers, Mx, "dead.test", question_s=1.0)  # DN-07
    assert found.finding is Finding.FAILED
    assert found.because in ("SERVFAIL", "timeout")


def test_what_is_not_there_at_all(servers: Servers) -> None:
    assert ask_it(servers, A, "nobody.local.test").finding is Finding.NO_NAME
